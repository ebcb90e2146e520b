package cpu

import (
	"testing"

	"starbook/gpu"
)

// BenchmarkOps reports nanoseconds for each element of the largest argument,
// on one thread: the shapes of SmolLM2-135M at 512 tokens, and attention also
// over the short sequences of the quick start.
func BenchmarkOps(b *testing.B) {
	d, err := New(Options{Threads: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	random := func(n int) gpu.Buf {
		x, _, _ := operands(d, 1, 1, n, "nn", gpu.F32)
		return x.Buf
	}
	run := func(name string, elements int, op func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				op()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(elements), "ns/element")
		})
	}
	const n, hidden, dim, vocab = 512, 1536, 576, 49152
	gate, up, out := random(n*hidden), random(n*hidden), random(n*hidden)
	run("SwiGLU", n*hidden, func() { d.SwiGLU(out, gate, up) })
	run("SwiGLUBack", n*hidden, func() { d.SwiGLUBack(out, gate, up, gate, up) })
	run("Axpy", n*hidden, func() { d.Axpy(out, up, 1e-9) })
	run("Dropout", n*hidden, func() { d.Dropout(out, up, hidden, []int32{0, n}, []uint64{1}, 0.1) })
	run("SumSquares", n*hidden, func() { d.SumSquares(out, up) })
	m, v := random(n*hidden), d.Alloc(gpu.F32, n*hidden)
	run("AdamW", n*hidden, func() {
		d.AdamW(out, gate, m, v, gpu.Buf{}, gpu.AdamW{LR: 1e-9, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 5, GradScale: 1})
	})

	x, y, w, inv, dx := random(n*dim), random(n*dim), random(dim), random(n), random(n*dim)
	run("RMSNorm", n*dim, func() { d.RMSNorm(y, inv, x, gpu.Buf{}, w, dim, 1e-5) })
	run("RMSNormBack", n*dim, func() { d.RMSNormBack(dx, gpu.Buf{}, y, x, w, inv, nil, dim) })
	cos, sin, pos := random(n*32), random(n*32), make([]int32, n)
	run("Rotary", n*dim, func() { d.Rotary(x, gpu.Buf{}, x, gpu.Buf{}, gpu.Buf{}, cos, sin, pos, dim/64, 64, 0) })

	logits, loss, targets := random(128*vocab), random(128), make([]int32, 128)
	run("CrossEntropy", 128*vocab, func() { d.CrossEntropy(loss, logits, targets, vocab, 1) })
	ids, logp := make([]int32, 128), make([]float32, 128)
	run("Argmax", 128*vocab, func() { d.Argmax(ids, logp, logits, vocab) })
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range []struct {
		name                 string
		seqs, len, h, kv, dm int
	}{{"1x512", 1, 512, 9, 3, 64}, {"1x2048", 1, 2048, 9, 3, 64}, {"20x100", 20, 100, 4, 2, 16}} {
		d, err := New(Options{Threads: 1})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		random := func(n int) gpu.Buf {
			x, _, _ := operands(d, 1, 1, n, "nn", gpu.F32)
			return x.Buf
		}
		q := gpu.Seqs{Heads: s.h, KVHeads: s.kv, Dim: s.dm, Scale: 0.1}
		for i := range s.seqs + 1 {
			q.Starts = append(q.Starts, int32(i*s.len))
		}
		n := s.seqs * s.len
		x, k, v, out, lse := random(n*s.h*s.dm), random(n*s.kv*s.dm), random(n*s.kv*s.dm), random(n*s.h*s.dm), random(n*s.h)
		dx, dk, dv := random(n*s.h*s.dm), random(n*s.kv*s.dm), random(n*s.kv*s.dm)
		flop := 2 * float64(s.seqs*s.len*s.len*s.h*s.dm) // one causal product and another
		b.Run("forward/"+s.name, func(b *testing.B) {
			for b.Loop() {
				d.Attention(out, lse, x, k, v, q)
			}
			b.ReportMetric(flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
		b.Run("back/"+s.name, func(b *testing.B) {
			for b.Loop() {
				d.AttentionBack(dx, dk, dv, out, out, lse, x, k, v, q)
			}
			b.ReportMetric(2.5*flop*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
		cached := gpu.Cached{Context: s.len, Heads: s.h, KVHeads: s.kv, Dim: s.dm, Scale: 0.1}
		for i := range s.seqs {
			cached.Slot, cached.Len = append(cached.Slot, int32(i)), append(cached.Len, int32(s.len))
		}
		b.Run("cached/"+s.name, func(b *testing.B) {
			for b.Loop() {
				d.AttentionCached(out.Slice(0, s.seqs*s.h*s.dm), x.Slice(0, s.seqs*s.h*s.dm), k, v, cached)
			}
			b.ReportMetric(8*float64(s.seqs*s.len*s.kv*s.dm)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}
