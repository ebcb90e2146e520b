package gputest

import (
	"math"

	"starbook/gpu"
)

// cases are all operations, each run over its shapes.
var cases = []struct {
	op  string
	run func(*rig)
}{
	{"copy", copies},
	{"embed", embed},
	{"matmul", matmul},
	{"rmsnorm", rmsnorm},
	{"rope", rope},
	{"attention", attention},
	{"cached", cached},
	{"swiglu", swiglu},
	{"crossentropy", crossEntropy},
	{"axpy", axpy},
	{"dropout", drop},
	{"sumsquares", sumSquares},
	{"adamw", adamw},
	{"argmax", argmax},
}

// sizes are lengths around the edges of vectors, tiles and threads' shares.
var sizes = []int{1, 2, 7, 8, 9, 31, 32, 33, 100, 40_000}

func copies(r *rig) {
	for _, n := range sizes {
		r.at("%d", n)
		x := r.normal(n)
		y, z, half := r.zeros(n), r.zeros(n), r.halves(n)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Copy(get(y), get(x))
			d.Copy(get(half), get(x))
			d.Copy(get(z), get(half))
		})
		r.equal("copy", y)
		if r.dev[1].Kind() == "ref" && half[true].Type != gpu.BF16 { // the reference did not round
			r.same32("bf16", z, x, 1.0/256)
		} else {
			r.equal("bf16", z)
		}
		r.on(func(d gpu.Device, get func(both) gpu.Buf) { d.Zero(get(x)) })
		r.equal("zero", x)
	}
}

// halves returns n zeros in BF16, where the device has them.
func (r *rig) halves(n int) both {
	x := both{false: r.dev[0].Alloc(gpu.BF16, n), true: r.dev[1].Alloc(gpu.BF16, n)}
	r.bufs = append(r.bufs, x)
	return x
}

// same32 checks that two tensors of the tested device agree within a relative error.
func (r *rig) same32(what string, x, y both, tol float64) {
	got, want := download(r.dev[0], x[false]), download(r.dev[0], y[false])
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > tol*math.Abs(float64(want[i])) {
			r.t.Errorf("%s: %s[%d] is %v, want %v", r.shape, what, i, got[i], want[i])
			return
		}
	}
}

func embed(r *rig) {
	for _, t := range []gpu.Type{gpu.F32, gpu.BF16} {
		for _, s := range [][3]int{{1, 1, 1}, {5, 3, 7}, {50, 9, 64}, {300, 20, 130}} {
			n, vocab, dim := s[0], s[1], s[2]
			r.at("%v %v", t, s)
			ids := r.ints(n, 0, vocab)
			table, out, dtable := r.weights(t, vocab*dim), r.zeros(n*dim), r.normal(vocab*dim)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				d.Embed(get(out), get(table), ids, dim)
				d.EmbedBack(get(dtable), get(out), ids, dim)
			})
			r.equal("out", out)
			r.equal("dtable", dtable)
		}
	}
}

func matmul(r *rig) {
	shapes := [][3]int{
		{1, 1, 1},
		{1, 9, 7},
		{2, 3, 0},
		{7, 1, 9},
		{8, 8, 8},
		{9, 33, 17},
		{12, 32, 64},
		{13, 34, 65},
		{1, 200, 400},
		{3, 50, 770},
		{16, 96, 100},
		{64, 100, 40},
		{65, 100, 41},
		{100, 16, 64},
		{100, 5, 30},
		{47, 170, 33},
		{40, 200, 390},
		{200, 300, 64},
		{300, 200, 500},
		{70, 33, 1000},
		{16, 64, 1000},
		{64, 16, 1000},
	}
	for range 40 {
		shapes = append(shapes, [3]int{1 + r.rng.IntN(80), 1 + r.rng.IntN(200), 1 + r.rng.IntN(100)})
	}
	for i, s := range shapes {
		for form := range 4 { // which of a and b are transposed
			if i > 21 && form != i%4 {
				continue
			}
			for _, t := range []gpu.Type{gpu.F32, gpu.BF16} {
				r.product(s[0], s[1], s[2], form&1 != 0, form&2 != 0, t)
			}
		}
	}
}

// product checks one product of an F32 a and a b of type t, as parts of wider
// matrices, with random alpha and beta.
func (r *rig) product(m, n, k int, ta, tb bool, t gpu.Type) {
	alpha, beta := float32(1), float32(r.rng.IntN(2))
	if r.rng.IntN(2) == 0 {
		alpha = float32(r.rng.NormFloat64())
	}
	r.at("(%d,%d)=(%d,%d)·(%d,%d) transposed %v %v, b %v, alpha %v, beta %v", m, n, m, k, k, n, ta, tb, t, alpha, beta)
	extra := r.rng.IntN(3)
	a, b := r.normal(rows(m, k, ta)*(rows(k, m, ta)+extra)), r.weights(t, rows(k, n, tb)*(rows(n, k, tb)+extra))
	c := r.normal(m * (n + extra))
	view := func(x gpu.Buf, m, n int, t bool) gpu.Mat {
		v := gpu.Mat{Buf: x, Rows: rows(m, n, t), Cols: rows(n, m, t), Stride: rows(n, m, t) + extra}
		if t {
			return v.Transposed()
		}
		return v
	}
	r.on(func(d gpu.Device, get func(both) gpu.Buf) {
		d.MatMul(view(get(c), m, n, false), view(get(a), m, k, ta), view(get(b), k, n, tb), alpha, beta)
	})
	r.equal("c", c)
}

// rows returns the first of the stored sizes of an m × n matrix.
func rows(m, n int, transposed bool) int {
	if transposed {
		return n
	}
	return m
}

func rmsnorm(r *rig) {
	for _, t := range []gpu.Type{gpu.F32, gpu.BF16} {
		for _, s := range [][2]int{{1, 1}, {7, 9}, {8, 64}, {9, 31}, {33, 100}, {500, 72}} {
			n, dim := s[0], s[1]
			for _, adding := range []bool{false, true} {
				r.at("%v %v", t, s)
				x, add, w, out, inv := r.normal(n*dim), both{}, r.weights(t, dim), r.zeros(n*dim), r.zeros(n)
				if adding {
					add = r.normal(n * dim)
				}
				dx, dw, dout := r.normal(n*dim), r.normal(dim), r.normal(n*dim)
				r.on(func(d gpu.Device, get func(both) gpu.Buf) {
					d.RMSNorm(get(out), get(inv), get(x), get(add), get(w), dim, 1e-5)
					d.RMSNormBack(get(dx), get(dw), get(dout), get(x), get(w), get(inv), dim)
					d.RMSNormBack(get(dx), gpu.Buf{}, get(dout), get(x), get(w), get(inv), dim)
				})
				r.equal("x", x)
				r.equal("out", out)
				r.equal("inv", inv)
				r.equal("dx", dx)
				r.equal("dw", dw)
			}
		}
	}
}

func rope(r *rig) {
	for _, s := range [][3]int{{1, 1, 2}, {7, 3, 6}, {9, 2, 64}, {40, 8, 128}} {
		n, heads, dim := s[0], s[1], s[2]
		r.at("%v", s)
		angles := make([]float32, 2*50*dim/2)
		for i := range len(angles) / 2 {
			sin, cos := math.Sincos(r.rng.Float64() * 7)
			angles[i], angles[len(angles)/2+i] = float32(cos), float32(sin)
		}
		cos, sin := r.values(angles[:len(angles)/2]), r.values(angles[len(angles)/2:])
		x, y, pos := r.normal(n*heads*dim), r.normal(n*heads*dim), r.ints(n, 0, 50)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.RoPE(get(x), get(cos), get(sin), pos, heads, dim, false)
			d.RoPE(get(y), get(cos), get(sin), pos, heads, dim, true)
		})
		r.equal("x", x)
		r.equal("back", y)
	}
}

// seqs are packed sequences of many lengths, with and without shared heads and windows.
var seqs = []gpu.Seqs{
	{Starts: []int32{0, 1}, Heads: 1, KVHeads: 1, Dim: 1},
	{Starts: []int32{0, 7}, Heads: 2, KVHeads: 2, Dim: 8},
	{Starts: []int32{0, 8, 8, 17, 18}, Heads: 4, KVHeads: 2, Dim: 16},
	{Starts: []int32{0, 33, 40}, Heads: 3, KVHeads: 1, Dim: 9, Window: 5},
	{Starts: []int32{0, 100, 131}, Heads: 6, KVHeads: 3, Dim: 33},
	{Starts: []int32{0, 70}, Heads: 2, KVHeads: 1, Dim: 64, Window: 64},
	{Starts: []int32{0, 300}, Heads: 1, KVHeads: 1, Dim: 40},
	{Starts: []int32{0, 300}, Heads: 2, KVHeads: 1, Dim: 16, Window: 100},
}

func attention(r *rig) {
	for _, s := range seqs {
		s.Scale = float32(1 / math.Sqrt(float64(s.Dim)))
		r.at("%+v", s)
		n := int(s.Starts[len(s.Starts)-1])
		hq, hk := n*s.Heads*s.Dim, n*s.KVHeads*s.Dim
		q, k, v, dout := r.normal(hq), r.normal(hk), r.normal(hk), r.normal(hq)
		out, lse, dq, dk, dv := r.normal(hq), r.zeros(n*s.Heads), r.normal(hq), r.normal(hk), r.normal(hk)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Attention(get(out), get(lse), get(q), get(k), get(v), s)
			d.AttentionBack(get(dq), get(dk), get(dv), get(dout), get(out), get(lse), get(q), get(k), get(v), s)
		})
		r.equal("out", out)
		r.equal("lse", lse)
		r.equal("dq", dq)
		r.equal("dk", dk)
		r.equal("dv", dv)
	}
}

func cached(r *rig) {
	for _, c := range []gpu.Cached{
		{Context: 1, Heads: 1, KVHeads: 1, Dim: 1},
		{Context: 20, Heads: 4, KVHeads: 2, Dim: 16},
		{Context: 65, Heads: 3, KVHeads: 1, Dim: 33, Window: 9},
		{Context: 300, Heads: 2, KVHeads: 2, Dim: 64},
	} {
		const slots, n = 3, 7
		c.Slot, c.Len, c.Scale = r.ints(n, 0, slots), r.ints(n, 1, c.Context+1), 0.2
		r.at("%+v", c)
		dim := c.KVHeads * c.Dim
		keys, values := r.normal(slots*c.Context*dim), r.normal(slots*c.Context*dim)
		q, out, k := r.normal(n*c.Heads*c.Dim), r.zeros(n*c.Heads*c.Dim), r.normal(slots*dim)
		pos := r.ints(slots, 0, c.Context)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.CacheWrite(get(keys), get(k), []int32{2, 0, 1}, pos, c.Context, dim)
			d.AttentionCached(get(out), get(q), get(keys), get(values), c)
		})
		r.equal("keys", keys)
		r.equal("out", out)
	}
}

func swiglu(r *rig) {
	for _, n := range sizes {
		r.at("%d", n)
		wide := r.numbers(n)
		for i := range wide {
			wide[i] *= 20
		}
		gate, up, out, dout := r.values(wide), r.normal(n), r.zeros(n), r.normal(n)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.SwiGLU(get(out), get(gate), get(up))
			d.SwiGLUBack(get(gate), get(up), get(dout), get(gate), get(up)) // in place
		})
		r.equal("out", out)
		r.equal("dgate", gate)
		r.equal("dup", up)
	}
}

func crossEntropy(r *rig) {
	for _, s := range [][2]int{{1, 1}, {7, 9}, {8, 33}, {9, 400}, {60, 1000}} {
		n, vocab := s[0], s[1]
		targets := r.ints(n, -vocab/3, vocab)
		r.at("%v", s)
		loss, logits, only, same := r.normal(n), r.normal(n*vocab), r.normal(n), r.normal(n*vocab)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Axpy(get(logits), get(logits), 9)
			d.Copy(get(same), get(logits))
			d.CrossEntropy(get(only), get(same), targets, vocab, 0)
			d.CrossEntropy(get(loss), get(logits), targets, vocab, 0.5)
		})
		r.equal("loss", loss)
		r.equal("loss alone", only)
		r.equal("logits left", same)
		r.equal("dlogits", logits)
	}
}

func axpy(r *rig) {
	for _, n := range sizes {
		r.at("%d", n)
		y, x, w := r.normal(n), r.normal(n), r.weights(gpu.BF16, n)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Axpy(get(y), get(x), -0.3)
			d.Axpy(get(y), get(w), 1.5)
		})
		r.equal("y", y)
	}
}

func drop(r *rig) {
	for _, n := range sizes {
		for _, p := range []float32{0, 0.1, 0.5} {
			r.at("%d, p %v", n, p)
			x, out, key := r.normal(n), r.zeros(n), r.rng.Uint64()
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				d.Dropout(get(out), get(x), p, key)
				d.Dropout(get(x), get(x), p, key)
			})
			r.equal("out", out)
			r.equal("in place", x)
		}
	}
}

func sumSquares(r *rig) {
	for _, n := range append([]int{0}, sizes...) {
		r.at("%d", n)
		x, out := r.normal(n), r.normal(1)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) { d.SumSquares(get(out), get(x)) })
		r.equal("out", out)
	}
}

func adamw(r *rig) {
	for _, n := range sizes {
		for _, o := range []gpu.AdamW{
			{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1, GradScale: 1},
			{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-6, Step: 100, WeightDecay: 0.1, GradScale: 0.01, MaxNorm: 1},
			{LR: 1e-3, Beta1: 0.8, Beta2: 0.99, Eps: 1e-6, Step: 7, WeightDecay: 0.1, GradScale: 3, MaxNorm: 0.1},
		} {
			r.at("%d, %+v", n, o)
			w, g, m, v, sum := r.normal(n), r.normal(n), r.normal(n), r.zeros(n), r.zeros(1)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				d.SumSquares(get(sum), get(g))
				for range 3 {
					d.AdamW(get(w), get(g), get(m), get(v), get(sum), o)
				}
			})
			r.equal("w", w)
			r.equal("m", m)
			r.equal("v", v)
		}
	}
}

func argmax(r *rig) {
	for _, s := range [][2]int{{1, 1}, {7, 9}, {9, 33}, {5, 1000}, {40, 2000}} {
		n, vocab := s[0], s[1]
		r.at("%v", s)
		x := r.numbers(n * vocab)
		for i := range n { // two equal ones: the first counts
			j := r.rng.IntN(vocab)
			x[i*vocab+j], x[i*vocab+r.rng.IntN(vocab)] = 9, 9
		}
		logits := r.values(x)
		var ids [2][]int32
		var logp [2][]float32
		for i, d := range r.dev {
			ids[i], logp[i] = make([]int32, n), make([]float32, n)
			d.Argmax(ids[i], logp[i], logits[i == 1], vocab)
		}
		for i := range n {
			if ids[0][i] != ids[1][i] || !(math.Abs(float64(logp[0][i]-logp[1][i])) <= 10*r.tol) {
				r.t.Errorf("%s: row %d: word %d (%v), want %d (%v)", r.shape, i, ids[0][i], logp[0][i], ids[1][i], logp[1][i])
			}
		}
	}
}
