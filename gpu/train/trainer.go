package train

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

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
	sumsq           gpu.Buf // (1)

	at   progress
	best []float32 // params.W at the best evaluation, or nil

	epoch   int   // that order is of
	order   []int // of the examples in this epoch
	shuffle func(seed uint64, epoch, n int) []int
	every   []int // 0, 1, … of the evaluation
	batch   model.Batch
	norm    []float32
}

// progress is what a State needs to remember besides tensors.
type progress struct {
	Step    int     `json:"step"`              // updates done, skipped ones included
	Applied int     `json:"applied"`           // updates that AdamW made
	Skips   int     `json:"skips"`             // the last so many updates were skipped
	Evals   []Eval  `json:"evals"`             // all evaluations so far
	Pending *Update `json:"pending,omitempty"` // made, but its evaluation was interrupted
}

// Update is what one step of the optimiser did.
type Update struct {
	Step     int     // 1 for the first
	Epoch    float64 // passes over the examples so far
	Loss     float64 // nats per trained token, before the update
	GradNorm float64 // before clipping
	LR       float64 // of this update
	Targets  int     // trained tokens
	Rows     int     // computed tokens
	Skipped  bool    // loss or norm was not finite: nothing changed
	Bad      []int   // if skipped, the examples that may be to blame
	Eval     *Eval   // nil unless one was due
}

// New prepares to train a, or all of m if a is nil and m unfrozen. The
// examples must not change until Close. eval may be empty.
func New(m *model.Transformer, a *model.Adapter, train, eval []Example, o Options) (*Trainer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if len(train) == 0 {
		return nil, fmt.Errorf("train: there are no examples")
	}
	if err := check("training", train, m.Config); err != nil {
		return nil, err
	}
	if err := check("evaluation", eval, m.Config); err != nil {
		return nil, err
	}
	pass, err := model.NewPass(m, a, roomFor(train, eval, o), true)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	t := &Trainer{
		dev: m.Device(), pass: pass, params: pass.Params(), train: train, eval: eval, o: o, lora: a != nil,
		data: digest(train, eval), epoch: -1, shuffle: shuffle, norm: make([]float32, 1),
	}
	t.total, t.perEpoch = o.Steps(len(train))
	for i := range eval {
		t.every = append(t.every, i)
	}
	n := t.params.Len()
	t.m, t.v, t.sumsq = t.dev.Alloc(gpu.F32, n), t.dev.Alloc(gpu.F32, n), t.dev.Alloc(gpu.F32, 1)
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

// Evals returns all evaluations so far, those before a Restore included. To
// find where a stopping rule is after a Restore, let it judge them again.
func (t *Trainer) Evals() []Eval { return slices.Clone(t.at.Evals) }

// Close frees the memory of the training. The weights stay.
func (t *Trainer) Close() {
	t.pass.Close()
	for _, b := range []gpu.Buf{t.m, t.v, t.sumsq} {
		t.dev.Free(b)
	}
}

// Steps trains until all updates are done, ctx is, or the caller breaks. Each
// time the body runs, State would continue with the next update. Two updates
// in a row that had to be skipped are an error.
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
		u, err := t.update(ctx)
		if err != nil {
			return u, err
		}
		t.at.Pending = &u
	}
	u := *t.at.Pending
	if t.evalDue() {
		e, err := t.evaluate(ctx)
		if err != nil {
			return u, err
		}
		u.Eval = &e
	}
	t.at.Pending = nil
	return u, nil
}

// update makes update number Step, counted from 0.
func (t *Trainer) update(ctx context.Context) (Update, error) {
	s := t.at.Step
	u := Update{Step: s + 1, Epoch: float64(s+1) / float64(t.perEpoch), LR: t.o.Rate(s, t.total)}
	list := t.examples(s)
	sum, err := t.accumulate(ctx, &u, list)
	if err != nil {
		return u, err
	}
	u.Loss = sum / float64(u.Targets)
	if err := t.gradNorm(&u); err != nil {
		return u, err
	}
	t.at.Step++
	if notFinite(u.Loss) || notFinite(u.GradNorm) {
		return u, t.skip(&u, list)
	}
	t.at.Skips = 0
	t.at.Applied++
	t.descend(u)
	if err := t.dev.Sync(); err != nil {
		return u, fmt.Errorf("train: update %d: %w", u.Step, err)
	}
	return u, nil
}

// examples returns the examples of update s, in the order drawn for its epoch.
func (t *Trainer) examples(s int) []int {
	epoch, at := s/t.perEpoch, s%t.perEpoch*t.o.Batch
	if epoch != t.epoch {
		t.epoch, t.order = epoch, t.shuffle(t.o.Seed, epoch, len(t.train))
	}
	return t.order[at:min(at+t.o.Batch, len(t.order))]
}

// shuffle returns the order of n examples in an epoch.
func shuffle(seed uint64, epoch, n int) []int {
	return rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(n)
}

// accumulate leaves the gradient of the summed loss of the listed examples in
// params.G, and returns that sum. It is computed MicroTokens rows at a time;
// how it is cut makes no difference (but for tied tables in full training,
// which get gradients from both their uses: there it does in the last bits).
func (t *Trainer) accumulate(ctx context.Context, u *Update, list []int) (float64, error) {
	t.dev.Zero(t.params.G)
	var sum float64
	for done := 0; done < len(list); {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("train: update %d: %w", u.Step, err)
		}
		n := pack(&t.batch, t.train, list[done:], t.o.MicroTokens)
		t.batch.First = done
		nll, err := t.pass.Gradient(&t.batch, dropoutKey(t.o.Seed, u.Step))
		if err != nil {
			return 0, fmt.Errorf("train: update %d: %w", u.Step, err)
		}
		for i := range n {
			got, targets := t.cost(nll, i)
			if sum += got; notFinite(got) {
				u.Bad = append(u.Bad, list[done+i])
			}
			u.Targets += targets
		}
		u.Rows += t.batch.Rows()
		done += n
	}
	return sum, nil
}

// cost sums the losses of sequence i of the batch and counts its targets.
func (t *Trainer) cost(nll []float32, i int) (sum float64, targets int) {
	for row := t.batch.Starts[i]; row < t.batch.Starts[i+1]; row++ {
		if t.batch.Targets[row] >= 0 {
			sum += float64(nll[row])
			targets++
		}
	}
	return sum, targets
}

// dropoutKey differs for all updates of a training.
func dropoutKey(seed uint64, step int) uint64 { return rand.NewPCG(seed, uint64(step)).Uint64() }

func (t *Trainer) gradNorm(u *Update) error {
	t.dev.SumSquares(t.sumsq, t.params.G)
	t.dev.Download(t.norm, t.sumsq)
	if err := t.dev.Sync(); err != nil {
		return fmt.Errorf("train: update %d: %w", u.Step, err)
	}
	u.GradNorm = math.Sqrt(float64(t.norm[0])) / float64(u.Targets)
	return nil
}

// skip records that an update did not happen.
func (t *Trainer) skip(u *Update, list []int) error {
	u.Skipped = true
	if len(u.Bad) == 0 { // every loss is fine, so the gradient overflowed somewhere
		u.Bad = append(u.Bad, list...)
	}
	if t.at.Skips++; t.at.Skips > 1 {
		return fmt.Errorf("train: updates %d and %d: loss %g, gradient norm %g on examples %v: lower lr, or look at these examples",
			u.Step-1, u.Step, u.Loss, u.GradNorm, u.Bad)
	}
	return nil
}

// descend makes AdamW's step: an adapter's A and B, or a full model's matrices
// and norms, are groups of their own.
func (t *Trainer) descend(u Update) {
	o := gpu.AdamW{
		LR: u.LR, Beta1: t.o.Beta1, Beta2: t.o.Beta2, Eps: t.o.Eps, WeightDecay: t.o.WeightDecay,
		Step: t.at.Applied, GradScale: 1 / float64(u.Targets), MaxNorm: t.o.MaxGradNorm,
	}
	second := o
	switch {
	case !t.lora:
		second.WeightDecay = 0
	case t.o.LoRAPlus > 0:
		second.LR *= t.o.LoRAPlus
	}
	if second == o {
		t.adamW(0, t.params.Len(), o)
		return
	}
	t.adamW(0, t.params.Split, o)
	t.adamW(t.params.Split, t.params.Len(), second)
}

func (t *Trainer) adamW(from, to int, o gpu.AdamW) {
	p := t.params
	t.dev.AdamW(p.W.Slice(from, to), p.G.Slice(from, to), t.m.Slice(from, to), t.v.Slice(from, to), t.sumsq, o)
}

func notFinite(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
