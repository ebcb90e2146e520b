package bench

import (
	"starbook/gpu"
	"starbook/gpu/model"
)

// Letters are those of package gpu: N rows, D, H, K, E, F, V, R.

const (
	read  = 1 // touches of a Buf
	wrote = 1
	both  = 2
)

// kernels are the operations in the order in which a step meets them.
var kernels = []kernel{
	{"copy", func(b *bed) func() {
		from, to := b.acts(b.rows*b.c.Hidden, read), b.acts(b.rows*b.c.Hidden, wrote)
		b.sized("N=%d D=%d", b.rows, b.c.Hidden)
		return func() { b.dev.Copy(to, from) }
	}},
	{"embed", func(b *bed) func() {
		table := b.buf(b.base, b.c.Vocab*b.c.Hidden, 0)
		out, ids := b.acts(b.rows*b.c.Hidden, wrote), make([]int32, b.rows)
		for i := range ids {
			ids[i] = int32(i * 7919 % b.c.Vocab)
		}
		b.bytes += b.base.Bytes(b.rows * b.c.Hidden)
		b.sized("N=%d D=%d", b.rows, b.c.Hidden)
		return func() { b.dev.Embed(out, table, ids, b.c.Hidden) }
	}},
	{"rmsnorm", func(b *bed) func() {
		n := b.rows * b.c.Hidden
		out, x, add := b.acts(n, wrote), b.acts(n, both), b.acts(n, read)
		w, inv := b.buf(b.base, b.c.Hidden, read), b.buf(gpu.F32, b.rows, wrote)
		b.sized("N=%d D=%d, residual added", b.rows, b.c.Hidden)
		return func() { b.dev.RMSNorm(out, inv, x, add, w, b.c.Hidden, 1e-6) }
	}},
	{"rmsnorm back", func(b *bed) func() {
		n := b.rows * b.c.Hidden
		dx, dout, x := b.acts(n, both), b.acts(n, read), b.acts(n, read)
		w, inv := b.buf(b.base, b.c.Hidden, read), b.buf(gpu.F32, b.rows, read)
		b.sized("N=%d D=%d, w frozen", b.rows, b.c.Hidden)
		starts := b.starts()
		return func() { b.dev.RMSNormBack(dx, gpu.Buf{}, dout, x, w, inv, starts, b.c.Hidden) }
	}},
	{"q projection", func(b *bed) func() { return b.linear(b.c.Heads*b.c.HeadDim, b.c.Hidden, b.rows) }},
	{"k projection", func(b *bed) func() { return b.linear(b.c.KVHeads*b.c.HeadDim, b.c.Hidden, b.rows) }},
	{"o projection", func(b *bed) func() { return b.linear(b.c.Hidden, b.c.Heads*b.c.HeadDim, b.rows) }},
	{"gate projection", func(b *bed) func() { return b.linear(b.c.FeedForward, b.c.Hidden, b.rows) }},
	{"down projection", func(b *bed) func() { return b.linear(b.c.Hidden, b.c.FeedForward, b.rows) }},
	{"gate projection back", func(b *bed) func() {
		w := b.buf(b.base, b.c.FeedForward*b.c.Hidden, read)
		dx, dy := b.acts(b.rows*b.c.Hidden, both), b.acts(b.rows*b.c.FeedForward, read)
		return b.product(gpu.M(dx, b.rows, b.c.Hidden), gpu.M(dy, b.rows, b.c.FeedForward), gpu.M(w, b.c.FeedForward, b.c.Hidden), 1)
	}},
	{"x·Aᵀ", func(b *bed) func() {
		ranks := 2 * b.Rank // gate and up have one x
		t, x, a := b.acts(b.rows*ranks, wrote), b.acts(b.rows*b.c.Hidden, read), b.buf(gpu.F32, ranks*b.c.Hidden, read)
		return b.product(gpu.M(t, b.rows, ranks), gpu.M(x, b.rows, b.c.Hidden), gpu.M(a, ranks, b.c.Hidden).Transposed(), 0)
	}},
	{"y += t·Bᵀ", func(b *bed) func() {
		y, t, w := b.acts(b.rows*b.c.FeedForward, both), b.acts(b.rows*b.Rank, read), b.buf(gpu.F32, b.c.FeedForward*b.Rank, read)
		return b.product(gpu.M(y, b.rows, b.c.FeedForward), gpu.M(t, b.rows, b.Rank), gpu.M(w, b.c.FeedForward, b.Rank).Transposed(), 1)
	}},
	{"dy·B", func(b *bed) func() {
		dt, dy, w := b.acts(b.rows*b.Rank, wrote), b.acts(b.rows*b.c.FeedForward, read), b.buf(gpu.F32, b.c.FeedForward*b.Rank, read)
		return b.product(gpu.M(dt, b.rows, b.Rank), gpu.M(dy, b.rows, b.c.FeedForward), gpu.M(w, b.c.FeedForward, b.Rank), 0)
	}},
	{"dB += dyᵀ·t", func(b *bed) func() { return b.rowsProduct(b.c.FeedForward, b.Rank) }},
	{"dA += dtᵀ·x", func(b *bed) func() { return b.rowsProduct(2*b.Rank, b.c.Hidden) }},
	{"rotary", func(b *bed) func() {
		x, bias := b.acts(b.rows*b.c.Heads*b.c.HeadDim, both), b.buf(b.base, b.c.Heads*b.c.HeadDim, read)
		cos, sin := b.buf(gpu.F32, b.Tokens*b.c.HeadDim/2, read), b.buf(gpu.F32, b.Tokens*b.c.HeadDim/2, read)
		pos := b.positions()
		b.sized("N=%d H=%d E=%d, in place, biased", b.rows, b.c.Heads, b.c.HeadDim)
		return func() {
			b.dev.Rotary(x, gpu.Buf{}, x, bias, gpu.Buf{}, cos, sin, pos, b.c.Heads, b.c.HeadDim, 1e-6)
		}
	}},
	{"attention", func(b *bed) func() {
		q, k, v := b.qkv(read)
		out, lse := b.acts(q.Len, wrote), b.buf(gpu.F32, b.rows*b.c.Heads, wrote)
		s := b.attention(2)
		return func() { b.dev.Attention(out, lse, q, k, v, s) }
	}},
	{"attention back", func(b *bed) func() {
		q, k, v := b.qkv(read)
		dq, dk, dv := b.qkv(wrote)
		dout, out, lse := b.acts(q.Len, read), b.acts(q.Len, read), b.buf(gpu.F32, b.rows*b.c.Heads, read)
		s := b.attention(5)
		return func() { b.dev.AttentionBack(dq, dk, dv, dout, out, lse, q, k, v, s) }
	}},
	{"swiglu", func(b *bed) func() {
		n := b.rows * b.c.FeedForward
		out, gate, up := b.acts(n, wrote), b.acts(n, read), b.acts(n, read)
		b.sized("N=%d F=%d", b.rows, b.c.FeedForward)
		return func() { b.dev.SwiGLU(out, gate, up) }
	}},
	{"swiglu back", func(b *bed) func() {
		n := b.rows * b.c.FeedForward
		dout, gate, up := b.acts(n, read), b.acts(n, both), b.acts(n, both)
		b.sized("N=%d F=%d, in place", b.rows, b.c.FeedForward)
		return func() { b.dev.SwiGLUBack(gate, up, dout, gate, up) }
	}},
	{"logits", func(b *bed) func() { return b.linear(b.c.Vocab, b.c.Hidden, b.logits(b.rows)) }},
	{"cross-entropy", func(b *bed) func() {
		n := b.logits(b.rows)
		loss, logits, targets := b.buf(gpu.F32, n, wrote), b.acts(n*b.c.Vocab, both), make([]int32, n)
		b.sized("N=%d V=%d, gradient in place", n, b.c.Vocab)
		return func() { b.dev.CrossEntropy(loss, logits, targets, b.c.Vocab, 1) }
	}},
	{"sum of squares", func(b *bed) func() {
		n := adapterSize(b.c, b.Rank)
		out, x := b.buf(gpu.F32, 1, wrote), b.buf(gpu.F32, n, read)
		b.sized("%d parameters", n)
		return func() { b.dev.SumSquares(out, x) }
	}},
	{"adamw", func(b *bed) func() {
		n := adapterSize(b.c, b.Rank)
		w, g, m, v := b.buf(gpu.F32, n, both), b.buf(gpu.F32, n, read), b.buf(gpu.F32, n, both), b.buf(gpu.F32, n, both)
		b.dev.Zero(v) // a variance is not negative
		b.sized("%d parameters", n)
		return func() {
			b.dev.AdamW(w, g, m, v, gpu.Buf{}, gpu.AdamW{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1, GradScale: 1})
		}
	}},
	{"gate projection, generating", func(b *bed) func() { return b.linear(b.c.FeedForward, b.c.Hidden, b.Slots) }},
	{"cache write", func(b *bed) func() {
		width := b.c.KVHeads * b.c.HeadDim
		cache, rows := b.acts(b.Slots*b.Tokens*width, 0), b.acts(b.Slots*width, both)
		slot, full := b.slots()
		pos := make([]int32, b.Slots)
		for i, n := range full {
			pos[i] = n - 1
		}
		b.sized("%d slots, K·E=%d", b.Slots, width)
		return func() { b.dev.CacheWrite(cache, rows, slot, pos, b.Tokens, width) }
	}},
	{"attention, generating", func(b *bed) func() {
		width := b.c.KVHeads * b.c.HeadDim
		out, q := b.acts(b.Slots*b.c.Heads*b.c.HeadDim, wrote), b.acts(b.Slots*b.c.Heads*b.c.HeadDim, read)
		keys, values := b.acts(b.Slots*b.Tokens*width, read), b.acts(b.Slots*b.Tokens*width, read)
		slot, full := b.slots()
		b.flop = 2 * 2 * float64(b.Slots*b.Tokens*b.c.Heads*b.c.HeadDim)
		b.sized("%d slots of %d", b.Slots, b.Tokens)
		return func() {
			b.dev.AttentionCached(out, q, keys, values, gpu.Cached{
				Slot: slot, Len: full, Context: b.Tokens, Heads: b.c.Heads, KVHeads: b.c.KVHeads, Dim: b.c.HeadDim, Scale: 0.1,
			})
		}
	}},
	{"argmax", func(b *bed) func() {
		n := b.logits(b.Slots)
		logits, ids, logp := b.acts(n*b.c.Vocab, read), make([]int32, n), make([]float32, n)
		b.sized("N=%d V=%d, and the way to the host", n, b.c.Vocab)
		return func() { b.dev.Argmax(ids, logp, logits, b.c.Vocab) }
	}},
}

// logits returns how many rows of logits are computed at a time, n at most.
func (b *bed) logits(n int) int { return min(n, model.LogitRows(b.dev, b.c)) }

// linear is y = x·Wᵀ with a frozen W (out, in).
func (b *bed) linear(out, in, rows int) func() {
	w, x, y := b.buf(b.base, out*in, read), b.acts(rows*in, read), b.acts(rows*out, wrote)
	return b.product(gpu.M(y, rows, out), gpu.M(x, rows, in), gpu.M(w, out, in).Transposed(), 0)
}

func (b *bed) product(c, x, w gpu.Mat, beta float32) func() {
	b.multiplied(c.Rows, c.Cols, x.Cols)
	return func() { b.dev.MatMul(c, x, w, 1, beta) }
}

// rowsProduct is c += xᵀ·y over all rows, c (p, q).
func (b *bed) rowsProduct(p, q int) func() {
	c, x, y, starts := b.buf(gpu.F32, p*q, both), b.acts(b.rows*p, read), b.acts(b.rows*q, read), b.starts()
	b.multiplied(p, q, b.rows)
	return func() {
		b.dev.MatMulRows(gpu.M(c, p, q), gpu.M(x, b.rows, p), gpu.M(y, b.rows, q), starts, 1)
	}
}

func (b *bed) multiplied(m, n, k int) {
	b.flop = 2 * float64(m) * float64(n) * float64(k)
	b.sized("%d × %d × %d", m, n, k)
}

func (b *bed) qkv(touches int) (q, k, v gpu.Buf) {
	kv := b.rows * b.c.KVHeads * b.c.HeadDim
	return b.acts(b.rows*b.c.Heads*b.c.HeadDim, touches), b.acts(kv, touches), b.acts(kv, touches)
}

// attention describes the sequences, over which so many products are made.
func (b *bed) attention(products float64) gpu.Seqs {
	b.flop = products * 2 * float64(b.Batch) * float64(b.Tokens) * float64(b.Tokens+1) / 2 * float64(b.c.Heads*b.c.HeadDim)
	b.sized("%d × T=%d H=%d K=%d E=%d", b.Batch, b.Tokens, b.c.Heads, b.c.KVHeads, b.c.HeadDim)
	return gpu.Seqs{Starts: b.starts(), Heads: b.c.Heads, KVHeads: b.c.KVHeads, Dim: b.c.HeadDim, Scale: 0.1}
}

// positions returns the place of each row in its sequence.
func (b *bed) positions() []int32 {
	pos := make([]int32, b.rows)
	for i := range pos {
		pos[i] = int32(i % b.Tokens)
	}
	return pos
}

// slots returns all slots of the cache, and that each is full.
func (b *bed) slots() (slot, full []int32) {
	for i := range b.Slots {
		slot, full = append(slot, int32(i)), append(full, int32(b.Tokens))
	}
	return slot, full
}
