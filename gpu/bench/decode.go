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
	meter := gpu.MeterOf(dev)
	before := dev.Use().Peak
	m, err := random(dev, cfg, o.Weights, o.Seed)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	var a *model.Adapter
	if o.Rank > 0 {
		if a, err = model.NewAdapter(m, model.LoRA{Rank: o.Rank, Alpha: float64(o.Rank), Targets: []string{"all-linear"}, Seed: o.Seed}); err != nil {
			return nil, err
		}
		defer a.Close()
	}
	random := rand.New(rand.NewPCG(o.Seed, 2))
	limits := lengths(random, o.Prompts, o.New, o.Ragged)
	prompts := make([][]int32, o.Prompts)
	for i := range prompts {
		prompts[i] = example(random, o.Prompt-1, cfg.Vocab, 1).Tokens
	}
	var seconds []float64
	var busy float64
	for i := range o.Warmup + o.Steps {
		if meter != nil {
			meter.Busy()
		}
		start := time.Now()
		if err := o.complete(ctx, m, a, prompts, limits); err != nil {
			return nil, err
		}
		if i < o.Warmup {
			continue
		}
		seconds = append(seconds, time.Since(start).Seconds())
		if meter != nil {
			busy += meter.Busy()
		}
	}
	taken := dev.Use().Peak - before
	rates, err := o.Best.measure(ctx, dev) // afterwards: it takes memory too
	if err != nil {
		return nil, err
	}
	tokens, all := 0, 0.0
	for _, n := range limits {
		tokens += n
	}
	for _, s := range seconds {
		all += s
	}
	floor := o.floor(m, limits, rates)
	figures := []Figure{
		measured("speed", "tok/s", scaled(seconds, func(s float64) float64 { return float64(tokens) / s })...).
			noted("%d tokens of %d completions, the prompts' %d computed on the way", tokens, o.Prompts, o.Prompts*o.Prompt),
		measured("all completions", "s", seconds...),
		busyShare(meter, busy, all),
		computed("floor", "s", floor).noted("weights and caches read at the copy's rate, prompts computed at the large GEMM's"),
		measured("share of the floor", "%", scaled(seconds, func(s float64) float64 { return 100 * floor / s })...),
	}
	figures = append(figures, against(o.memory(m, a), taken)...)
	return &Report{
		Bench: "decode", Shape: o.Shape, Device: dev.Name(), Config: json.RawMessage(cfg.JSON()), Options: o, Lengths: limits,
		Figures: append(figures, rates.figures()...),
	}, dev.Sync()
}

// complete completes all prompts, a batch after the other if Static.
func (o Decode) complete(ctx context.Context, m *model.Transformer, a *model.Adapter, prompts [][]int32, limits []int) error {
	group := len(prompts)
	if o.Static {
		group = o.Batch
	}
	d := model.Decoding{MaxNew: o.New, EOS: []int32{}, Batch: o.Batch, Rows: o.Rows}
	for from := 0; from < len(prompts); from += group {
		to := min(from+group, len(prompts))
		d.Limits = limits[from:to]
		for _, err := range m.Generate(ctx, a, prompts[from:to], d) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// floor is the seconds that the completions take at least: all weights but the table of
// embeddings are read for each step of a full batch, and the caches as far as they are filled.
func (o Decode) floor(m *model.Transformer, limits []int, r Rates) float64 {
	c := m.Config
	tokens, cached := 0, 0.0
	for _, n := range limits {
		tokens += n
		cached += float64(n) * (float64(o.Prompt) + float64(n)/2)
	}
	weights := float64(m.Bytes())
	if !c.Tied {
		weights *= 1 - float64(c.Vocab*c.Hidden)/float64(m.Size())
	}
	steps := (tokens + o.Batch - 1) / o.Batch
	position := float64(m.Device().Activations().Bytes(2 * c.Layers * c.KVHeads * c.HeadDim))
	prefill := 2 * float64(matrices(c)) * float64(o.Prompts*o.Prompt)
	return (float64(steps)*weights+cached*position)/(r.Copy.Value*1e9) + prefill/(r.GEMM.Value*1e12)
}

// memory is the bytes that are planned: weights, adapter, activations, caches.
func (o Decode) memory(m *model.Transformer, a *model.Adapter) int {
	rows := max(o.Prompt, min(o.Rows, o.Prompts*o.Prompt), min(o.Batch, o.Prompts))
	c := m.Config
	n := m.Bytes() + model.PassBytes(m, a, rows)
	n += m.Device().Activations().Bytes(2 * c.Layers * min(o.Batch, o.Prompts) * (o.Prompt + o.New) * c.KVHeads * c.HeadDim)
	if a != nil {
		n += 2 * gpu.F32.Bytes(a.Params.Len())
	}
	return n
}
