package reports

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// BenchmarkCompare makes the page that compares very many runs, each with a training of its own.
//
//	STARBOOK_RUNS (1000)    STARBOOK_POINTS (5000): of the evaluation loss of the 150 leading ones, which
//	are those that the page draws; 1e6 makes a store of 1.4 GB. The others have 600,
//	or as many with STARBOOK_ALL=1: then it is 10 GB.
//	STARBOOK_BENCH_STORE: the folder of the store, which is made if it is not there and stays
func BenchmarkCompare(b *testing.B) {
	f, runs := newMany(b)
	for b.Loop() {
		if err := Write(io.Discard, f.st, runs, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// fromEnv reads a size from the environment.
func fromEnv(name string, usual int) int {
	if n, err := strconv.ParseFloat(os.Getenv(name), 64); err == nil {
		return int(n)
	}
	return usual
}

// newMany returns a store of very many runs, and these.
func newMany(b *testing.B) (*fixture, []string) {
	b.Helper()
	dir := os.Getenv("STARBOOK_BENCH_STORE")
	if dir == "" {
		dir = b.TempDir()
	}
	f := fixtureAt(b, dir)
	have, err := f.st.Runs(0)
	f.ok(err)
	if len(have) == 0 {
		return f, f.many(fromEnv("STARBOOK_RUNS", 1000), fromEnv("STARBOOK_POINTS", 5000))
	}
	var runs []string
	for _, r := range slices.Backward(have) {
		runs = append(runs, r.ID)
	}
	return f, runs
}

// many puts runs of four steps each that share data and a base's evaluation.
func (f *fixture) many(runs, points int) []string {
	f.t.Helper()
	source, err := f.st.Blobs.Put([]byte(script))
	f.ok(err)
	rows := f.step("data.jsonl", "dataset", "rows", 0.1, 0, map[string]any{"rows": 500})
	base, _ := f.score("shared", "base", 1250, 0.6, 1)
	r := rand.New(rand.NewPCG(3, 3))
	var ids []string
	for i := range runs {
		id := fmt.Sprintf("%08x", i)
		f.ok(f.st.BeginRun(store.Run{ID: id, Notebook: "nb.star", Source: source, Started: noon, Params: encode(map[string]any{
			"lr": param(1e-5*float64(1+i%40), 1e-3, "learning rate"), "seed": param(i, 0, ""), "r": param(8<<(i%4), 8, ""),
		})}))
		key := cas.Sum([]byte(id))
		n := points
		if i%500 < 425 && os.Getenv("STARBOOK_ALL") == "" {
			n = min(n, 600)
		}
		for x := range n {
			f.st.Point(key, "eval/loss", int64(x), 2+float64(i%7)+r.Float64())
		}
		f.ok(f.st.PutStep(store.Step{Key: key, Name: "lora.train", Kind: "adapter", Output: base.Output, Created: noon, Seconds: 10, Summary: encode(map[string]any{
			"stopped_step": points, "stopped": "patience", "patience": 3, "best_step": points - 300, "best_eval_loss": float64(i % 7),
		})}))
		scores := f.step("eval.run", "scores", id+" scores", 5, 0, map[string]any{"n": 1250, "passed": 700 + i%500, "model": "tuned"})
		for seq, key := range []cas.Digest{rows.Key, base.Key, key, scores.Key} {
			f.st.Emit(event.Event{Run: id, Step: key.String(), Time: noon, Kind: event.StepDone, Name: "step", Line: 16, Value: 10})
			f.ok(f.st.PutUse(store.Use{Run: id, Seq: seq + 1, Key: key, Name: "step", Hit: i > 0 && seq < 2, Seconds: 5}))
		}
		f.ok(f.st.EndRun(id, store.Done, 0, ""))
		ids = append(ids, id)
	}
	return ids
}

// BenchmarkIndex lists very many runs, those that a condition picks.    STARBOOK_RUNS as above
func BenchmarkIndex(b *testing.B) {
	f := newFixture(b)
	f.many(fromEnv("STARBOOK_RUNS", 1000), 600)
	for b.Loop() {
		if _, err := Index(f.st, `lr > 1e-5 and eval/loss < 9`); err != nil {
			b.Fatal(err)
		}
	}
}
