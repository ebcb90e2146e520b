package gputest

import (
	"math"
	"math/rand/v2"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// lab computes in float64 for finite differences.
type lab struct {
	gpu.Device
	rng *rand.Rand
}

func newLab() lab { return lab{ref.New64(), rand.New(rand.NewPCG(5, 6))} }

// normal returns n normal numbers.
func (l lab) normal(n int) gpu.Buf {
	b := l.Alloc(gpu.F64, n)
	for i := range n {
		ref.Set(b, i, l.rng.NormFloat64())
	}
	return b
}

// copied returns a copy of b.
func (l lab) copied(b gpu.Buf) gpu.Buf {
	c := l.Alloc(gpu.F64, b.Len)
	l.Copy(c, b)
	return c
}

// along returns f(x) = Σ out·dout for the outputs that forward writes: the
// function whose gradient a backward pass computes from dout.
func along(out, dout gpu.Buf, forward func()) func() float64 {
	return func() (sum float64) {
		forward()
		for i := range out.Len {
			sum += ref.At(out, i) * ref.At(dout, i)
		}
		return sum
	}
}

// slopes compares every element of dx with the central difference of f at x.
func slopes(t *testing.T, what string, f func() float64, x, dx gpu.Buf) {
	t.Helper()
	const h = 1e-5
	for i := range x.Len {
		at := ref.At(x, i)
		ref.Set(x, i, at+h)
		up := f()
		ref.Set(x, i, at-h)
		down := f()
		ref.Set(x, i, at)
		want := (up - down) / (2 * h)
		if got := ref.At(dx, i); !(math.Abs(got-want) <= 1e-6*max(1, math.Abs(want))) {
			t.Errorf("%s[%d] is %v, the slope is %v", what, i, got, want)
			return
		}
	}
}

// added returns what a backward pass that adds has added.
func (l lab) added(after, before gpu.Buf) gpu.Buf {
	dx := l.copied(after)
	l.Axpy(dx, before, -1)
	return dx
}

func TestEmbedGradient(t *testing.T) {
	l, ids := newLab(), []int32{2, 0, 2, 2}
	table, out, dout, before := l.normal(12), l.normal(16), l.normal(16), l.normal(12)
	d := l.copied(before)
	l.EmbedBack(d, dout, ids, 4)
	slopes(t, "dtable", along(out, dout, func() { l.Embed(out, table, ids, 4) }), table, l.added(d, before))
}

func TestRMSNormGradient(t *testing.T) {
	l := newLab()
	const n, dim = 3, 7
	x, w, out, dout, inv := l.normal(n*dim), l.normal(dim), l.normal(n*dim), l.normal(n*dim), l.normal(n)
	f := along(out, dout, func() { l.RMSNorm(out, inv, x, gpu.Buf{}, w, dim, 0.1) })
	f()
	bx, bw := l.normal(n*dim), l.normal(dim)
	dx, dw := l.copied(bx), l.copied(bw)
	l.RMSNormBack(dx, dw, dout, x, w, inv, []int32{0, 2, n}, dim)
	slopes(t, "dx", f, x, l.added(dx, bx))
	slopes(t, "dw", f, w, l.added(dw, bw))
}

func TestRotaryGradient(t *testing.T) {
	const n, heads, dim = 3, 2, 6
	l := newLab()
	pos, starts := []int32{4, 0, 2}, []int32{0, 1, n}
	cos, sin := l.normal(5*dim/2), l.normal(5*dim/2)
	for i := range cos.Len {
		s, c := math.Sincos(ref.At(cos, i))
		ref.Set(cos, i, c)
		ref.Set(sin, i, s)
	}
	for form := range 8 { // which of bias, w and angles there are
		var bias, w, c, s, dbias, dw, bb, bw gpu.Buf
		if form&1 != 0 {
			bias, bb = l.normal(heads*dim), l.normal(heads*dim)
			dbias = l.copied(bb)
		}
		if form&2 != 0 {
			w, bw = l.normal(dim), l.normal(dim)
			dw = l.copied(bw)
		}
		if form&4 != 0 {
			c, s = cos, sin
		}
		x, out, dout, inv := l.normal(n*heads*dim), l.normal(n*heads*dim), l.normal(n*heads*dim), l.normal(n*heads)
		f := along(out, dout, func() { l.Rotary(out, inv, x, bias, w, c, s, pos, heads, dim, 0.1) })
		f()
		dx := l.copied(dout)
		l.RotaryBack(dx, dbias, dw, dx, x, bias, w, inv, c, s, pos, starts, heads, dim)
		slopes(t, "dx", f, x, dx)
		slopes(t, "dbias", f, bias, l.added(dbias, bb))
		slopes(t, "dw", f, w, l.added(dw, bw))
	}
}

func TestAttentionGradient(t *testing.T) {
	for _, s := range []gpu.Seqs{
		{Starts: []int32{0, 5}, Heads: 1, KVHeads: 1, Dim: 3, Scale: 0.7},
		{Starts: []int32{0, 1, 6, 9}, Heads: 4, KVHeads: 2, Dim: 3, Scale: 1},
		{Starts: []int32{0, 7}, Heads: 2, KVHeads: 1, Dim: 2, Scale: 1, Window: 3},
	} {
		l := newLab()
		n := int(s.Starts[len(s.Starts)-1])
		hq, hk := n*s.Heads*s.Dim, n*s.KVHeads*s.Dim
		q, k, v, out, dout, lse := l.normal(hq), l.normal(hk), l.normal(hk), l.normal(hq), l.normal(hq), l.normal(n*s.Heads)
		dq, dk, dv := l.normal(hq), l.normal(hk), l.normal(hk)
		f := along(out, dout, func() { l.Attention(out, lse, q, k, v, s) })
		f()
		l.AttentionBack(dq, dk, dv, dout, out, lse, q, k, v, s)
		slopes(t, "dq", f, q, dq)
		slopes(t, "dk", f, k, dk)
		slopes(t, "dv", f, v, dv)
	}
}

func TestSwiGLUGradient(t *testing.T) {
	l := newLab()
	gate, up, out, dout := l.normal(9), l.normal(9), l.normal(9), l.normal(9)
	dgate, dup := l.normal(9), l.normal(9)
	l.SwiGLUBack(dgate, dup, dout, gate, up)
	f := along(out, dout, func() { l.SwiGLU(out, gate, up) })
	slopes(t, "dgate", f, gate, dgate)
	slopes(t, "dup", f, up, dup)
}

func TestCrossEntropyGradient(t *testing.T) {
	l, targets := newLab(), []int32{3, -1, 0}
	const vocab, scale = 5, 0.3
	logits, loss := l.normal(3*vocab), l.normal(3)
	d := l.copied(logits)
	l.CrossEntropy(loss, d, targets, vocab, scale)
	slopes(t, "dlogits", func() (sum float64) {
		l.CrossEntropy(loss, logits, targets, vocab, 0)
		for i := range loss.Len {
			sum += float64(float32(scale)) * ref.At(loss, i)
		}
		return sum
	}, logits, d)
}

// The gradients of a product are products: da = dc·bᵀ and db = aᵀ·dc.
func TestMatMulGradient(t *testing.T) {
	l := newLab()
	a, b, c, dc := l.normal(6), l.normal(12), l.normal(8), l.normal(8)
	da, db := l.normal(6), l.normal(12)
	am, bm, cm, dcm := gpu.M(a, 2, 3), gpu.M(b, 3, 4), gpu.M(c, 2, 4), gpu.M(dc, 2, 4)
	l.MatMul(gpu.M(da, 2, 3), dcm, bm.Transposed(), 0.5, 0)
	l.MatMul(gpu.M(db, 3, 4), am.Transposed(), dcm, 0.5, 0)
	rows := l.normal(12)
	added := l.copied(rows)
	l.MatMulRows(gpu.M(added, 3, 4), am, dcm, []int32{0, 1, 2}, 0.5)
	f := along(c, dc, func() { l.MatMul(cm, am, bm, 0.5, 0) })
	slopes(t, "db by rows", f, b, l.added(added, rows))
	slopes(t, "da", f, a, da)
	slopes(t, "db", f, b, db)
}

// Dropout's gradient is dropout by the same key.
func TestDropoutGradient(t *testing.T) {
	l := newLab()
	x, out, dout := l.normal(40), l.normal(40), l.normal(40)
	dx := l.copied(dout)
	starts, keys := []int32{0, 3, 8}, []uint64{9, 10}
	l.Dropout(dx, dx, 5, starts, keys, 0.25)
	slopes(t, "dx", along(out, dout, func() { l.Dropout(out, x, 5, starts, keys, 0.25) }), x, dx)
}
