package model

import (
	"testing"

	"starbook/gpu/cpu"
)

// BenchmarkGenerate completes 32 prompts of 32 tokens by 64 each, with a Llama
// of 20 million weights.
func BenchmarkGenerate(b *testing.B) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	m, err := New(dev, Config{
		Vocab: 16384, Hidden: 384, FeedForward: 1024, Layers: 8, Heads: 6, KVHeads: 2, HeadDim: 64,
		MaxPositions: 512, NormEps: 1e-5, Tied: true, Rope: Rope{Theta: 1e4, Kind: "default"},
	}, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	prompts := make([][]int32, 32)
	for i := range prompts {
		for j := range 32 {
			prompts[i] = append(prompts[i], int32(i*31+j*7))
		}
	}
	tokens := 0
	for b.Loop() {
		for c, err := range m.Generate(b.Context(), nil, prompts, Decoding{MaxNew: 64, EOS: []int32{}}) {
			if err != nil {
				b.Fatal(err)
			}
			tokens += len(c.Tokens)
		}
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
