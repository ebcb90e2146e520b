package builtins

import (
	"fmt"
	"strings"
	"testing"
)

// answered is a bench with 20,000 answers of GSM8K's length in answers.jsonl.
func answered(tb testing.TB) *bench {
	b := newBench(tb)
	var rows strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&rows, `{"id":"q%d","prompt":"%s","answer":"%d","guess":"%s#### %d"}`+"\n",
			i, strings.Repeat("How many? ", 20), i, strings.Repeat("He has 3 + 4 = 7 apples. ", 12), i+i%3/2)
	}
	b.write("answers.jsonl", rows.String())
	if _, err := b.run(`scores = eval.grade(data.jsonl("answers.jsonl"), grader = grade.exact())`); err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkRegrade grades 20,000 stored answers with three graders: verdicts, tables, rows of the store.
//
//	go test -run xxx -bench 'Regrade|EvaluationOverhead' -benchtime 3x ./builtins
func BenchmarkRegrade(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		bench := answered(b)
		b.StartTimer()
		if _, err := bench.run(`
scores = eval.grade(data.jsonl("answers.jsonl"), grader = grade.exact())
again = eval.regrade(scores, graders = [grade.numeric(), grade.regex("#### ([0-9]+)"), grade.contains()])
`); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvaluationOverhead is all that an evaluation does for a sample besides generation: grading,
// rows of the store, artifact.
func BenchmarkEvaluationOverhead(b *testing.B) {
	bench := answered(b)
	for i := 0; b.Loop(); i++ {
		if _, err := bench.run(fmt.Sprintf(`scores = eval.grade(data.jsonl("answers.jsonl"), grader = grade.numeric(tolerance = %d * 1e-12))`, i+1)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/20_000, "ms/sample")
}
