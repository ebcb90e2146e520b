package gputest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starbook/gpu"
)

// independent checks that the rows of a batch, computed alone, have the same
// bits as in the batch.
func independent(t *testing.T, d gpu.Device) {
	const n, from, to, dim = 90, 37, 41, 72
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(t gpu.Type, n int) gpu.Buf {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(rng.NormFloat64())
		}
		b := d.Alloc(t, n)
		d.Upload(b, s)
		return b
	}
	normal := func(n int) gpu.Buf { return random(d.Activations(), n) }
	floats := func(n int) gpu.Buf { return random(gpu.F32, n) }
	same := func(what string, all, part gpu.Buf, width int) {
		if !slices.Equal(bits(d, all.Slice(from*width, to*width)), bits(d, part)) {
			t.Errorf("%s: rows depend on the batch", what)
		}
	}
	part := func(b gpu.Buf, width int) gpu.Buf { return b.Slice(from*width, to*width) }
	const m = to - from

	x, w := normal(n*dim), floats(200*dim)
	for _, wide := range []int{5, 40, 200} {
		all, one := normal(n*wide), normal(m*wide)
		mat := gpu.M(w.Slice(0, wide*dim), wide, dim).Transposed()
		d.MatMul(gpu.M(all, n, wide), gpu.M(x, n, dim), mat, 0.7, 0)
		d.MatMul(gpu.M(one, m, wide), gpu.M(part(x, dim), m, dim), mat, 0.7, 0)
		same("matmul", all, one, wide)
	}

	out, one, inv := normal(n*dim), normal(m*dim), floats(n)
	d.RMSNorm(out, inv, x, gpu.Buf{}, w.Slice(0, dim), dim, 1e-5)
	d.RMSNorm(one, inv.Slice(0, m), part(x, dim), gpu.Buf{}, w.Slice(0, dim), dim, 1e-5)
	same("rmsnorm", out, one, dim)

	invs, pos := floats(3*n), make([]int32, n)
	for i := range pos {
		pos[i] = int32(i % 7)
	}
	cos, sin, bias := floats(7*12), floats(7*12), floats(dim)
	d.Rotary(out, invs, x, bias, w.Slice(0, 24), cos, sin, pos, 3, 24, 1e-5)
	d.Rotary(one, invs.Slice(0, 3*m), part(x, dim), bias, w.Slice(0, 24), cos, sin, pos[from:to], 3, 24, 1e-5)
	same("rotary", out, one, dim)

	up := normal(n * dim)
	d.SwiGLU(out, x, up)
	d.SwiGLU(one, part(x, dim), part(up, dim))
	same("swiglu", out, one, dim)

	loss, l1, targets := floats(n), floats(m), make([]int32, n)
	d.Copy(out, x)
	d.Copy(one, part(x, dim))
	d.CrossEntropy(loss, out, targets, dim, 1)
	d.CrossEntropy(l1, one, targets[from:to], dim, 1)
	same("loss", loss, l1, 1)
	same("dlogits", out, one, dim)

	const heads, width = 3, 24
	k, v, lse := normal(n*width), normal(n*width), floats(n*heads)
	s := gpu.Seqs{Starts: []int32{0, from, to, n}, Heads: heads, KVHeads: 1, Dim: width, Scale: 0.2}
	d.Attention(out, lse, x, k, v, s)
	s.Starts = []int32{0, m}
	d.Attention(one, lse.Slice(0, m*heads), part(x, dim), part(k, width), part(v, width), s)
	same("attention", out, one, dim)

	// Nor does a row depend on those that come after it in its sequence.
	s.Starts = []int32{0, n}
	d.Attention(out, lse, x, k, v, s)
	long := bits(d, out.Slice(0, to*dim))
	s.Starts = []int32{0, to}
	d.Attention(out.Slice(0, to*dim), lse.Slice(0, to*heads), x.Slice(0, to*dim), k.Slice(0, to*width), v.Slice(0, to*width), s)
	if !slices.Equal(long, bits(d, out.Slice(0, to*dim))) {
		t.Error("attention: rows depend on later ones")
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// uncut checks that sums over rows have the same bits however the sequences
// are cut into batches.
func uncut(t *testing.T, d gpu.Device) {
	const heads, dim = 3, 24
	const wide = heads * dim
	starts := []int32{0, 40, 41, 41, 90, 400}
	n := int(starts[len(starts)-1])
	rng := rand.New(rand.NewPCG(7, 8))
	random := func(t gpu.Type, n int) gpu.Buf {
		s := make([]float32, n)
		for i := range s {
			s[i] = float32(rng.NormFloat64())
		}
		b := d.Alloc(t, n)
		d.Upload(b, s)
		return b
	}
	x, dy, inv, invs := random(d.Activations(), n*wide), random(d.Activations(), n*wide), random(gpu.F32, n), random(gpu.F32, n*heads)
	w, bias, dx := random(gpu.F32, wide), random(gpu.F32, wide), random(d.Activations(), n*wide)
	var none gpu.Buf
	// sums is everything that is summed over rows, in batches that begin with the given sequences.
	sums := func(cuts ...int) []uint32 {
		c, dw, dhead, dbias := d.Alloc(gpu.F32, wide*wide), d.Alloc(gpu.F32, wide), d.Alloc(gpu.F32, dim), d.Alloc(gpu.F32, wide)
		cuts = append(cuts, len(starts)-1)
		for i := range len(cuts) - 1 {
			some := slices.Clone(starts[cuts[i] : cuts[i+1]+1])
			from, to := int(some[0]), int(some[len(some)-1])
			for j := range some {
				some[j] -= int32(from)
			}
			rows := func(b gpu.Buf, width int) gpu.Buf { return b.Slice(from*width, to*width) }
			d.MatMulRows(gpu.M(c, wide, wide), gpu.M(rows(x, wide), to-from, wide), gpu.M(rows(dy, wide), to-from, wide), some, 0.7)
			d.RMSNormBack(rows(dx, wide), dw, rows(dy, wide), rows(x, wide), w, rows(inv, 1), some, wide)
			d.RotaryBack(rows(dx, wide), dbias, dhead, rows(dy, wide), rows(x, wide), bias, w.Slice(0, dim), rows(invs, heads), none, none, make([]int32, to-from), some, heads, dim)
		}
		return slices.Concat(bits(d, c), bits(d, dw), bits(d, dhead), bits(d, dbias))
	}
	whole := sums(0)
	for _, cuts := range [][]int{{0, 1}, {0, 1, 2, 3, 4}, {0, 3}} {
		if !slices.Equal(sums(cuts...), whole) {
			t.Errorf("sums over rows depend on the cut into batches %v", cuts)
		}
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// bits returns b's elements as numbers that compare equal only if they are the
// same to the last bit, NaN and -0 included.
func bits(d gpu.Device, b gpu.Buf) []uint32 {
	out := make([]uint32, b.Len)
	for i, v := range download(d, b) {
		out[i] = math.Float32bits(v)
	}
	return out
}

// dropout checks that the same elements fall from a gradient, that another key
// drops others, and that p of them fall.
func dropout(t *testing.T, d gpu.Device) {
	const n, p = 30_000, 0.3
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	a := d.Activations()
	x, g, other := d.Alloc(a, n), d.Alloc(a, n), d.Alloc(a, n)
	for _, b := range []gpu.Buf{x, g, other} {
		d.Upload(b, ones)
	}
	d.Axpy(g, g, 4)
	starts := []int32{0, n / 100}
	d.Dropout(x, x, 100, starts, []uint64{11}, p)
	d.Dropout(g, g, 100, starts, []uint64{11}, p)
	d.Dropout(other, other, 100, starts, []uint64{12}, p)
	xs, gs, os := download(d, x), download(d, g), download(d, other)
	fell, shared := 0, 0
	for i := range xs {
		if (xs[i] == 0) != (gs[i] == 0) {
			t.Fatalf("element %d: %v of x and %v of its gradient", i, xs[i], gs[i])
		}
		if xs[i] == 0 {
			fell++
			if os[i] == 0 {
				shared++
			}
		}
	}
	sigma := math.Sqrt(n * p * (1 - p))
	if math.Abs(float64(fell)-n*p) > 5*sigma || math.Abs(float64(shared)-n*p*p) > 5*sigma {
		t.Errorf("%d of %d fell, %d of them under another key too: p is %v", fell, n, shared, p)
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}
