package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// pruning sweeps learning rates of which some learn hardly anything.
const pruning = training + `
def trial(lr):
    return -tuned(lr, 0).best_eval_loss
rates = [0.05, 0.02, 0.03, 0.04, 0.00001, 0.00002, 0.01, 0.00003, 0.06]
`

// decisions returns what the bench's last sweep decided about each trial.
func (b *bench) decisions() event.SweepData {
	b.t.Helper()
	i := slices.IndexFunc(b.events, func(e event.Event) bool { return e.Kind == event.Sweep })
	if i < 0 {
		b.t.Fatal("no sweep")
	}
	var d event.SweepData
	if err := json.Unmarshal(b.events[i].Data, &d); err != nil {
		b.t.Fatal(err)
	}
	return d
}

// What is pruned is the same with one job and with four, after an interruption anywhere, and
// where the store holds all trainings already. It costs fewer updates, and those that were made
// are not lost.
func TestPrunedSweep(t *testing.T) {
	for _, rule := range []string{"median:0", "asha:2:2"} {
		sweep := fmt.Sprintf("s = sweep.grid(trial, lr = rates, prune = %q, jobs = %%d)\n", rule) + "print(s.best.lr, [t.pruned != '' for t in s.trials])\n"
		b := trainingBench(t)
		if _, err := b.run(pruning + fmt.Sprintf(sweep, 1)); err != nil {
			t.Fatal(err)
		}
		want, made := b.decisions(), b.updates()
		pruned := 0
		for _, tr := range want.Trials {
			if tr.Pruned == "" {
				continue
			}
			pruned++
			if tr.Value != nil || tr.Error != "" {
				t.Errorf("%s: a pruned trial has a value or an error: %+v", rule, tr)
			}
		}
		if pruned == 0 || pruned > 5 {
			t.Fatalf("%s: %d of 9 trials pruned: the test proves little: %+v", rule, pruned, want.Trials)
		}
		if whole := 9 * 60; made >= whole {
			t.Errorf("%s: %d updates, and without it %d", rule, made, whole)
		}
		if _, err := b.run(pruning + fmt.Sprintf(sweep, 1)); err != nil || b.updates() != 0 || !reflect.DeepEqual(b.decisions(), want) {
			t.Errorf("%s: run again, %d updates, %v", rule, b.updates(), err)
		}
		for _, e := range b.events {
			if e.Kind == event.StepFail {
				t.Errorf("%s: a pruned training counts as failed: %s", rule, e.Text)
			}
		}
		// The same trainings without a pruner go on from where they were, to the same bytes.
		if _, err := b.run(pruning + "sweep.grid(trial, lr = rates)\n"); err != nil || b.updates() != 9*60-made {
			t.Errorf("%s: without it afterwards %d updates, want the %d that are left: %v %+v", rule, b.updates(), 9*60-made, err, b.decisions().Trials)
		}
		whole := trainingBench(t)
		if _, err := whole.run(pruning + "sweep.grid(trial, lr = rates)\n"); err != nil {
			t.Fatal(err)
		}
		for key, step := range whole.trained() {
			if got := b.trained()[key]; got.Output != step.Output || string(got.Summary) != string(step.Summary) {
				t.Errorf("%s: %s went on to another adapter: %s, want %s", rule, key, got.Summary, step.Summary)
			}
		}
		if _, err := whole.run(pruning + fmt.Sprintf(sweep, 1)); err != nil || !reflect.DeepEqual(whole.decisions(), want) {
			t.Errorf("%s: where all is found done, other decisions: %v\n%+v\n%+v", rule, err, whole.decisions().Trials, want.Trials)
		}
		four := trainingBench(t)
		if _, err := four.run(pruning+fmt.Sprintf(sweep, 4), oneDevice); err != nil || !reflect.DeepEqual(four.decisions(), want) {
			t.Errorf("%s: with four jobs %v\n%+v\n%+v", rule, err, four.decisions().Trials, want.Trials)
		}
		cutOff := trainingBench(t)
		for _, at := range []int{7, 90, 130} {
			cutOff.interrupt(pruning+fmt.Sprintf(sweep, 2), at)
		}
		if _, err := cutOff.run(pruning + fmt.Sprintf(sweep, 1)); err != nil || !reflect.DeepEqual(cutOff.decisions(), want) {
			t.Errorf("%s: after interruptions %v\n%+v\n%+v", rule, err, cutOff.decisions().Trials, want.Trials)
		}
	}
}

// oneDevice lets one training compute at a time, as the command line does.
func oneDevice(r *runtime.Run) { r.Pool = runtime.NewPool(map[runtime.Resource]int{runtime.GPU: 1}) }

// interrupt runs src and stops it after so many updates.
func (b *bench) interrupt(src string, updates int) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	_, err := b.runIn(ctx, src, oneDevice, watched(&stopAfter{bench: b, left: updates, stop: cancel}))
	if !errors.Is(err, runtime.ErrInterrupted) {
		b.t.Fatalf("stopped after %d updates: %v", updates, err)
	}
}

// stopAfter interrupts a run after so many updates of any training.
type stopAfter struct {
	*bench
	left int
	stop func()
}

// Emit implements event.Sink.
func (s *stopAfter) Emit(e event.Event) {
	s.bench.Emit(e)
	if e.Kind == event.Progress {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.left--; s.left == 0 {
			s.stop()
		}
	}
}

// A run that its sweep pruned says so, and is neither failed nor interrupted.
func TestPrunedRun(t *testing.T) {
	b := trainingBench(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	r, err := b.runIn(ctx, training+"tuned(0.05, 0)\n", watched(&stopAfter{bench: b, left: 6, stop: func() { cancel(&runtime.Pruned{Why: "eval 3: worse"}) }}))
	var pruned *runtime.Pruned
	if !errors.As(err, &pruned) || errors.Is(err, runtime.ErrInterrupted) || runtime.ExitCode(err) != 0 {
		t.Errorf("got %v, exit code %d", err, runtime.ExitCode(err))
	}
	got, err := b.store.Run(r.ID)
	if err != nil || got.Status != store.Pruned || got.Pruned != "eval 3: worse" || got.Error != "" || got.Exit != 0 {
		t.Errorf("the run is %+v, %v", got, err)
	}
	rows, err := b.store.Query(t.Context(), "SELECT status, pruned FROM runs")
	if err != nil || fmt.Sprint(rows.Rows) != "[[pruned eval 3: worse]]" {
		t.Errorf("in SQL: %v, %v", rows.Rows, err)
	}
}
