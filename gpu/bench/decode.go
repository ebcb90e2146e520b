package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"starbook/gpu"
	"starbook/gpu/model"
)

// Decode is an evaluation's generation to be measured: greedy completions of
// random prompts by a model of random weights.
type Decode struct {
	Shape   string `json:"shape"`
	Rank    int    `json:"rank"`    // of an adapter on all seven projections; 0: none
	Batch   int    `json:"batch"`   // sequences at a time
	Prompts int    `json:"prompts"` // 0: twice the batch
	Prompt  int    `json:"prompt"`  // tokens of a prompt
	New     int    `json:"new"`     // tokens of a completion; of the longest if Ragged
	Ragged  bool   `json:"ragged"`  // lengths are spread evenly from a fifth of New up
	Static  bool   `json:"static"`  // a batch ends before the next begins, as without continuous batching
	Rows    int    `json:"rows"`    // prompt tokens computed at a time
	Steps   int    `json:"steps"`   // repetitions of the whole
	Warmup  int    `json:"warmup"`  // before these
	Weights string `json:"weights"` // type of the base: bf16 or f32
	Seed    uint64 `json:"seed"`
	Best    Best   `json:"best"`
}

func (o Decode) check(c model.Config) error {
	switch {
	case o.Batch < 1 || o.Prompt < 1 || o.New < 1 || o.Steps < 1 || o.Rank < 0 || o.Prompts < 0 || o.Rows < 0 || o.Warmup < 0:
		return fmt.Errorf("bench: batch %d, prompt %d, new %d and steps %d must be positive, rank %d, prompts %d, rows %d and warmup %d not negative",
			o.Batch, o.Prompt, o.New, o.Steps, o.Rank, o.Prompts, o.Rows, o.Warmup)
	case o.Prompt+o.New > c.MaxPositions:
		return fmt.Errorf("bench: %d tokens of prompt and %d of completion: %s holds %d", o.Prompt, o.New, o.Shape, c.MaxPositions)
	}
	return nil
}

// generation is a Decode on its way.
type generation struct {
	Decode
	m       *model.Transformer
	a       *model.Adapter // nil: none
	meter   gpu.Meter      // nil: none
	rates   Rates
	prompts [][]int32
	limits  []int     // tokens of each completion
	seconds []float64 // of each measured repetition
	busy    float64   // seconds of all of them
	plan    int       // bytes; 0: the host's memory is not planned
	taken   int       // bytes
}

// Run measures.
func (o Decode) Run(ctx context.Context, dev gpu.Device) (*Report, error) {
	cfg, err := Shape(o.Shape)
	if err != nil {
		return nil, err
	}
	if err := o.check(cfg); err != nil {
		return nil, err
	}
	if o.Prompts == 0 {
		o.Prompts = 2 * o.Batch
	}
	g := &generation{Decode: o, meter: gpu.MeterOf(dev)}
	random := rand.New(rand.NewPCG(o.Seed, 2))
	g.limits = lengths(random, o.Prompts, o.New, o.Ragged)
	for range o.Prompts {
		g.prompts = append(g.prompts, example(random, o.Prompt-1, cfg.Vocab, 1).Tokens)
	}
	if err := g.rehearse(ctx, dev, cfg); err != nil {
		return nil, err
	}
	if err := g.open(dev, cfg); err != nil {
		return nil, err
	}
	defer g.close()
	for i := range o.Warmup + o.Steps {
		if err := g.repeat(ctx, i >= o.Warmup); err != nil {
			return nil, err
		}
	}
	g.taken = dev.Use().Peak
	if g.rates, err = o.Best.measure(ctx, dev); err != nil { // afterwards: it takes memory too
		return nil, err
	}
	return &Report{
		Bench: "decode", Shape: o.Shape, Device: dev.Name(), Config: json.RawMessage(cfg.JSON()), Options: o, Lengths: g.limits,
		Figures: append(g.figures(), g.rates.figures()...),
	}, dev.Sync()
}

// open makes the model and its adapter, if there is one.
func (g *generation) open(dev gpu.Device, cfg model.Config) (err error) {
	if g.m, err = random(dev, cfg, g.Weights, g.Seed); err != nil || g.Rank == 0 {
		return err
	}
	g.a, err = model.NewAdapter(g.m, model.LoRA{Rank: g.Rank, Alpha: float64(g.Rank), Targets: []string{"all-linear"}, Seed: g.Seed})
	if err != nil {
		g.close()
	}
	return err
}

func (g *generation) close() {
	if g.a != nil {
		g.a.Close()
	}
	g.m.Close()
	g.m, g.a = nil, nil
}

// rehearse finds out what the completions take from the driver.
func (g *generation) rehearse(ctx context.Context, dev gpu.Device, cfg model.Config) error {
	r := dev.Rehearse()
	if r == nil {
		return nil
	}
	defer r.Close()
	if err := g.open(r, cfg); err != nil {
		return err
	}
	defer g.close()
	err := g.complete(ctx)
	g.plan = r.Use().Peak
	return err
}

// repeat completes all prompts, and keeps what that took if it is measured.
func (g *generation) repeat(ctx context.Context, measured bool) error {
	if g.meter != nil {
		g.meter.Busy()
	}
	start := time.Now()
	if err := g.complete(ctx); err != nil || !measured {
		return err
	}
	g.seconds = append(g.seconds, time.Since(start).Seconds())
	if g.meter != nil {
		g.busy += g.meter.Busy()
	}
	return nil
}

func (g *generation) figures() []Figure {
	tokens, all := 0, 0.0
	for _, n := range g.limits {
		tokens += n
	}
	for _, s := range g.seconds {
		all += s
	}
	floor := g.floor()
	figures := []Figure{
		measured("speed", "tok/s", scaled(g.seconds, func(s float64) float64 { return float64(tokens) / s })...).
			noted("%d tokens of %d completions, the prompts' %d computed on the way", tokens, g.Prompts, g.Prompts*g.Prompt),
		measured("all completions", "s", g.seconds...),
		busyShare(g.meter, g.busy, all),
		computed("floor", "s", floor).noted("weights and caches read at the copy's rate, prompts computed at the large GEMM's"),
		measured("share of the floor", "%", scaled(g.seconds, func(s float64) float64 { return 100 * floor / s })...),
	}
	return append(figures, against(g.plan, g.taken)...)
}

// complete completes all prompts, a batch after the other if Static.
func (g *generation) complete(ctx context.Context) error {
	group := g.Prompts
	if g.Static {
		group = g.Batch
	}
	d := model.Decoding{MaxNew: g.New, EOS: []int32{}, Batch: g.Batch, Rows: g.Rows}
	for from := 0; from < g.Prompts; from += group {
		to := min(from+group, g.Prompts)
		d.Limits = g.limits[from:to]
		for _, err := range g.m.Generate(ctx, g.a, g.prompts[from:to], d) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// floor is the seconds that the completions take at least: all weights but the table of
// embeddings are read for each step of a full batch, and the caches as far as they are filled.
func (g *generation) floor() float64 {
	c := g.m.Config
	tokens, cached := 0, 0.0
	for _, n := range g.limits {
		tokens += n
		cached += float64(n) * (float64(g.Prompt) + float64(n)/2)
	}
	weights := float64(g.m.Bytes())
	if !c.Tied {
		weights *= 1 - float64(c.Vocab*c.Hidden)/float64(g.m.Size())
	}
	steps := (tokens + g.Batch - 1) / g.Batch
	position := float64(g.m.Device().Activations().Bytes(2 * c.Layers * c.KVHeads * c.HeadDim))
	prefill := 2 * float64(matrices(c)) * float64(g.Prompts*g.Prompt)
	return (float64(steps)*weights+cached*position)/(g.rates.Copy.Value*1e9) + prefill/(g.rates.GEMM.Value*1e12)
}
