// Package train fits a model, or an adapter to it, to examples. The loop is an
// iterator: stopping is break, and checkpoints and metrics belong to whoever
// ranges over it. Given the same weights, examples and Options on one kind of
// device, every update is the same to the last bit, across interruptions too.
//
// Numbers mean what they mean in the Hugging Face Trainer, as of the release
// that counts shifted labels (transformers#46204).
package train

import (
	"fmt"
	"math"

	"starbook/gpu/model"
)

// Options is everything but weights and examples that decides what an update
// does. When to stop early is not among it: see Stopper.
type Options struct {
	Epochs      float64  `json:"epochs"`        // passes over the examples; ignored if MaxSteps is set
	MaxSteps    int      `json:"max_steps"`     // updates; 0: as Epochs says
	Batch       int      `json:"batch"`         // examples per update
	MicroTokens int      `json:"micro_tokens"`  // rows computed at a time, of no influence on results; a longer example is computed alone
	Recompute   int      `json:"-"`             // a level of model.RecomputeNone; below 0: as Plan says, or else RecomputeCheap; of no influence on results
	LR          float64  `json:"lr"`            // at the top of the schedule
	Schedule    Schedule `json:"schedule"`      // of the learning rate
	Warmup      float64  `json:"warmup"`        // updates, or below 1 a share of all
	Decay       float64  `json:"decay"`         // of WSD: updates, or below 1 a share of all
	WeightDecay float64  `json:"weight_decay"`  // not of a full model's norms
	Beta1       float64  `json:"beta1"`         // of AdamW
	Beta2       float64  `json:"beta2"`         // of AdamW
	Eps         float64  `json:"eps"`           // of AdamW
	MaxGradNorm float64  `json:"max_grad_norm"` // 0: no clipping
	LoRAPlus    float64  `json:"lora_plus"`     // B's learning rate is this many times A's; 0 or 1: the same
	EvalSteps   int      `json:"eval_steps"`    // updates between evaluations; 0: once an epoch; negative: never
	Seed        uint64   `json:"seed"`          // of the order of examples and of dropout

	Distil model.Distil `json:"distil"` // from the examples' Soft
}

// Default returns the defaults of TrainingArguments, with a learning rate that
// suits LoRA.
func Default() Options {
	return Options{
		Epochs: 3, Batch: 8, MicroTokens: 2048, Recompute: -1, LR: 2e-4, Schedule: Linear, Decay: 0.1,
		Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, MaxGradNorm: 1,
	}
}

// Check returns an error that names the first option that makes no sense.
func (o Options) Check() error {
	amount := func(x float64) bool { return x >= 0 && !math.IsInf(x, 0) }
	switch {
	case o.MaxSteps < 0 || o.MaxSteps == 0 && !(o.Epochs > 0 && o.Epochs < 1e9):
		return fmt.Errorf("epochs is %g and max_steps %d: one of them must be positive", o.Epochs, o.MaxSteps)
	case o.Batch <= 0:
		return fmt.Errorf("batch_size is %d: it must be positive", o.Batch)
	case o.MicroTokens <= 0:
		return fmt.Errorf("micro_tokens is %d: it must be positive", o.MicroTokens)
	case !amount(o.LR):
		return fmt.Errorf("lr is %g: it must be a number of at least 0", o.LR)
	case !amount(o.Warmup) || !amount(o.Decay):
		return fmt.Errorf("warmup is %g and decay %g: neither may be negative", o.Warmup, o.Decay)
	case !amount(o.WeightDecay) || !amount(o.MaxGradNorm) || !amount(o.LoRAPlus):
		return fmt.Errorf("weight_decay %g, max_grad_norm %g, lora_plus %g: none may be negative", o.WeightDecay, o.MaxGradNorm, o.LoRAPlus)
	case !(o.Beta1 >= 0 && o.Beta1 < 1 && o.Beta2 >= 0 && o.Beta2 < 1 && o.Eps > 0):
		return fmt.Errorf("betas %g and %g must lie in [0, 1), and eps %g above 0", o.Beta1, o.Beta2, o.Eps)
	}
	return o.Schedule.check()
}

// Steps returns the number of updates that o makes of n examples, and how many
// of them are an epoch.
func (o Options) Steps(n int) (total, perEpoch int) {
	perEpoch = (n + o.Batch - 1) / o.Batch
	if o.MaxSteps > 0 {
		return o.MaxSteps, perEpoch
	}
	return int(math.Ceil(o.Epochs * float64(perEpoch))), perEpoch
}
