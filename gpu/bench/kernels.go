package bench

import (
	"context"
	"encoding/json"
	"fmt"

	"starbook/gpu"
	"starbook/gpu/model"
)

// Kernels is every operation of a training and of generation, to be measured at
// the sizes that it has there.
type Kernels struct {
	Shape   string `json:"shape"`
	Rank    int    `json:"rank"`    // of the adapter
	Tokens  int    `json:"tokens"`  // rows of a sequence
	Batch   int    `json:"batch"`   // sequences
	Slots   int    `json:"slots"`   // sequences that are generated at a time, each with a cache of Tokens
	N       int    `json:"n"`       // measurements of each
	Weights string `json:"weights"` // type of the base: bf16 or f32
	Best    Best   `json:"best"`
}

// Op is what an operation took, beside its floor.
type Op struct {
	Name  string  `json:"name"`
	Size  string  `json:"size"`
	Time  Figure  `json:"time"`  // µs
	Bytes float64 `json:"bytes"` // each operand read or written once
	FLOP  float64 `json:"flop"`  // of products and attention
	Copy  Figure  `json:"share_of_copy"`
	GEMM  Figure  `json:"share_of_gemm"`
}

// Rate returns GB/s of the floor's bytes, and TFLOP/s.
func (o Op) Rate() (gbps, tflops float64) {
	return o.Bytes / o.Time.Value / 1e3, o.FLOP / o.Time.Value / 1e6
}

// Run measures.
func (o Kernels) Run(ctx context.Context, dev gpu.Device) (*Report, error) {
	cfg, err := Shape(o.Shape)
	if err != nil {
		return nil, err
	}
	if o.Rank < 1 || o.Tokens < 1 || o.Batch < 1 || o.Slots < 1 || o.N < 1 || o.Tokens > cfg.MaxPositions {
		return nil, fmt.Errorf("bench: rank %d, tokens %d, batch %d, slots %d and n %d must be positive, and the tokens %d at most",
			o.Rank, o.Tokens, o.Batch, o.Slots, o.N, cfg.MaxPositions)
	}
	base, err := typeOf(o.Weights)
	if err != nil {
		return nil, err
	}
	rates, err := o.Best.measure(ctx, dev)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Bench: "kernels", Shape: o.Shape, Device: dev.Name(), Config: json.RawMessage(cfg.JSON()), Options: o, Figures: rates.figures(),
	}
	for _, k := range kernels {
		b := &bed{Kernels: o, c: cfg, dev: dev, act: dev.Activations(), base: base, rows: o.Tokens * o.Batch}
		op, err := b.measure(ctx, k, rates)
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", k.name, err)
		}
		r.Ops = append(r.Ops, op)
	}
	return r, nil
}

// kernel is an operation: prepare makes what it works on and returns the call.
type kernel struct {
	name    string
	prepare func(b *bed) func()
}

// bed is where an operation is measured.
type bed struct {
	Kernels
	c         model.Config
	dev       gpu.Device
	act, base gpu.Type
	rows      int
	bytes     int     // that the call reads and writes at least
	flop      float64 // that it computes
	size      string
	made      []gpu.Buf
}

func (b *bed) measure(ctx context.Context, k kernel, best Rates) (Op, error) {
	defer func() { free(b.dev, b.made...) }()
	call := k.prepare(b)
	if err := b.dev.Sync(); err != nil {
		return Op{}, err
	}
	seconds, err := clock(ctx, b.dev, b.N, call)
	if err != nil {
		return Op{}, err
	}
	share := func(name string, work, rate float64) Figure {
		return measured(name, "%", scaled(seconds, func(s float64) float64 { return 100 * work / s / rate })...)
	}
	return Op{
		Name: k.name, Size: b.size, Bytes: float64(b.bytes), FLOP: b.flop,
		Time: measured(k.name, "µs", scaled(seconds, func(s float64) float64 { return 1e6 * s })...),
		Copy: share("share of the copy's rate", float64(b.bytes), best.Copy.Value*1e9),
		GEMM: share("share of the large GEMM's rate", b.flop, best.GEMM.Value*1e12),
	}, nil
}

// buf returns n elements that the call touches so many times.
func (b *bed) buf(t gpu.Type, n, touches int) gpu.Buf {
	x := noise(b.dev, t, n)
	b.made = append(b.made, x)
	b.bytes += touches * t.Bytes(n)
	return x
}

// acts is buf for activations.
func (b *bed) acts(n, touches int) gpu.Buf { return b.buf(b.act, n, touches) }

// starts returns where the sequences begin.
func (b *bed) starts() []int32 {
	var s []int32
	for i := range b.Batch + 1 {
		s = append(s, int32(i*b.Tokens))
	}
	return s
}

func (b *bed) sized(format string, args ...any) { b.size = fmt.Sprintf(format, args...) }
