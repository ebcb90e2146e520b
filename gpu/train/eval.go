package train

import (
	"context"
	"fmt"
	"math"
)

// Eval is the loss on the evaluation examples after an update.
type Eval struct {
	Step    int
	Loss    float64 // nats per trained token, over all examples
	LossHF  float64 // as the Trainer computes it: the mean of batches of eight, each a mean over its tokens
	Targets int     // trained tokens
	Best    bool    // lower than all before it; never so if it is not a number
}

// Perplexity returns exp(Loss).
func (e Eval) Perplexity() float64 { return math.Exp(e.Loss) }

// Evaluate computes the loss of the present weights on the evaluation examples.
func (t *Trainer) Evaluate(ctx context.Context) (Eval, error) {
	e := Eval{Step: t.at.Step}
	var sum, hf float64
	var group struct {
		sum     float64
		targets int
	}
	const groupSize = 8 // per_device_eval_batch_size
	for done := 0; done < len(t.every); {
		if err := ctx.Err(); err != nil {
			return e, fmt.Errorf("train: evaluation after update %d: %w", e.Step, err)
		}
		n := pack(&t.batch, t.eval, t.every[done:], t.o.MicroTokens)
		nll, err := t.pass.Loss(&t.batch)
		if err != nil {
			return e, fmt.Errorf("train: evaluation after update %d: %w", e.Step, err)
		}
		for i := range n {
			got, targets := t.cost(nll, i)
			sum += got
			e.Targets += targets
			group.sum += got
			group.targets += targets
			if at := done + i + 1; at%groupSize == 0 || at == len(t.every) {
				size := (at-1)%groupSize + 1
				hf += float64(size) * group.sum / float64(group.targets)
				group.sum, group.targets = 0, 0
			}
		}
		done += n
	}
	e.Loss, e.LossHF = sum/float64(e.Targets), hf/float64(len(t.every))
	return e, nil
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

// evaluate is Evaluate, kept in the history and compared with the best so far.
func (t *Trainer) evaluate(ctx context.Context) (Eval, error) {
	e, err := t.Evaluate(ctx)
	if err != nil {
		return e, err
	}
	best, ok := t.Best()
	if e.Best = !math.IsNaN(e.Loss) && (!ok || e.Loss < best.Loss); e.Best {
		if t.best, err = t.params.Read(); err != nil {
			return e, err
		}
	}
	t.at.Evals = append(t.at.Evals, e)
	return e, nil
}

// Best returns the evaluation with the lowest loss so far, if there is one.
func (t *Trainer) Best() (Eval, bool) {
	for i := len(t.at.Evals) - 1; i >= 0; i-- {
		if t.at.Evals[i].Best {
			return t.at.Evals[i], true
		}
	}
	return Eval{}, false
}

// BestWeights returns what Params.Read did at the best evaluation, nil before
// the first.
func (t *Trainer) BestWeights() []float32 { return t.best }

// evalDue reports whether update number step is followed by an evaluation.
func (t *Trainer) evalDue(step int) bool {
	every := t.o.EvalSteps
	if every == 0 {
		every = t.perEpoch
	}
	return len(t.eval) > 0 && every > 0 && step%every == 0
}
