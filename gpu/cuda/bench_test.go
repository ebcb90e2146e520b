//go:build cuda && linux && amd64

package cuda

import (
	"testing"

	"starbook/gpu"
)

// BenchmarkLaunch measures what an operation costs when all is queued and run
// one by one, BenchmarkReplay the same as a graph.
func BenchmarkLaunch(b *testing.B) { launches(b, func(i int) int { return 256 + i%2000 }) }

func BenchmarkReplay(b *testing.B) { launches(b, func(int) int { return 256 }) }

func launches(b *testing.B, length func(i int) int) {
	d := opened(b)
	x := d.Alloc(gpu.BF16, 4096)
	for i := 0; b.Loop(); i++ {
		part := x.Slice(0, length(i))
		for range 100 {
			d.SwiGLU(part, part, part)
		}
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMatMul measures a product of a 7B's feed-forward block, 4,096 rows.
func BenchmarkMatMul(b *testing.B) {
	d := opened(b)
	rows, in, out := 4096, 3584, 18944
	if gpus, err := Find(); err == nil && gpus.GPUs[0].Memory < 8<<30 {
		rows, in, out = 16, 64, 64 // the fake driver
	}
	x, w, y := d.Alloc(gpu.BF16, rows*in), d.Alloc(gpu.BF16, in*out), d.Alloc(gpu.BF16, rows*out)
	for b.Loop() {
		d.MatMul(gpu.M(y, rows, out), gpu.M(x, rows, in), gpu.M(w, out, in).Transposed(), 1, 0)
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*float64(rows)*float64(in)*float64(out)*float64(b.N)/b.Elapsed().Seconds()/1e12, "TFLOP/s")
}
