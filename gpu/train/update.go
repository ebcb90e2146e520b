package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"starbook/gpu"
	"starbook/gpu/model"
)

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

// flight is an update that the device has and the host has not read.
type flight struct {
	u      Update // what is known beforehand
	list   []int  // its examples
	losses []model.Losses
	guard  func(dst []float32) error
}

// update waits for the next update, which becomes the pending one, after it has
// begun the one behind it.
func (t *Trainer) update(ctx context.Context) error {
	f := t.flight
	if f == nil {
		var err error
		if f, err = t.launch(ctx, t.at.Step); err != nil {
			return err
		}
	}
	t.flight = nil
	if n := f.u.Step; n < t.total && !t.evalDue(n) && (t.hold <= 0 || n%t.hold != 0) {
		t.flight, _ = t.launch(ctx, n) // of a failure its turn will tell
	}
	return t.land(f)
}

// launch puts update number s, counted from 0, into the device's hands.
func (t *Trainer) launch(ctx context.Context, s int) (*flight, error) {
	f := &flight{u: Update{Step: s + 1, Epoch: float64(s+1) / float64(t.perEpoch), LR: t.o.Rate(s, t.total)}, list: t.examples(s)}
	if err := t.accumulate(ctx, f); err != nil {
		return nil, fmt.Errorf("train: update %d: %w", f.u.Step, err)
	}
	t.params.Join()
	t.dev.SumSquares(t.guard.Slice(gpu.GuardSquares, gpu.GuardSquares+1), t.params.G)
	t.dev.Guard(t.guard)
	t.descend(f.u)
	f.guard = t.dev.Fetch(t.guard)
	return f, nil
}

// land waits for an update and makes it the pending one.
func (t *Trainer) land(f *flight) error {
	u, sum, at := f.u, 0.0, 0
	fail := func(err error) error { return fmt.Errorf("train: update %d: %w", u.Step, err) }
	for _, l := range f.losses {
		sequences, err := l.Wait()
		if err != nil {
			return fail(err)
		}
		for _, nll := range sequences {
			var got float64
			for _, x := range nll {
				got += float64(x)
			}
			if sum += got; notFinite(got) {
				u.Bad = append(u.Bad, f.list[at])
			}
			at++
		}
	}
	var guard [gpu.GuardLen]float32
	if err := f.guard(guard[:]); err != nil {
		return fail(err)
	}
	u.Loss, u.GradNorm = sum/float64(u.Targets), math.Sqrt(float64(guard[gpu.GuardSquares]))/float64(u.Targets)
	t.at.Step++
	if notFinite(u.Loss) || notFinite(u.GradNorm) {
		if err := t.skip(&u, f.list); err != nil {
			return err
		}
	} else {
		t.at.Skips = 0
		t.at.Applied++
	}
	t.at.Pending = &u
	return nil
}

// settle waits for the update under way, if there is one.
func (t *Trainer) settle() error {
	f := t.flight
	if f == nil {
		return nil
	}
	t.flight = nil
	return t.land(f)
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

// accumulate leaves the gradient of the summed loss of f's examples in
// params.G, to be joined, and that sum in the guard. It is computed MicroTokens
// rows at a time; how it is cut makes no difference.
func (t *Trainer) accumulate(ctx context.Context, f *flight) error {
	t.params.Clear()
	sum := t.guard.Slice(gpu.GuardLoss, gpu.GuardLoss+1)
	t.dev.Zero(sum)
	for done := 0; done < len(f.list); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := pack(&t.batch, t.train, f.list[done:], t.o.MicroTokens)
		t.batch.First = done
		losses, err := t.pass.Begin(&t.batch, dropoutKey(t.o.Seed, f.u.Step), sum)
		if err != nil {
			return err
		}
		f.losses = append(f.losses, losses)
		for _, at := range f.list[done : done+n] {
			f.u.Targets += t.train[at].Targets()
		}
		f.u.Rows += t.batch.Rows()
		done += n
	}
	return nil
}

// dropoutKey differs for all updates of a training.
func dropoutKey(seed uint64, step int) uint64 { return rand.NewPCG(seed, uint64(step)).Uint64() }

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
		Step: u.Step, GradScale: 1 / float64(u.Targets), MaxNorm: t.o.MaxGradNorm,
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
	t.dev.AdamW(p.W.Slice(from, to), p.G.Slice(from, to), t.m.Slice(from, to), t.v.Slice(from, to), t.guard, o)
}

func notFinite(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }
