package train

import (
	"context"
	"fmt"
	"iter"

	"starbook/gpu"
	"starbook/gpu/model"
)

// Trainer is a training on its way: the weights, the optimiser's memory, and
// how far it has come.
type Trainer struct {
	dev    gpu.Device
	pass   *model.Pass
	params *model.Params
	train  []Example
	eval   []Example
	o      Options
	lora   bool

	total, perEpoch int
	data            string  // digest of the examples
	m, v            gpu.Buf // AdamW's moments, as long as params.W
	guard           gpu.Buf // what decides on the device whether an update is made
	hold            int     // see Hold
	flight          *flight // the update under way, or nil

	at   progress
	best []float32 // params.W at the best evaluation, or nil

	epoch   int   // that order is of
	order   []int // of the examples in this epoch
	shuffle func(seed uint64, epoch, n int) []int
	every   []int // 0, 1, … of the evaluation
	batch   model.Batch
}

// progress is what a State needs to remember besides tensors.
type progress struct {
	Step    int     `json:"step"`              // updates read, skipped ones included
	Applied int     `json:"applied"`           // updates that AdamW made
	Skips   int     `json:"skips"`             // the last so many updates were skipped
	Evals   []Eval  `json:"evals"`             // all evaluations so far
	Pending *Update `json:"pending,omitempty"` // made, but its evaluation was interrupted
}

// New prepares to train a, or all of m if a is nil and m unfrozen. The
// examples must not change until Close. eval may be empty.
func New(m *model.Transformer, a *model.Adapter, train, eval []Example, o Options) (*Trainer, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if len(train) == 0 {
		return nil, fmt.Errorf("train: there are no examples")
	}
	if err := check("training", train, m.Config, o.Distil); err != nil {
		return nil, err
	}
	if err := check("evaluation", eval, m.Config, o.Distil); err != nil {
		return nil, err
	}
	if o.Recompute < 0 {
		o.Recompute = model.RecomputeCheap
	}
	_, rows := roomFor(train, eval, o)
	pass, err := model.NewTraining(m, a, rows, o.Recompute)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	t := &Trainer{
		dev: m.Device(), pass: pass, params: pass.Params(), train: train, eval: eval, o: o, lora: a != nil,
		data: digest(train, eval), epoch: -1, shuffle: shuffle,
	}
	t.total, t.perEpoch = o.Steps(len(train))
	t.batch.Distil = o.Distil
	for i := range eval {
		t.every = append(t.every, i)
	}
	n := t.params.Len()
	t.m, t.v, t.guard = t.dev.Alloc(gpu.F32, n), t.dev.Alloc(gpu.F32, n), t.dev.Alloc(gpu.F32, gpu.GuardLen)
	if err := t.dev.Sync(); err != nil {
		t.Close()
		return nil, fmt.Errorf("train: moments of %d parameters: %w", n, err)
	}
	return t, nil
}

// Total returns the number of updates that the options ask for.
func (t *Trainer) Total() int { return t.total }

// Step returns the number of updates done.
func (t *Trainer) Step() int { return t.at.Step }

// Done reports whether there is nothing left to do, a pending evaluation included.
func (t *Trainer) Done() bool { return t.at.Pending == nil && t.at.Step >= t.total }

// Close frees the memory of the training. The weights stay.
func (t *Trainer) Close() {
	t.pass.Close()
	for _, b := range []gpu.Buf{t.m, t.v, t.guard} {
		t.dev.Free(b)
	}
}

// Hold lets the weights be those of the update that the body of Steps is given
// after every n updates, 0: never. They always are so where an evaluation was
// due; elsewhere the device is at work on the next one already.
func (t *Trainer) Hold(n int) { t.hold = n }

// Steps trains until all updates are done, ctx is, or the caller breaks. What
// an update came to is read while the next one runs, so that the device never
// waits for the host. Whenever the body runs, State continues with what the
// body was not given yet. Two updates in a row that had to be skipped are an error.
func (t *Trainer) Steps(ctx context.Context) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		for !t.Done() {
			u, err := t.next(ctx)
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// next makes one update and the evaluation due after it. If ctx ends in the
// evaluation, the update stays pending.
func (t *Trainer) next(ctx context.Context) (Update, error) {
	if t.at.Pending == nil {
		if err := t.update(ctx); err != nil {
			return Update{Step: t.at.Step + 1}, err
		}
	}
	u := *t.at.Pending
	if t.evalDue(u.Step) {
		e, err := t.evaluate(ctx)
		if err != nil {
			return u, err
		}
		u.Eval = &e
	}
	t.at.Pending = nil
	return u, nil
}
