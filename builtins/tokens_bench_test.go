package builtins

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

// BenchmarkTokens reads a dataset of b.N rows of about a kilobyte for Qwen3, with its real
// tokenizer and template: made and kept, then found, as by every later training, and last only rendered.
//
//	go test -run xxx -bench Tokens -benchtime 200000x ./builtins
func BenchmarkTokens(b *testing.B) {
	bench := newBench(b)
	for from, to := range map[string]string{
		"../gpu/model/testdata/qwen3/config.json":           "qwen3/config.json",
		"../gpu/token/testdata/qwen3/tokenizer_config.json": "qwen3/tokenizer_config.json",
		"../gpu/token/testdata/qwen3/tokenizer.json.gz":     "qwen3/tokenizer.json",
	} {
		f, err := os.Open(from)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		var in io.Reader = f
		if filepath.Ext(from) == ".gz" {
			if in, err = gzip.NewReader(f); err != nil {
				b.Fatal(err)
			}
		}
		text, err := io.ReadAll(in)
		if err != nil {
			b.Fatal(err)
		}
		bench.write(to, string(text))
	}
	var rows strings.Builder
	for i := range b.N {
		words := strings.Repeat(fmt.Sprintf("What is the tallest mountain of region %d, and who climbed it first? ", i), 7)
		fmt.Fprintf(&rows, "{\"id\":\"r%d\",\"prompt\":%q,\"completion\":%q}\n", i, words, words)
	}
	bench.write("rows.jsonl", rows.String())
	rows.Reset()
	var took []time.Duration
	nb, err := runtime.NewNotebook(filepath.Join(bench.dir, "test.star"), []byte(`
m, rows = model.open("qwen3"), data.jsonl("rows.jsonl")
[read(m, rows) for _ in range(4)]
`))
	if err != nil {
		b.Fatal(err)
	}
	names := bench.host.Predeclared()
	names["read"] = starlark.NewBuiltin("read", func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		run, ctx, err := runtime.From(t)
		if err != nil {
			return nil, err
		}
		spec := runtime.Spec{Name: "read", Args: fmt.Appendf(nil, "%d", len(took))}
		_, err = run.Do(ctx, spec, func(ctx context.Context, s *runtime.Step) (runtime.Artifact, error) {
			a := tokensArgs{Data: args[1].(Handle), Prompt: "{prompt}", Completion: "completion", Turns: "all", chatArgs: chatArgs{Chat: "auto"}}
			begun := time.Now()
			var err error
			if len(took) == 3 {
				_, err = a.render(ctx, s, filepath.Join(bench.dir, "qwen3"))
			} else {
				_, err = a.read(ctx, s, args[0].(Handle))
			}
			took = append(took, time.Since(begun))
			return args[1].(Handle).Artifact, err
		})
		return starlark.None, err
	})
	if err := (&runtime.Run{Notebook: nb, Store: bench.store, Sink: bench}).Exec(b.Context(), names); err != nil {
		b.Fatal(err)
	}
	for _, e := range bench.events {
		if strings.Contains(e.Text, "rows became") {
			b.Log(e.Text)
		}
	}
	size, err := bench.store.Blobs.Size(bench.tokenised()[0].Output)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(took[0].Seconds(), "s-made")
	b.ReportMetric(min(took[1], took[2]).Seconds(), "s-found")
	b.ReportMetric(took[3].Seconds(), "s-rendered")
	b.ReportMetric(float64(size)/1e6, "MB")
	b.ReportMetric(0, "ns/op")
}
