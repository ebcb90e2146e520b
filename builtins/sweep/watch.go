package sweep

import (
	"context"
	"math"
	"sync"

	"starbook/runtime"
)

// Watch looks after the trainings of one trial and ends the trial's context, with a
// *runtime.Pruned as its cause, where the Pruner says so. A nil Watch lets everything pass.
type Watch struct {
	pruner Pruner
	over   []Trial // by which it judges
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	curves []Curve // of the trial's trainings, in the order of their beginning
}

type watchKey struct{}

// Watching returns the Watch of the trial that ctx belongs to, nil if nothing prunes it.
func Watching(ctx context.Context) *Watch {
	w, _ := ctx.Value(watchKey{}).(*Watch)
	return w
}

// watched returns the context of a trial.
func watched(ctx context.Context, p Pruner, over []Trial) (context.Context, *Watch) {
	if p == nil { // nor is it for the sweep around this one to judge
		return context.WithValue(ctx, watchKey{}, (*Watch)(nil)), nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := &Watch{pruner: p, over: over, cancel: cancel}
	return context.WithValue(ctx, watchKey{}, w), w
}

// Begin says that the trial begins a training: what is reported next is of that one.
func (w *Watch) Begin() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.curves = append(w.curves, Curve{})
}

// Report takes all losses of the training's evaluations so far and judges those that are new.
func (w *Watch) Report(losses []float64) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.curves) == 0 {
		return
	}
	at := len(w.curves) - 1
	c := &w.curves[at]
	var others []Curve
	for _, t := range w.over {
		if at < len(t.Curves) {
			others = append(others, t.Curves[at])
		}
	}
	for _, loss := range losses[min(len(losses), len(c.Losses)):] {
		if c.Cut {
			return
		}
		if math.IsNaN(loss) {
			loss = math.Inf(1)
		}
		c.Losses = append(c.Losses, loss)
		if why := w.pruner.Judge(*c, others); why != "" {
			c.Cut = true
			w.cancel(&runtime.Pruned{Why: why})
		}
	}
}

// end returns what the trainings came to, and lets the trial's context go.
func (w *Watch) end() []Curve {
	if w == nil {
		return nil
	}
	w.cancel(nil)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.curves
}
