package cpu

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"starbook/gpu"
	"starbook/gpu/cpu/internal/peer"
)

// openBLAS returns the library at $STARBOOK_OPENBLAS.
func openBLAS(t testing.TB) *peer.BLAS {
	path := os.Getenv("STARBOOK_OPENBLAS")
	if path == "" {
		t.Skip("STARBOOK_OPENBLAS names no library (such as libopenblas.so.0) to compare with")
	}
	blas, err := peer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("OpenBLAS's kernels are those for %s", blas.Core())
	return blas
}

// spinning is longer than OpenBLAS's other threads spin after a product, on the
// core that ours need: 2²⁸ ticks of the CPU's clock, which are 128 ms at 2.1 GHz.
const spinning = 200 * time.Millisecond

// BenchmarkOpenBLAS reports our speed as a share of OpenBLAS's, as the median
// of the ratios of runs in turn, which hardly depends on how busy the machine is.
func BenchmarkOpenBLAS(b *testing.B) { besideOpenBLAS(b, gpu.F32) }

// BenchmarkOpenBLASBF16 does the same with bfloat16 on both sides.
func BenchmarkOpenBLASBF16(b *testing.B) { besideOpenBLAS(b, gpu.BF16) }

func besideOpenBLAS(b *testing.B, t gpu.Type) {
	blas := openBLAS(b)
	if t == gpu.BF16 && !blas.BF16() {
		b.Skip("this OpenBLAS was built without BUILD_BFLOAT16=1")
	}
	for _, threads := range []int{1, 2} {
		for _, s := range shapes {
			b.Run(fmt.Sprintf("%d/%dx%dx%d%s", threads, s.m, s.n, s.k, s.form), func(b *testing.B) {
				d, err := New(Options{Threads: threads, BF16: t == gpu.BF16})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				blas.Threads(threads)
				x, y, z := operands(d, s.m, s.n, s.k, s.form, t)
				if t == gpu.BF16 {
					half := x
					half.Buf = d.Alloc(t, x.Buf.Len)
					d.Copy(half.Buf, x.Buf)
					x = half
				}
				ours := func() { d.MatMul(z, x, y, 1, 0) }
				theirs := func() { blas.MatMul(z, x, y) }
				flop := 2 * float64(s.m) * float64(s.n) * float64(s.k)
				runs := int(2e8/flop) + 1
				var ratios []float64
				best, bestTheirs := math.Inf(1), math.Inf(1)
				rested := func(f func()) float64 { // both begin on cores that have slept
					if threads > 1 {
						time.Sleep(spinning)
					}
					return clock(runs, f)
				}
				for b.Loop() {
					one, other := rested(ours), rested(theirs)
					ratios = append(ratios, other/one)
					best, bestTheirs = min(best, one), min(bestTheirs, other)
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "×OpenBLAS")
				b.ReportMetric(flop*float64(runs)/best/1e9, "GFLOP/s")
				b.ReportMetric(flop*float64(runs)/bestTheirs/1e9, "OpenBLAS-GFLOP/s")
			})
		}
	}
}

// clock returns the seconds that runs calls take, after one more.
func clock(runs int, f func()) float64 {
	f()
	start := time.Now()
	for range runs {
		f()
	}
	return time.Since(start).Seconds()
}

// OpenBLAS and we compute the same products.
func TestOpenBLAS(t *testing.T) {
	blas := openBLAS(t)
	d, err := New(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, s := range shapes {
		x, y, z := operands(d, s.m, s.n, s.k, s.form, gpu.F32)
		ours, theirs := make([]float32, s.m*s.n), make([]float32, s.m*s.n)
		d.MatMul(z, x, y, 1, 0)
		d.Download(ours, z.Buf)
		blas.MatMul(z, x, y)
		d.Download(theirs, z.Buf)
		for i := range ours {
			if math.Abs(float64(ours[i]-theirs[i])) > 1e-5*math.Sqrt(float64(s.k)) {
				t.Errorf("%v: element %d is %v, OpenBLAS says %v", s, i, ours[i], theirs[i])
				break
			}
		}
	}
}
