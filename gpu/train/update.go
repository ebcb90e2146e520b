package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"starbook/gpu"
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
