package model

import (
	"testing"

	"starbook/gpu/cpu"
)

// BenchmarkGenerate completes 32 prompts of 32 tokens by 64 each, with a Llama
// of 20 million weights.
func BenchmarkGenerate(b *testing.B) {
	m, prompts := benchModel(b), benchPrompts(32)
	tokens := 0
	for b.Loop() {
		tokens += complete(b, m, prompts, Decoding{MaxNew: 64, EOS: []int32{}})
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}

// BenchmarkRagged completes 128 prompts by 8 to 128 tokens, 32 at a time: ended ones
// making place for others, or each 32 together until the longest has ended.
func BenchmarkRagged(b *testing.B) {
	m, prompts := benchModel(b), benchPrompts(128)
	limits := make([]int, len(prompts))
	for i := range limits {
		limits[i] = 8 + i*53%121
	}
	for _, kind := range []struct {
		name  string
		group int
	}{{"continuous", len(prompts)}, {"static", 32}} {
		b.Run(kind.name, func(b *testing.B) {
			tokens := 0
			for b.Loop() {
				for from := 0; from < len(prompts); from += kind.group {
					to := from + kind.group
					tokens += complete(b, m, prompts[from:to], Decoding{MaxNew: 128, Limits: limits[from:to], EOS: []int32{}, Batch: 32})
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

func benchModel(b *testing.B) *Transformer {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dev.Close() })
	m, err := New(dev, Config{
		Vocab: 16384, Hidden: 384, FeedForward: 1024, Layers: 8, Heads: 6, KVHeads: 2, HeadDim: 64,
		MaxPositions: 512, NormEps: 1e-5, Tied: true, Rope: Rope{Theta: 1e4, Kind: "default"},
	}, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.Close() })
	return m
}

// benchPrompts returns n prompts of 32 tokens.
func benchPrompts(n int) [][]int32 {
	prompts := make([][]int32, n)
	for i := range prompts {
		for j := range 32 {
			prompts[i] = append(prompts[i], int32(i*31+j*7))
		}
	}
	return prompts
}

// complete returns how many tokens the completions have.
func complete(b *testing.B, m *Transformer, prompts [][]int32, o Decoding) (tokens int) {
	for c, err := range m.Generate(b.Context(), nil, prompts, o) {
		if err != nil {
			b.Fatal(err)
		}
		tokens += len(c.Tokens)
	}
	return tokens
}

// BenchmarkPiSSA takes one matrix apart, of the size of SmolLM2-135M's largest; where its
// principal part is found in a store, only the rest is computed.
func BenchmarkPiSSA(b *testing.B) {
	const out, in, rank = 1536, 576, 16
	w := make([]float32, out*in)
	newMersenne(1).uniform(w, 1)
	f := factors{a: make([]float32, rank*in), b: make([]float32, out*rank), rank: rank, scale: 1}
	b.Run("find", func(b *testing.B) {
		for b.Loop() {
			f.of(w, out, in)
		}
	})
	b.Run("rest", func(b *testing.B) {
		for b.Loop() {
			f.leave(w)
		}
	})
}
