package train

import (
	"fmt"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/model"
)

// BenchmarkUpdate makes one update of an adapter of rank 16 on all projections
// of a Llama of 20 million weights: 8 examples of 128 tokens, half of them
// trained.
func BenchmarkUpdate(b *testing.B) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	m, err := model.New(dev, model.Config{
		Vocab: 16384, Hidden: 384, FeedForward: 1024, Layers: 8, Heads: 6, KVHeads: 2, HeadDim: 64,
		MaxPositions: 512, NormEps: 1e-5, Tied: true, Rope: model.Rope{Theta: 1e4, Kind: "default"},
	}, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	a, err := model.NewAdapter(m, model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	e := Example{Tokens: make([]int32, 129), Trained: make([]bool, 129)}
	for i := range e.Tokens {
		e.Tokens[i], e.Trained[i] = int32(i*37%16384), i > 64
	}
	o := Default()
	o.MaxSteps = b.N
	tr, err := New(m, a, []Example{e, e, e, e, e, e, e, e}, nil, o)
	if err != nil {
		b.Fatal(err)
	}
	defer tr.Close()
	b.ReportAllocs()
	b.ResetTimer()
	rows := 0
	for u, err := range tr.Steps(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		rows += u.Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkRows makes updates of 8 examples of 512 tokens at SmolLM2-135M's shape, so many
// rows at a time: on a CPU more of them cost memory, and little depends on it else.
func BenchmarkRows(b *testing.B) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	m, err := model.Random(dev, model.Config{
		Vocab: 49152, Hidden: 576, FeedForward: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64,
		MaxPositions: 512, NormEps: 1e-5, Tied: true, Rope: model.Rope{Theta: 1e5, Kind: "default"},
	}, gpu.BF16, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	a, err := model.NewAdapter(m, model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	examples := filled(8*512, m.Config)
	for _, c := range []struct{ rows, level int }{
		{512, model.RecomputeCheap}, {1024, model.RecomputeCheap}, {4096, model.RecomputeCheap}, {1024, model.RecomputeNone}, {1024, model.RecomputeBlocks},
	} {
		b.Run(fmt.Sprintf("%d/recompute%d", c.rows, c.level), func(b *testing.B) {
			o := Default()
			o.Batch, o.MicroTokens, o.Recompute, o.MaxSteps = len(examples), c.rows, c.level, b.N
			tr, err := New(m, a, examples, nil, o)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			b.ResetTimer()
			for _, err := range tr.Steps(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(8*512*b.N)/b.Elapsed().Seconds(), "tokens/s")
			b.ReportMetric(float64(tr.pass.Bytes())/(1<<20), "MiB")
		})
	}
}
