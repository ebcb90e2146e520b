package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"starbook/gpu"
)

// form is how a product's operands lie: n as multiplied, t transposed.
type form string

// shapes are products m × n × k of real models: a square; the linears and the
// logits of SmolLM2-135M at 512 tokens; a LoRA adapter's; the weight
// gradients of one; and those of the model of the quick start.
var shapes = []struct {
	m, n, k int
	form    form
}{
	{1024, 1024, 1024, "nn"},
	{1024, 1024, 1024, "nt"},
	{1024, 1024, 1024, "tn"},
	{512, 1536, 576, "nn"},
	{512, 1536, 576, "nt"},
	{512, 1536, 576, "tn"},
	{512, 576, 1536, "nt"},
	{512, 8192, 576, "nt"},
	{4096, 512, 128, "nt"},
	{64, 256, 64, "nn"},
	{64, 256, 64, "nt"},
	{64, 256, 64, "tn"},
	{512, 16, 576, "nt"},
	{512, 576, 16, "nt"},
	{16, 576, 512, "tn"},
	{1, 1536, 576, "nt"},
	{4, 1536, 576, "nt"},
	{8, 1536, 576, "nt"},
	{16, 1536, 576, "nt"},
	{32, 1536, 576, "nt"},
	{64, 1536, 576, "nt"},
	{2000, 64, 64, "nt"},
	{2000, 168, 64, "nt"},
	{2000, 64, 168, "nt"},
	{2000, 400, 64, "nt"},
	{2000, 64, 400, "nn"},
	{2000, 16, 64, "nt"},
	{2000, 64, 16, "nt"},
	{2000, 64, 16, "nn"},
	{16, 64, 2000, "tn"},
	{64, 16, 2000, "tn"},
}

// operands returns a, b and c of a product, b of type t.
func operands(d gpu.Device, m, n, k int, f form, t gpu.Type) (a, b, c gpu.Mat) {
	random := func(t gpu.Type, rows, cols int, transposed bool) gpu.Mat {
		if transposed {
			rows, cols = cols, rows
		}
		s := make([]float32, rows*cols)
		for i := range s {
			s[i] = rand.Float32() - 0.5
		}
		x := gpu.M(d.Alloc(t, len(s)), rows, cols)
		d.Upload(x.Buf, s)
		if transposed {
			return x.Transposed()
		}
		return x
	}
	return random(gpu.F32, m, k, f[0] == 't'), random(t, k, n, f[1] == 't'), random(gpu.F32, m, n, false)
}

func BenchmarkMatMul(b *testing.B) {
	for _, kind := range []struct {
		name    string
		options Options
		t       gpu.Type
	}{
		{"f32", Options{Threads: 1}, gpu.F32},
		{"f32x2", Options{Threads: 2}, gpu.F32},
		{"weights16", Options{Threads: 1}, gpu.BF16},
		{"bf16", Options{Threads: 1, BF16: true}, gpu.BF16},
		{"bf16x2", Options{Threads: 2, BF16: true}, gpu.BF16},
	} {
		for _, s := range shapes {
			b.Run(fmt.Sprintf("%s/%dx%dx%d%s", kind.name, s.m, s.n, s.k, s.form), func(b *testing.B) {
				d, err := New(kind.options)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				x, y, z := operands(d, s.m, s.n, s.k, s.form, kind.t)
				for b.Loop() {
					d.MatMul(z, x, y, 1, 0)
				}
				flop := 2 * float64(s.m) * float64(s.n) * float64(s.k) * float64(b.N)
				b.ReportMetric(flop/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
