package builtins

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"starbook/builtins/dataset"
)

// BenchmarkHundredThousand reads, validates, near-deduplicates and pairs
// 100,000 rows: sentences of GSM8K in new orders, every twentieth row said twice.
//
//	go test -run xxx -bench HundredThousand -benchtime 1x -cpu 2 ./builtins
func BenchmarkHundredThousand(b *testing.B) {
	src, err := os.ReadFile("dataset/testdata/gsm8k/test.jsonl.gz")
	if err != nil {
		b.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		b.Fatal(err)
	}
	rows, err := dataset.Collect(dataset.JSONL(z, "gsm8k"))
	if err != nil {
		b.Fatal(err)
	}
	var asked, answered []string
	for _, r := range rows {
		asked = append(asked, strings.SplitAfter(r["question"].(string), ". ")...)
		answered = append(answered, strings.SplitAfter(r["answer"].(string), "\n")...)
	}
	r := rand.New(rand.NewPCG(1, 1))
	some := func(from []string, n int) (out string) {
		for range n {
			out += from[r.IntN(len(from))]
		}
		return strings.TrimSpace(out)
	}
	var file strings.Builder
	var row dataset.Row
	for i := range 100_000 {
		if i%20 != 19 {
			row = dataset.Row{"instruction": some(asked, 3), "output": some(answered, 4)}
		} else {
			row["instruction"] = "Well, " + row["instruction"].(string)
		}
		row["id"] = fmt.Sprintf("r-%d", i)
		line, err := dataset.AppendJSON(nil, row)
		if err != nil {
			b.Fatal(err)
		}
		file.Write(append(line, '\n'))
	}
	bench := newBench(b)
	bench.write("rows.jsonl", file.String())
	file.Reset()
	rows, asked, answered = nil, nil, nil
	debug.FreeOSMemory()
	b.ResetTimer()
	for i := range b.N {
		_, err := bench.run(fmt.Sprintf(`
rows = data.examples("rows.jsonl")
good, bad = data.validate(rows)
pairs = pair.bidirectional(good, source = "run %d")
print(rows.rows, good.dropped, pairs.rows)
`, i))
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, e := range bench.events {
		if e.Text != "" {
			b.Log(e.Name, e.Text)
		}
	}
	b.ReportMetric(resident(b, "VmHWM"), "MB-peak")
}
