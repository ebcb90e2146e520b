package builtins

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
)

// Multiple choice is as lm-evaluation-harness itself reckons it, which wrote
// testdata/choices.json: the log-probability of every choice, acc and acc_norm.
func TestChoicesAgainstHarness(t *testing.T) {
	raw, err := os.ReadFile("testdata/choices.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Items []json.RawMessage
		Runs  []struct {
			Prompt, Delimiter string
			Acc               float64
			AccNorm           float64 `json:"acc_norm"`
			LogProb           [][]float64
		}
	}
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.host.OpenDevice = func() (gpu.Device, error) { return cpu.New(cpu.Options{}) }
	t.Cleanup(func() {
		if err := b.host.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := filepath.Abs("../scripts/models/regex-base")
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for _, item := range golden.Items {
		var line map[string]any
		if err := json.Unmarshal(item, &line); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rows, "%s\n", out)
	}
	b.write("items.jsonl", rows.String())
	for _, run := range golden.Runs {
		_, err := b.run(fmt.Sprintf(`
s = eval.choices(model.open(%q), data.jsonl("items.jsonl"), prompt = %q, delimiter = %q)
print(s.pass_rate, s.acc_norm)
`, base, run.Prompt, run.Delimiter))
		if err != nil {
			t.Fatal(err)
		}
		steps, err := b.store.Query(t.Context(), "SELECT CAST(json_extract(summary, '$.pass_rate') AS REAL), CAST(json_extract(summary, '$.acc_norm') AS REAL), key FROM step WHERE name = 'eval.choices' ORDER BY seq DESC LIMIT 1")
		if err != nil {
			t.Fatal(err)
		}
		acc, norm := steps.Rows[0][0].(float64), steps.Rows[0][1].(float64)
		if math.Abs(acc-run.Acc) > 1e-12 || math.Abs(norm-run.AccNorm) > 1e-12 {
			t.Errorf("%q: acc %v and acc_norm %v, want %v and %v", run.Prompt, acc, norm, run.Acc, run.AccNorm)
		}
		samples, err := b.store.Query(t.Context(), "SELECT logprob FROM sample WHERE step = ? ORDER BY idx", steps.Rows[0][2])
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range samples.Rows {
			best := math.Inf(-1)
			for _, l := range run.LogProb[i] {
				best = max(best, l)
			}
			if got := row[0].(float64); math.Abs(got-best) > 1e-3 {
				t.Errorf("%q: item %d has the log-probability %v, want %v", run.Prompt, i, got, best)
			}
		}
	}
}
