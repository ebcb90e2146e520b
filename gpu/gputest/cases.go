package gputest

import (
	"math"
	"slices"

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
	{"matmul blocks", matmulBlocks},
	{"matmul rows", matmulRows},
	{"rmsnorm", rmsnorm},
	{"rotary", rotary},
	{"attention", attention},
	{"cached", cached},
	{"swiglu", swiglu},
	{"crossentropy", crossEntropy},
	{"axpy", axpy},
	{"dropout", drop},
	{"sumsquares", sumSquares},
	{"sum", sum},
	{"adamw", adamw},
	{"merge", merge},
	{"argmax", argmax},
	{"sample", sample},
}

// sizes are lengths around the edges of vectors, tiles and threads' shares.
var sizes = []int{1, 2, 7, 8, 9, 31, 32, 33, 100, 40_000}

func copies(r *rig) {
	for _, n := range sizes {
		r.at("%d", n)
		x := r.trained(n)
		y, z, half := r.floats(n), r.floats(n), r.halves(n)
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
	for _, t := range r.blockTypes() {
		for _, blocks := range []int{1, 2, 7, 300} {
			n := blocks * t.Block()
			r.at("%v %d", t, n)
			w, out := r.weights(t, n), r.zeros(n)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) { d.Copy(get(out), get(w)) })
			r.equal("decoded", out)
			r.equal("downloaded", w)
		}
	}
}

// blockTypes returns the types for weights only that the tested device takes.
func (r *rig) blockTypes() []gpu.Type {
	var all []gpu.Type
	for _, t := range []gpu.Type{gpu.F16, gpu.Q8_0, gpu.Q4_0, gpu.Q4_1, gpu.Q4_K, gpu.Q6_K, gpu.NF4} {
		if b := r.dev[0].Load(t, make([]byte, t.Bytes(t.Block()))); b.Len > 0 {
			r.dev[0].Free(b)
			all = append(all, t)
		} else if r.dev[0].Sync() == nil {
			r.t.Errorf("%v is not taken, and Sync does not say so", t)
		}
	}
	return all
}

// halves returns n zeros in BF16, where the device has them.
func (r *rig) halves(n int) both {
	return r.pair(r.dev[0].Alloc(gpu.BF16, n), r.dev[1].Alloc(gpu.BF16, n))
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
	for _, t := range append(r.blockTypes(), gpu.F32, gpu.BF16) {
		for _, s := range [][3]int{{1, 1, 1}, {5, 3, 7}, {50, 9, 64}, {300, 20, 130}} {
			n, vocab, dim := s[0], s[1], s[2]
			if t.Block() > 1 {
				dim = (dim%3 + 1) * t.Block()
			}
			r.at("%v %v", t, s)
			ids := r.ints(n, 0, vocab)
			table, out, dtable, rows := r.weights(t, vocab*dim), r.zeros(n*dim), r.trained(vocab*dim), r.normal(n*dim)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				d.Embed(get(out), get(table), ids, dim)
				d.EmbedBack(get(dtable), get(out), ids, dim)
			})
			r.equal("out", out)
			r.equal("dtable", dtable)

			every := make([]int32, n) // gather and scatter activations
			for i := range every {
				every[i] = int32(n - 1 - i)
			}
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				d.Embed(get(out), get(rows), every, dim)
				d.EmbedBack(get(rows), get(out), every, dim)
			})
			r.equal("gathered", out)
			r.equal("scattered", rows)
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
		{40, 140, 390},
		{70, 330, 93},
		{70, 90, 390},
		{66, 17, 780},
		{16, 64, 780},
		{64, 16, 780},
		{67, 261, 390},
		{581, 260, 14},
	}
	given := len(shapes)
	for range 40 {
		shapes = append(shapes, [3]int{1 + r.rng.IntN(80), 1 + r.rng.IntN(200), 1 + r.rng.IntN(100)})
	}
	for i, s := range shapes {
		for form := range 4 { // which of a and b are transposed
			if i >= given && form != i%4 {
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
	apart := extra
	if r.rng.IntN(8) == 0 {
		apart = -rows(k, m, ta) & 1023 // a's rows are whole pages of 4 KiB apart, which meet in a cache
	}
	a, b := r.normal(rows(m, k, ta)*(rows(k, m, ta)+apart)), r.weights(t, rows(k, n, tb)*(rows(n, k, tb)+extra))
	c := r.normal(m * (n + extra))
	view := func(x gpu.Buf, m, n int, t bool, extra int) gpu.Mat {
		v := gpu.Mat{Buf: x, Rows: rows(m, n, t), Cols: rows(n, m, t), Stride: rows(n, m, t) + extra}
		if t {
			return v.Transposed()
		}
		return v
	}
	r.on(func(d gpu.Device, get func(both) gpu.Buf) {
		d.MatMul(view(get(c), m, n, false, extra), view(get(a), m, k, ta, apart), view(get(b), k, n, tb, extra), alpha, beta)
	})
	r.equal("c", c)
}

// matmulBlocks checks products with quantised weights, as they are multiplied
// forward (transposed) and backward.
func matmulBlocks(r *rig) {
	for _, t := range r.blockTypes() {
		for _, s := range [][3]int{{1, 2, 1}, {1, 70, 3}, {9, 33, 2}, {40, 100, 1}} {
			m, out, in := s[0], s[1], s[2]*t.Block()
			if t == gpu.F16 {
				in *= 37
			}
			r.at("%v, %d rows, weights (%d, %d)", t, m, out, in)
			w, x, y, dx := r.weights(t, out*in), r.normal(m*in), r.normal(m*out), r.normal(m*in)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				w := gpu.M(get(w), out, in)
				d.MatMul(gpu.M(get(y), m, out), gpu.M(get(x), m, in), w.Transposed(), 0.5, 0)
				d.MatMul(gpu.M(get(dx), m, in), gpu.M(get(y), m, out), w, 1, 1)
			})
			r.equal("y", y)
			r.equal("dx", dx)
		}
	}
}

func matmulRows(r *rig) {
	for _, starts := range [][]int32{{0, 1}, {0, 7, 7, 20}, {0, 100, 131, 132}, {0}} {
		for _, s := range [][2]int{{1, 1}, {16, 40}, {70, 33}} {
			p, q, n := s[0], s[1], int(starts[len(starts)-1])
			r.at("%v, %v", starts, s)
			extra := r.rng.IntN(3)
			a, b, c := r.normal(n*(p+extra)), r.normal(n*q), r.trained(p*q)
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				am := gpu.Mat{Buf: get(a), Rows: n, Cols: p, Stride: p + extra}
				d.MatMulRows(gpu.M(get(c), p, q), am, gpu.M(get(b), n, q), starts, 0.3)
			})
			r.equal("c", c)
		}
	}
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
				x, add, w, out, inv := r.normal(n*dim), both{}, r.weights(t, dim), r.zeros(n*dim), r.floats(n)
				if adding {
					add = r.normal(n * dim)
				}
				dx, dw, dout, starts := r.normal(n*dim), r.trained(dim), r.normal(n*dim), []int32{0, int32(n / 3), int32(n)}
				r.on(func(d gpu.Device, get func(both) gpu.Buf) {
					d.RMSNorm(get(out), get(inv), get(x), get(add), get(w), dim, 1e-5)
					d.RMSNormBack(get(dx), get(dw), get(dout), get(x), get(w), get(inv), starts, dim)
					d.RMSNormBack(get(dx), gpu.Buf{}, get(dout), get(x), get(w), get(inv), nil, dim)
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

func rotary(r *rig) {
	for _, s := range [][3]int{{1, 1, 2}, {7, 3, 6}, {9, 2, 64}, {40, 8, 128}, {33, 5, 40}} {
		for form := range 8 {
			r.rotary(s[0], s[1], s[2], form&1 != 0, form&2 != 0, form&4 != 0)
		}
	}
}

func (r *rig) rotary(n, heads, dim int, biased, normed, rotated bool) {
	r.at("%d rows of %d heads of %d, biased %v, normed %v, rotated %v", n, heads, dim, biased, normed, rotated)
	t := []gpu.Type{gpu.F32, gpu.BF16}[r.rng.IntN(2)]
	var bias, w, inv, cos, sin, dbias, dw both
	if biased {
		bias, dbias = r.weights(t, heads*dim), r.trained(heads*dim)
	}
	if normed {
		w, inv, dw = r.weights(t, dim), r.floats(n*heads), r.trained(dim)
	}
	if rotated {
		cos, sin = r.angles(50, dim/2)
	}
	x, out, same, dx, dout := r.normal(n*heads*dim), r.zeros(n*heads*dim), r.zeros(n*heads*dim), r.zeros(n*heads*dim), r.normal(n*heads*dim)
	pos, starts := r.ints(n, 0, 50), []int32{0, int32(n / 3), int32(n)}
	r.on(func(d gpu.Device, get func(both) gpu.Buf) {
		d.Copy(get(same), get(x))
		d.Rotary(get(same), get(inv), get(same), get(bias), get(w), get(cos), get(sin), pos, heads, dim, 1e-5)
		d.Rotary(get(out), get(inv), get(x), get(bias), get(w), get(cos), get(sin), pos, heads, dim, 1e-5)
		d.RotaryBack(get(dx), get(dbias), get(dw), get(dout), get(x), get(bias), get(w), get(inv), get(cos), get(sin), pos, starts, heads, dim)
		d.RotaryBack(get(dout), gpu.Buf{}, gpu.Buf{}, get(dout), get(x), get(bias), get(w), get(inv), get(cos), get(sin), pos, nil, heads, dim)
	})
	r.equal("out", out)
	r.equal("in place", same)
	r.equal("inv", inv)
	r.equal("dx", dx)
	r.equal("dx in place", dout)
	r.equal("dbias", dbias)
	r.equal("dw", dw)
}

// angles returns the cosines and sines of n·m random angles.
func (r *rig) angles(n, m int) (cos, sin both) {
	c, s := make([]float32, n*m), make([]float32, n*m)
	for i := range c {
		y, x := math.Sincos(r.rng.Float64() * 7)
		c[i], s[i] = float32(x), float32(y)
	}
	return r.set(r.floats(n*m), c), r.set(r.floats(n*m), s)
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
	{Starts: []int32{0, 5, 70, 135}, Heads: 4, KVHeads: 2, Dim: 128, Window: 50},
	{Starts: []int32{0, 66}, Heads: 2, KVHeads: 1, Dim: 80},
	{Starts: []int32{0, 40}, Heads: 1, KVHeads: 1, Dim: 256},
	{Starts: short(40), Heads: 2, KVHeads: 1, Dim: 8},
}

// short returns the starts of n sequences of up to four rows.
func short(n int) []int32 {
	starts := []int32{0}
	for i := range n {
		starts = append(starts, starts[i]+int32(i%5))
	}
	return starts
}

func attention(r *rig) {
	for _, s := range seqs {
		s.Scale = float32(1 / math.Sqrt(float64(s.Dim)))
		r.at("%+v", s)
		n := int(s.Starts[len(s.Starts)-1])
		hq, hk := n*s.Heads*s.Dim, n*s.KVHeads*s.Dim
		q, k, v, dout := r.normal(hq), r.normal(hk), r.normal(hk), r.normal(hq)
		out, lse, dq, dk, dv := r.normal(hq), r.floats(n*s.Heads), r.normal(hq), r.normal(hk), r.normal(hk)
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
		{Context: 600, Heads: 34, KVHeads: 2, Dim: 128},
		{Context: 520, Heads: 4, KVHeads: 1, Dim: 256, Window: 300},
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
		loss, logits, only, same := r.trained(n), r.normal(n*vocab), r.trained(n), r.normal(n*vocab)
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
		y, x, w, g := r.normal(n), r.normal(n), r.weights(gpu.BF16, n), r.trained(n)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Axpy(get(y), get(x), -0.3)
			d.Axpy(get(y), get(w), 1.5)
			d.Axpy(get(g), get(y), 0.5)
		})
		r.equal("y", y)
		r.equal("g", g)
	}
}

func drop(r *rig) {
	for _, starts := range [][]int32{{0}, {0, 1}, {0, 7, 7, 40}, {0, 300, 301, 900}} {
		for _, p := range []float32{0, 0.1, 0.5} {
			for _, dim := range []int{1, 9, 64} {
				r.at("%v of %d, p %v", starts, dim, p)
				n := int(starts[len(starts)-1]) * dim
				x, out, keys := r.normal(n), r.zeros(n), make([]uint64, len(starts)-1)
				for i := range keys {
					keys[i] = r.rng.Uint64()
				}
				r.on(func(d gpu.Device, get func(both) gpu.Buf) {
					d.Dropout(get(out), get(x), dim, starts, keys, p)
					d.Dropout(get(x), get(x), dim, starts, keys, p)
				})
				r.equal("out", out)
				r.equal("in place", x)
			}
		}
	}
}

func sumSquares(r *rig) {
	for _, n := range append([]int{0}, sizes...) {
		r.at("%d", n)
		x, out := r.trained(n), r.trained(1)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) { d.SumSquares(get(out), get(x)) })
		r.equal("out", out)
	}
}

func sum(r *rig) {
	for _, n := range append([]int{0}, sizes...) {
		r.at("%d", n)
		x, out, fetched := r.trained(n), r.trained(1), r.floats(1)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) {
			d.Sum(get(out), get(x))
			got := make([]float32, 1)
			wait := d.Fetch(get(out))
			d.Sum(get(out), get(x)) // after the copy
			if err := wait(got); err != nil {
				r.t.Error(err)
			}
			d.Upload(get(fetched), got)
		})
		r.equal("out", out)
		r.equal("fetched", fetched)
	}
}

// guarded returns a guard of gradients g, with a loss and so many skips.
func (r *rig) guarded(g both, loss, skips float32) both {
	guard := r.set(r.floats(gpu.GuardLen), []float32{0, loss, skips})
	r.on(func(d gpu.Device, get func(both) gpu.Buf) {
		d.SumSquares(get(guard).Slice(gpu.GuardSquares, 1), get(g))
		d.Guard(get(guard))
	})
	return guard
}

func adamw(r *rig) {
	inf := float32(math.Inf(1))
	for _, loss := range []float32{3, inf, -inf, float32(math.NaN())} {
		r.at("a loss of %v", loss)
		o := gpu.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 4, GradScale: 1, MaxNorm: 1}
		w, g, m, v := r.trained(9), r.trained(9), r.trained(9), r.floats(9)
		before, guard := download(r.dev[0], w[false]), r.guarded(g, loss, 1)
		r.on(func(d gpu.Device, get func(both) gpu.Buf) { d.AdamW(get(w), get(g), get(m), get(v), get(guard), o) })
		r.equal("w", w)
		skips := download(r.dev[0], guard[false])[gpu.GuardSkips]
		if sound := loss == 3; sound != (skips == 1) || sound == slices.Equal(before, download(r.dev[0], w[false])) {
			r.t.Errorf("%s: %v skips, and of the weights %v became %v", r.shape, skips, before, download(r.dev[0], w[false]))
		}
	}
	for _, n := range sizes {
		for _, o := range []gpu.AdamW{
			{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 1, GradScale: 1},
			{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-6, Step: 100, WeightDecay: 0.1, GradScale: 0.01, MaxNorm: 1},
			{LR: 1e-3, Beta1: 0.8, Beta2: 0.99, Eps: 1e-6, Step: 7, WeightDecay: 0.1, GradScale: 3, MaxNorm: 0.1},
		} {
			r.at("%d, %+v", n, o)
			w, g, m, v := r.trained(n), r.trained(n), r.trained(n), r.floats(n)
			guard := r.guarded(g, 1, float32(o.Step/2))
			r.on(func(d gpu.Device, get func(both) gpu.Buf) {
				for range 3 {
					d.AdamW(get(w), get(g), get(m), get(v), get(guard), o)
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
