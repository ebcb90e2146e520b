package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/train"
)

// Train is a training to be measured: an adapter on all seven projections of
// every layer of a model of random weights.
type Train struct {
	Shape   string  `json:"shape"`
	Rank    int     `json:"rank"`
	Tokens  int     `json:"tokens"`  // rows of an example; of the longest if Ragged
	Ragged  bool    `json:"ragged"`  // lengths are spread evenly from a fifth of Tokens up
	Trained float64 `json:"trained"` // share of an example that is trained: its end
	Batch   int     `json:"batch"`   // examples of an update
	Rows    int     `json:"rows"`    // computed at a time at most; 0: a whole update
	Steps   int     `json:"steps"`   // updates that are measured
	Warmup  int     `json:"warmup"`  // updates before these
	Weights string  `json:"weights"` // type of the base: bf16 or f32
	Seed    uint64  `json:"seed"`
	Job     Job     `json:"job"`
	Best    Best    `json:"best"`
}

// Job is a whole training whose time follows from measured updates,
// evaluations and checkpoints.
type Job struct {
	Examples int     `json:"examples"` // 0: no job
	Epochs   int     `json:"epochs"`
	HeldOut  float64 `json:"held_out"` // share of the examples that is evaluated on
	Every    int     `json:"every"`    // updates between evaluations, each with a checkpoint
}

func (o Train) check() error {
	switch {
	case o.Rank < 1 || o.Tokens < 1 || o.Batch < 1 || o.Steps < 1 || o.Warmup < 0 || o.Rows < 0:
		return fmt.Errorf("bench: rank %d, tokens %d, batch %d and steps %d must be positive, warmup %d and rows %d not negative",
			o.Rank, o.Tokens, o.Batch, o.Steps, o.Warmup, o.Rows)
	case !(o.Trained > 0 && o.Trained <= 1):
		return fmt.Errorf("bench: a share of %g of an example is trained: it must be above 0, and 1 at most", o.Trained)
	case o.Job.Examples < 0 || o.Job.Examples > 0 && (o.Job.Epochs < 1 || o.Job.Every < 1 || !(o.Job.HeldOut >= 0 && o.Job.HeldOut < 1)):
		return fmt.Errorf("bench: a job of %d examples × %d epochs, %g of them held out, evaluated every %d updates, is none",
			o.Job.Examples, o.Job.Epochs, o.Job.HeldOut, o.Job.Every)
	}
	return nil
}

// training is a Train on its way.
type training struct {
	Train
	cfg     model.Config
	dev     gpu.Device
	meter   gpu.Meter
	rates   Rates
	held    int // bytes that were taken from the driver before
	plan    train.Memory
	lengths []int
	tr      *train.Trainer
	seconds []float64 // of each measured update
	rows    []float64 // of each
	targets float64   // of all
	loss    [2]float64
	busy    float64 // seconds of all measured updates
}

// Run measures.
func (o Train) Run(ctx context.Context, dev gpu.Device) (*Report, error) {
	cfg, err := Shape(o.Shape)
	if err != nil {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &training{Train: o, cfg: cfg, dev: dev, meter: gpu.MeterOf(dev)}
	examples, held := t.examples()
	options := t.options()
	t.held = dev.Use().Peak
	if t.plan, err = train.Plan(dev, t.open, examples, held, options); err != nil {
		return nil, err
	}
	options.MicroTokens, options.Recompute = t.plan.Rows, t.plan.Recompute
	m, a, err := t.open(dev)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	defer a.Close()
	if t.tr, err = train.New(m, a, examples, held, options); err != nil {
		return nil, err
	}
	defer t.tr.Close()
	if err := t.updates(ctx); err != nil {
		return nil, err
	}
	taken := dev.Use().Peak
	if t.rates, err = o.Best.measure(ctx, dev); err != nil { // afterwards: it takes memory too
		return nil, err
	}
	r := &Report{
		Bench: "train", Shape: o.Shape, Device: dev.Name(), Config: json.RawMessage(cfg.JSON()), Options: o, Lengths: t.lengths,
		Figures: append(t.speed(), t.memory(taken)...),
	}
	if o.Job.Examples > 0 {
		job, err := t.job(ctx)
		if err != nil {
			return nil, err
		}
		r.Figures = append(r.Figures, job...)
	}
	r.Figures = append(r.Figures, t.rates.figures()...)
	return r, nil
}

// random makes a model whose base is of the type that a flag names.
func random(dev gpu.Device, cfg model.Config, weights string, seed uint64) (*model.Transformer, error) {
	t, err := typeOf(weights)
	if err != nil {
		return nil, err
	}
	return model.Random(dev, cfg, t, seed)
}

func typeOf(weights string) (gpu.Type, error) {
	switch weights {
	case "bf16":
		return gpu.BF16, nil
	case "f32":
		return gpu.F32, nil
	}
	return 0, fmt.Errorf("bench: weights of type %q: there are bf16 and f32", weights)
}

// open makes the model and its adapter.
func (t *training) open(dev gpu.Device) (*model.Transformer, *model.Adapter, error) {
	m, err := random(dev, t.cfg, t.Weights, t.Seed)
	if err != nil {
		return nil, nil, err
	}
	a, err := model.NewAdapter(m, model.LoRA{Rank: t.Rank, Alpha: float64(t.Rank), Targets: []string{"all-linear"}, Seed: t.Seed})
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return m, a, nil
}

// examples are as many as all measured updates need, and those to evaluate a job on.
func (t *training) examples() (examples, held []train.Example) {
	random := rand.New(rand.NewPCG(t.Seed, 1))
	t.lengths = lengths(random, t.Batch*t.Steps, t.Tokens, t.Ragged)
	examples = make([]train.Example, len(t.lengths))
	for i, n := range t.lengths {
		examples[i] = example(random, n, t.cfg.Vocab, t.Trained)
	}
	if t.Job.Examples > 0 {
		held = examples[:min(len(examples), heldOut)]
	}
	return examples, held
}

func (t *training) options() train.Options {
	o := train.Default()
	o.MaxSteps, o.Batch, o.EvalSteps, o.Seed = t.Warmup+t.Steps, t.Batch, -1, t.Seed
	if o.MicroTokens = t.Rows; o.MicroTokens == 0 {
		o.MicroTokens = t.Batch * t.Tokens
	}
	return o
}

// lengths returns n lengths: all the longest, or spread from a fifth of that up.
func lengths(random *rand.Rand, n, longest int, ragged bool) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = longest
		if ragged {
			list[i] -= random.IntN(longest - longest/5)
		}
	}
	return list
}

// example returns one of so many rows, at whose end a share is trained.
func example(random *rand.Rand, rows, vocab int, trained float64) train.Example {
	e := train.Example{Tokens: make([]int32, rows+1), Trained: make([]bool, rows+1)}
	first := rows - max(1, int(trained*float64(rows)))
	for i := range e.Tokens {
		e.Tokens[i], e.Trained[i] = int32(random.IntN(vocab)), i > first
	}
	return e
}

// updates makes and times them.
func (t *training) updates(ctx context.Context) error {
	n, last := 0, time.Now()
	begin := func() {
		if n == t.Warmup && t.meter != nil {
			t.meter.Busy()
		}
		last = time.Now()
	}
	if t.meter == nil {
		t.tr.Hold(1) // the device computes when it is asked to: the next update would be timed with this one
	}
	begin()
	for u, err := range t.tr.Steps(ctx) {
		if err != nil {
			return err
		}
		if n++; n == 1 {
			t.loss[0] = u.Loss
		}
		t.loss[1] = u.Loss
		if n > t.Warmup {
			t.seconds = append(t.seconds, time.Since(last).Seconds())
			t.rows, t.targets = append(t.rows, float64(u.Rows)), t.targets+float64(u.Targets)
		}
		begin()
	}
	if err := t.dev.Sync(); err != nil { // an update may be yielded before it is done
		return err
	}
	t.seconds[len(t.seconds)-1] += time.Since(last).Seconds()
	if t.meter != nil {
		t.busy = t.meter.Busy()
	}
	return t.dev.Sync()
}
