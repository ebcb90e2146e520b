package ref

import (
	"math"
	"testing"

	"starbook/gpu"
)

// The values are computed by hand, so that the reference has a reference.
func TestByHand(t *testing.T) {
	for _, d := range []gpu.Device{New(), New64()} {
		buf := func(x ...float32) gpu.Buf {
			b := d.Alloc(gpu.F32, len(x))
			d.Upload(b, x)
			return b
		}
		want := func(what string, b gpu.Buf, x ...float64) {
			t.Helper()
			for i := range x {
				if math.Abs(At(b, i)-x[i]) > 1e-6 {
					t.Errorf("%s: %s[%d] = %v, want %v", d.Name(), what, i, At(b, i), x[i])
				}
			}
		}
		a, b, c := buf(1, 2, 3, 4, 5, 6), buf(1, 0, -1, 2, 1, 1), buf(1, 1, 1, 1)
		d.MatMul(gpu.M(c, 2, 2), gpu.M(a, 2, 3), gpu.M(b, 2, 3).Transposed(), 2, 1)
		want("matmul", c, -3, 15, -3, 39)

		x, inv, out := buf(3, 4), d.Alloc(gpu.F32, 1), d.Alloc(gpu.F32, 2)
		d.RMSNorm(out, inv, x, gpu.Buf{}, buf(1, 2), 2, 0)
		want("rmsnorm", out, 3/math.Sqrt(12.5), 8/math.Sqrt(12.5))

		x = buf(1, 2, 3, 4)
		d.Rotary(x, gpu.Buf{}, x, gpu.Buf{}, gpu.Buf{}, buf(1, 0), buf(0, 1), []int32{0}, 1, 4, 0)
		want("rotated", x, 1, -4, 3, 2)
		x = d.Alloc(gpu.F32, 2)
		d.Rotary(x, inv, buf(2, 3), buf(1, 1), buf(1, 2), gpu.Buf{}, gpu.Buf{}, []int32{0}, 1, 2, 0)
		want("normed with its bias", x, 3/math.Sqrt(12.5), 8/math.Sqrt(12.5))

		loss, logits := d.Alloc(gpu.F32, 2), buf(0, float32(math.Log(3)), 7, 7)
		d.CrossEntropy(loss, logits, []int32{1, -1}, 2, 4)
		want("loss", loss, math.Log(4.0/3), 0)
		want("dlogits", logits, 1, -1, 0, 0)

		out, lse := d.Alloc(gpu.F32, 2), d.Alloc(gpu.F32, 2)
		q, k, v := buf(1, 1), buf(0, float32(math.Log(3))), buf(4, 8)
		d.Attention(out, lse, q, k, v, gpu.Seqs{Starts: []int32{0, 2}, Heads: 1, KVHeads: 1, Dim: 1, Scale: 1})
		want("attention", out, 4, 7)
		want("lse", lse, 0, math.Log(4))

		w, m, vv := buf(1), d.Alloc(gpu.F32, 1), d.Alloc(gpu.F32, 1)
		d.AdamW(w, buf(2), m, vv, gpu.Buf{}, gpu.AdamW{LR: 0.1, Beta1: 0.9, Beta2: 0.999, Eps: 0, WeightDecay: 0.5, Step: 1, GradScale: 1})
		want("adamw", w, 0.95-0.1)
		if err := d.Sync(); err != nil {
			t.Error(err)
		}
	}
}

// bfloat16 rounds to nearest, ties to even.
func TestBF16(t *testing.T) {
	d := New()
	b := d.Alloc(gpu.BF16, 5)
	d.Upload(b, []float32{1, 1 + 1.0/256, 1 + 3.0/256, -3.1415927, float32(math.Inf(-1))})
	for i, want := range []float64{1, 1, 1 + 2.0/128, -3.140625, math.Inf(-1)} {
		if At(b, i) != want {
			t.Errorf("element %d is %v, want %v", i, At(b, i), want)
		}
	}
}
