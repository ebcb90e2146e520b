package builtins

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// trainingBench has a device and a notebook that trains a tiny adapter. The validation
// rows contradict what is trained, so that early stopping has something to do.
func trainingBench(t *testing.T) *bench {
	b := newBench(t)
	b.host.OpenDevice = func() (gpu.Device, error) { return cpu.New(cpu.Options{Threads: 1}) }
	t.Cleanup(func() { b.host.Close() })
	var rows strings.Builder
	for i := range 40 {
		fmt.Fprintf(&rows, "{\"prompt\":\"number %d is\",\"completion\":\"%s\"}\n", i, []string{"even", "odd"}[i%2])
	}
	b.write("rows.jsonl", rows.String())
	b.write("held.jsonl", "{\"prompt\":\"number 2 is\",\"completion\":\"odd\"}\n{\"prompt\":\"number 7 is\",\"completion\":\"odd one\"}\n")
	return b
}

const training = `
rows  = data.jsonl("rows.jsonl")
held  = data.jsonl("held.jsonl")
words = model.tokenizer(rows, vocab = 280, columns = ["prompt", "completion"])
base  = model.new(words, dim = 16, layers = 1, heads = 2, hidden = 32, context = 64, seed = 3)
def tuned(lr, patience):
    return lora.train(base, rows, validation = held, r = 2, lr = lr, epochs = 6.0, batch_size = 4, eval_steps = 2, patience = patience)
`

// updates counts those that were computed, not found.
func (b *bench) updates() (n int) {
	for _, e := range b.events {
		if e.Kind == event.Metric && e.Name == "train/tokens_per_second" {
			n++
		}
	}
	return n
}

// trained returns the trainings in the store: the step's arguments' patience and lr → what it made.
func (b *bench) trained() map[string]store.Step {
	b.t.Helper()
	rows, err := b.store.Query(b.t.Context(), "SELECT key, json_extract(args, '$.lr') || ' ' || json_extract(args, '$.patience') FROM step WHERE name = 'lora.train'")
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]store.Step{}
	for _, r := range rows.Rows {
		st, err := b.store.FindStep(r[0].(string))
		if err != nil {
			b.t.Fatal(err)
		}
		out[r[1].(string)] = st
	}
	return out
}

// A grid of learning rates and patiences costs one training a learning rate, and gives
// what as many separate trainings would have given.
func TestPatienceSharesItsUpdates(t *testing.T) {
	b := trainingBench(t)
	if _, err := b.run(training + "[tuned(lr, p) for lr in [0.01, 0.05] for p in [2, 1, 4, 3, 0]]\n"); err != nil {
		t.Fatal(err)
	}
	shared, longest := b.trained(), 0
	if got := b.updates(); got != 2*60 { // 6 epochs of 10 updates: patience 0 goes to the end
		t.Errorf("%d updates computed, want 60 for each learning rate", got)
	}
	stops := map[string]bool{}
	for _, lr := range []string{"0.01", "0.05"} {
		for _, patience := range []string{"0", "1", "2", "3", "4"} {
			alone := trainingBench(t)
			if _, err := alone.run(training + fmt.Sprintf("tuned(%s, %s)\n", lr, patience)); err != nil {
				t.Fatal(err)
			}
			key := lr + " " + patience
			got, want := shared[key], alone.trained()[key]
			if got.Output != want.Output || string(got.Summary) != string(want.Summary) || got.Key != want.Key {
				t.Errorf("%s: %s %s\nalone: %s %s", key, got.Output.Short(), got.Summary, want.Output.Short(), want.Summary)
			}
			for _, name := range []string{"train/loss", "train/grad_norm", "train/rows", "eval/loss"} {
				x, err := b.store.Points(got.Key, name)
				if err != nil {
					t.Fatal(err)
				}
				y, err := alone.store.Points(want.Key, name)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(x) != fmt.Sprint(y) || len(x) == 0 {
					t.Errorf("%s: %s is %v, alone %v", key, name, x, y)
				}
			}
			stops[string(want.Summary)] = true
			longest = max(longest, alone.updates())
		}
	}
	if len(stops) < 5 || longest != 60 {
		t.Errorf("the rules ended in %d different ways, the longest after %d updates: the test proves little", len(stops), longest)
	}
}

// Another patience afterwards needs no update that is there, and no room that was given back.
func TestPatienceAfterwards(t *testing.T) {
	b := trainingBench(t)
	for _, c := range []struct{ patience, updates int }{{4, -1}, {1, 0}, {3, 0}, {2, 0}} {
		if _, err := b.run(training + fmt.Sprintf("tuned(0.05, %d)\n", c.patience)); err != nil {
			t.Fatal(err)
		}
		if got := b.updates(); c.updates >= 0 && got != c.updates || c.updates < 0 && got == 0 {
			t.Errorf("patience %d: %d updates", c.patience, got)
		}
	}
	before := b.trained()
	g, err := b.store.GC(store.GCOptions{Delete: true})
	if err != nil || g.Trajectories != 1 || g.TrajectoryBytes == 0 {
		t.Errorf("gc: %+v, %v", g, err)
	}
	if g, err = b.store.GC(store.GCOptions{Delete: true, Trajectories: true}); err != nil || g.Trajectories != 1 {
		t.Errorf("gc of trajectories: %+v, %v", g, err)
	}
	if g, err = b.store.GC(store.GCOptions{}); err != nil || g.Trajectories != 0 {
		t.Errorf("after it: %+v, %v", g, err)
	}
	if _, err := b.run(training+"tuned(0.05, 2)\n", func(r *runtime.Run) { r.Fresh = []string{"lora.train"} }); err != nil {
		t.Fatal(err)
	}
	if b.updates() == 0 || b.trained()["0.05 2"].Output != before["0.05 2"].Output {
		t.Error("trained again, another adapter")
	}
}

// Stopped anywhere and run again, also with another patience in between, a training ends
// in the bytes of one that nobody stopped.
func TestInterruptedTrainingGoesOn(t *testing.T) {
	whole := trainingBench(t)
	if _, err := whole.run(training + "tuned(0.05, 4)\n"); err != nil {
		t.Fatal(err)
	}
	want := whole.trained()["0.05 4"]
	for _, at := range []int{1, 2, 5, 9} {
		b := trainingBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		stopper := &stopAt{bench: b, at: at, stop: cancel}
		if _, err := b.runIn(ctx, training+"tuned(0.05, 4)\n", watched(stopper)); !errors.Is(err, runtime.ErrInterrupted) {
			t.Fatalf("stopped after update %d: %v", at, err)
		}
		for _, patience := range []int{1, 4} {
			if _, err := b.run(training + fmt.Sprintf("tuned(0.05, %d)\n", patience)); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.trained()["0.05 4"]; got.Output != want.Output || string(got.Summary) != string(want.Summary) {
			t.Errorf("stopped after update %d: %s, want %s", at, got.Summary, want.Summary)
		}
	}
}

// stopAt interrupts a run when an update is done.
type stopAt struct {
	*bench
	at   int
	stop func()
}

// Emit implements event.Sink.
func (s *stopAt) Emit(e event.Event) {
	if e.Kind == event.Progress && e.X == int64(s.at) {
		s.stop()
	}
	s.bench.Emit(e)
}

// The less memory there is, the more is computed again and the less at a time, to the
// same bytes; what does not fit is refused before it begins, with what would help.
func TestTrainingFitsTheMemory(t *testing.T) {
	plans, want, refused := map[string]bool{}, "", error(nil)
	for room := 384 << 10; refused == nil; room = room * 6 / 7 {
		b := trainingBench(t)
		b.host.OpenDevice = func() (gpu.Device, error) {
			return cpu.New(cpu.Options{Threads: 1, Memory: 256<<20 + room}) // of which it spares 256 MiB
		}
		if _, refused = b.run(training + "tuned(0.01, 2)\n"); refused != nil {
			break
		}
		for _, e := range b.events {
			if plan, _, ok := strings.Cut(e.Text, ":"); ok && strings.Contains(plan, "rows at a time") {
				plans[plan] = true
			}
		}
		got := b.trained()["0.01 2"].Output.String()
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("with %d bytes: %s, and with more %s", room, got, want)
		}
	}
	if len(plans) < 2 || !strings.Contains(refused.Error(), "are left") {
		t.Errorf("plans %v, and in the end %v", plans, refused)
	}
}

// An argument that makes no sense is refused by its name before rows or weights are read.
func TestNonsenseIsRefusedAtOnce(t *testing.T) {
	b := trainingBench(t)
	for call, want := range map[string]string{
		"lora.train(base, rows, batch_size = -1)":        "lora.train: batch_size is -1",
		"lora.train(base, rows, r = 0)":                  "lora.train: r is 0",
		`lora.train(base, rows, schedule = "slow")`:      `lora.train: schedule "slow"`,
		"model.train(base, rows, eval_steps = -1)":       "model.train: eval_steps is -1",
		"model.generate(base, rows, temperature = -1.0)": "model.generate: temperature is -1",
		"model.generate(base, rows, max_new_tokens = 0)": "model.generate: max_new_tokens is 0",
		`model.export(base, "../out")`:                   "want a place in the notebook's folder",
	} {
		_, err := b.run(training + call + "\n")
		name, _, _ := strings.Cut(call, "(")
		if began := b.count(event.StepStart, name) > 0; err == nil || !strings.Contains(err.Error(), want) || began {
			t.Errorf("%s: %v; the step began: %t", call, err, began)
		}
	}
}

// What is longer than the model's context is left out whatever max_tokens is, by a training as by
// distill.logits, and both say so.
func TestMaxTokensIsWithinTheContext(t *testing.T) {
	b := trainingBench(t)
	for _, call := range []string{"lora.train(small, rows, max_tokens = 500, max_steps = 1, batch_size = 2)", "distill.logits(small, rows, k = 4, max_tokens = 500)"} {
		if _, err := b.run(training + "small = model.new(words, dim = 8, layers = 1, heads = 2, hidden = 8, context = 6)\n" + call + "\n"); err != nil {
			t.Errorf("%s: %v", call, err)
		}
		if !slices.ContainsFunc(b.events, func(e event.Event) bool {
			return e.Kind == event.Warn && strings.Contains(e.Text, "longer than the model's context, 6 tokens, left out")
		}) {
			t.Errorf("%s says nothing of what is too long", call)
		}
	}
}
