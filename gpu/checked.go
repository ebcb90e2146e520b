package gpu

import "fmt"

// Checked returns d with the arguments of every operation checked before d
// sees them, so that a device in C or on a GPU need not fear an index out of
// range. A wrong argument is the first failure, and sticks.
func Checked(d Device) Device { return &checked{Device: d} }

type checked struct {
	Device
	err error
}

// Sync returns the first error since the last Sync.
func (c *checked) Sync() error {
	err := c.Device.Sync()
	if c.err != nil {
		err = c.err
	}
	c.err = nil
	return err
}

// sizes are the elements that buffers of an operation must have.
type sizes []size

type size struct {
	name string
	b    Buf
	want int
}

// ok reports whether the call may go on: no failure before it, every buffer as
// large as it must be, and every index in its range.
func (c *checked) ok(op string, bufs sizes, indices ...index) bool {
	if c.err != nil {
		return false
	}
	for _, s := range bufs {
		if s.b.Len != s.want {
			c.err = fmt.Errorf("gpu: %s: %s has %d elements: it needs %d", op, s.name, s.b.Len, s.want)
			return false
		}
	}
	for _, x := range indices {
		for i, v := range x.of {
			if int(v) < x.from || int(v) >= x.to {
				c.err = fmt.Errorf("gpu: %s: %s %d of row %d is not in [%d, %d)", op, x.name, v, i, x.from, x.to)
				return false
			}
		}
	}
	return true
}

// index is a list of row numbers that must lie in [from, to).
type index struct {
	name     string
	of       []int32
	from, to int
}

// require fails the call unless good.
func (c *checked) require(good bool, format string, args ...any) bool {
	if c.err == nil && !good {
		c.err = fmt.Errorf("gpu: "+format, args...)
	}
	return c.err == nil
}

// whole returns how many rows of the given width b has, or -1 if that does not divide.
func whole(b Buf, width int) int {
	if width <= 0 || b.Len%width != 0 {
		return -1
	}
	return b.Len / width
}

func (c *checked) Upload(dst Buf, src []float32) {
	if c.ok("upload", sizes{{"dst", dst, len(src)}}) {
		c.Device.Upload(dst, src)
	}
}

func (c *checked) Download(dst []float32, src Buf) {
	if c.ok("download", sizes{{"src", src, len(dst)}}) {
		c.Device.Download(dst, src)
	}
}

func (c *checked) Rehearse() Device {
	if c.err != nil {
		return nil
	}
	return c.Device.Rehearse()
}

func (c *checked) Fetch(src Buf) func([]float32) error {
	if c.err != nil {
		err := c.err
		return func([]float32) error { return err }
	}
	wait := c.Device.Fetch(src)
	return func(dst []float32) error {
		if len(dst) != src.Len {
			return fmt.Errorf("gpu: fetch: dst has %d elements: it needs %d", len(dst), src.Len)
		}
		return wait(dst)
	}
}

func (c *checked) Copy(dst, src Buf) {
	if c.ok("copy", sizes{{"dst", dst, src.Len}}) &&
		c.require(!dst.Type.WeightsOnly(), "copy: %v to %v: nothing is quantised here", src.Type, dst.Type) {
		c.Device.Copy(dst, src)
	}
}

func (c *checked) Zero(b Buf) {
	if c.err == nil {
		c.Device.Zero(b)
	}
}

func (c *checked) Embed(out, table Buf, ids []int32, dim int) {
	vocab := whole(table, dim)
	if c.ok("embed", sizes{{"out", out, len(ids) * dim}}, index{"id", ids, 0, vocab}) &&
		c.require(dim%table.Type.Block() == 0, "embed: rows of %d are not whole blocks of %v", dim, table.Type) {
		c.Device.Embed(out, table, ids, dim)
	}
}

func (c *checked) EmbedBack(dtable, dout Buf, ids []int32, dim int) {
	vocab := whole(dtable, dim)
	if c.ok("embed back", sizes{{"dout", dout, len(ids) * dim}}, index{"id", ids, 0, vocab}) {
		c.Device.EmbedBack(dtable, dout, ids, dim)
	}
}

func (c *checked) MatMul(out, a, b Mat, alpha, beta float32) {
	if c.require(a.Cols == b.Rows && out.Rows == a.Rows && out.Cols == b.Cols,
		"matmul: (%d, %d) is not (%d, %d)·(%d, %d)", out.Rows, out.Cols, a.Rows, a.Cols, b.Rows, b.Cols) &&
		c.require(!out.T && (beta == 0 || beta == 1), "matmul: beta is %v and c.T %v: want 0 or 1 and false", beta, out.T) &&
		c.require(out.fits() && a.fits() && b.fits(), "matmul: a matrix reaches over the end of its Buf") &&
		c.require(!out.Buf.Type.WeightsOnly() && !a.Buf.Type.WeightsOnly(), "matmul: (%v) = (%v)·b: only b may be quantised", out.Buf.Type, a.Buf.Type) &&
		c.require(b.blocks(), "matmul: the rows of b are not whole blocks of %v", b.Buf.Type) {
		c.Device.MatMul(out, a, b, alpha, beta)
	}
}

func (c *checked) MatMulRows(out, a, b Mat, starts []int32, alpha float32) {
	if c.sequences("matmul rows", starts, a.Rows) &&
		c.require(a.Rows == b.Rows && out.Rows == a.Cols && out.Cols == b.Cols,
			"matmul rows: (%d, %d) is not (%d, %d)ᵀ·(%d, %d)", out.Rows, out.Cols, a.Rows, a.Cols, b.Rows, b.Cols) &&
		c.require(!out.T && !a.T && !b.T, "matmul rows: a matrix is transposed") &&
		c.require(out.fits() && a.fits() && b.fits(), "matmul rows: a matrix reaches over the end of its Buf") {
		c.Device.MatMulRows(out, a, b, starts, alpha)
	}
}

// sequences checks that sequences follow one another from row 0 to row n.
func (c *checked) sequences(op string, starts []int32, n int) bool {
	if !c.require(len(starts) > 0, "%s: no starts: they begin with 0 and end with the %d rows", op, n) {
		return false
	}
	for i, start := range starts {
		if i == 0 && start != 0 || i > 0 && start < starts[i-1] {
			return c.require(false, "%s: sequence %d starts at row %d: starts begin with 0 and do not fall", op, i, start)
		}
	}
	end := int(starts[len(starts)-1])
	return c.require(end == n, "%s: the sequences end at row %d of %d", op, end, n)
}

// blocks reports whether the rows of m as stored are whole blocks of its type.
func (m Mat) blocks() bool {
	cols := m.Cols
	if m.T {
		cols = m.Rows
	}
	n := m.Buf.Type.Block()
	return m.Stride%n == 0 && cols%n == 0
}

// fits reports whether all elements of m lie in its Buf.
func (m Mat) fits() bool {
	rows, cols := m.Rows, m.Cols
	if m.T {
		rows, cols = cols, rows
	}
	if rows <= 0 || cols <= 0 {
		return rows >= 0 && cols >= 0
	}
	return (cols <= m.Stride || rows == 1) && (rows-1)*m.Stride+cols <= m.Buf.Len
}

func (c *checked) RMSNorm(out, inv, x, add, w Buf, dim int, eps float32) {
	if c.ok("rmsnorm", sizes{{"x", x, inv.Len * dim}, {"out", out, x.Len}, {"w", w, dim}}) &&
		c.require(add.Len == 0 || add.Len == x.Len, "rmsnorm: add has %d elements and x %d", add.Len, x.Len) {
		c.Device.RMSNorm(out, inv, x, add, w, dim, eps)
	}
}

func (c *checked) RMSNormBack(dx, dw, dout, x, w, inv Buf, starts []int32, dim int) {
	if c.ok("rmsnorm back", sizes{{"x", x, inv.Len * dim}, {"dx", dx, x.Len}, {"dout", dout, x.Len}, {"w", w, dim}}) &&
		c.require(dw.Len == 0 || dw.Len == dim, "rmsnorm back: dw has %d elements and a row %d", dw.Len, dim) &&
		(dw.Len == 0 || c.sequences("rmsnorm back", starts, inv.Len)) {
		c.Device.RMSNormBack(dx, dw, dout, x, w, inv, starts, dim)
	}
}

func (c *checked) Rotary(out, inv, x, bias, w, cos, sin Buf, pos []int32, heads, dim int, eps float32) {
	if c.rotary("rotary", x, bias, w, inv, cos, sin, pos, heads, dim) && c.ok("rotary", sizes{{"x", x, out.Len}}) {
		c.Device.Rotary(out, inv, x, bias, w, cos, sin, pos, heads, dim, eps)
	}
}

func (c *checked) RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin Buf, pos, starts []int32, heads, dim int) {
	if w.Len == 0 {
		x = dout // x may be none
	}
	if c.rotary("rotary back", x, bias, w, inv, cos, sin, pos, heads, dim) &&
		c.ok("rotary back", sizes{{"dout", dout, x.Len}, {"dx", dx, x.Len}}) &&
		c.require(dbias.Len == 0 || dbias.Len == heads*dim, "rotary back: dbias has %d elements and a row %d", dbias.Len, heads*dim) &&
		c.require(dw.Len == 0 || dw.Len == w.Len, "rotary back: dw has %d elements and w %d", dw.Len, w.Len) &&
		(dbias.Len+dw.Len == 0 || c.sequences("rotary back", starts, len(pos))) {
		c.Device.RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin, pos, starts, heads, dim)
	}
}

// rotary checks what Rotary and RotaryBack have in common.
func (c *checked) rotary(op string, x, bias, w, inv, cos, sin Buf, pos []int32, heads, dim int) bool {
	rows := len(pos)
	return c.ok(op, sizes{{"x", x, rows * heads * dim}, {"sin", sin, cos.Len}}) &&
		c.require(bias.Len == 0 || bias.Len == heads*dim, "%s: bias has %d elements and a row %d", op, bias.Len, heads*dim) &&
		c.require(w.Len == 0 || w.Len == dim && inv.Len == rows*heads, "%s: w has %d elements and inv %d for %d rows of %d heads of %d", op, w.Len, inv.Len, rows, heads, dim) &&
		c.require(cos.Len == 0 || dim%2 == 0 && dim > 0, "%s: a head of width %d has no halves", op, dim) &&
		(cos.Len == 0 || c.ok(op, nil, index{"position", pos, 0, whole(cos, dim/2)}))
}

func (c *checked) Attention(out, lse, q, k, v Buf, s Seqs) {
	if n := s.rows(); c.packed(s) && c.ok("attention", sizes{
		{"q", q, n * s.Heads * s.Dim},
		{"out", out, q.Len},
		{"lse", lse, n * s.Heads},
		{"k", k, n * s.KVHeads * s.Dim},
		{"v", v, k.Len},
	}) {
		c.Device.Attention(out, lse, q, k, v, s)
	}
}

func (c *checked) AttentionBack(dq, dk, dv, dout, out, lse, q, k, v Buf, s Seqs) {
	if n := s.rows(); c.packed(s) && c.ok("attention back", sizes{
		{"q", q, n * s.Heads * s.Dim},
		{"out", out, q.Len},
		{"lse", lse, n * s.Heads},
		{"k", k, n * s.KVHeads * s.Dim},
		{"v", v, k.Len},
		{"dout", dout, q.Len},
		{"dq", dq, q.Len},
		{"dk", dk, k.Len},
		{"dv", dv, k.Len},
	}) {
		c.Device.AttentionBack(dq, dk, dv, dout, out, lse, q, k, v, s)
	}
}

// rows returns N.
func (s Seqs) rows() int {
	if len(s.Starts) == 0 {
		return 0
	}
	return int(s.Starts[len(s.Starts)-1])
}

// packed checks the sequences and the heads of s.
func (c *checked) packed(s Seqs) bool {
	return c.sequences("attention", s.Starts, s.rows()) && c.heads(s.Heads, s.KVHeads, s.Dim, s.Window)
}

func (c *checked) heads(heads, kv, dim, window int) bool {
	return c.require(kv > 0 && heads > 0 && heads%kv == 0 && dim > 0 && window >= 0,
		"attention: %d heads over %d of width %d with window %d", heads, kv, dim, window)
}

func (c *checked) CacheWrite(cache, rows Buf, slot, pos []int32, context, dim int) {
	if c.require(len(slot) == len(pos), "cache write: %d slots for %d positions", len(slot), len(pos)) &&
		c.ok("cache write", sizes{{"rows", rows, len(slot) * dim}},
			index{"slot", slot, 0, whole(cache, context*dim)}, index{"position", pos, 0, context}) {
		c.Device.CacheWrite(cache, rows, slot, pos, context, dim)
	}
}

func (c *checked) AttentionCached(out, q, keys, values Buf, a Cached) {
	if c.heads(a.Heads, a.KVHeads, a.Dim, a.Window) &&
		c.require(len(a.Slot) == len(a.Len), "cached attention: %d slots for %d lengths", len(a.Slot), len(a.Len)) &&
		c.ok("cached attention", sizes{{"q", q, len(a.Slot) * a.Heads * a.Dim}, {"out", out, q.Len}, {"values", values, keys.Len}},
			index{"slot", a.Slot, 0, whole(keys, a.Context*a.KVHeads*a.Dim)}, index{"length", a.Len, 1, a.Context + 1}) {
		c.Device.AttentionCached(out, q, keys, values, a)
	}
}

func (c *checked) SwiGLU(out, gate, up Buf) {
	if c.ok("swiglu", sizes{{"gate", gate, out.Len}, {"up", up, out.Len}}) {
		c.Device.SwiGLU(out, gate, up)
	}
}

func (c *checked) SwiGLUBack(dgate, dup, dout, gate, up Buf) {
	n := dout.Len
	if c.ok("swiglu back", sizes{{"dgate", dgate, n}, {"dup", dup, n}, {"gate", gate, n}, {"up", up, n}}) {
		c.Device.SwiGLUBack(dgate, dup, dout, gate, up)
	}
}

func (c *checked) CrossEntropy(loss, logits Buf, targets []int32, vocab int, scale float32) {
	n := len(targets)
	if c.ok("cross-entropy", sizes{{"loss", loss, n}, {"logits", logits, n * vocab}}, index{"target", targets, -1 << 31, vocab}) {
		c.Device.CrossEntropy(loss, logits, targets, vocab, scale)
	}
}

func (c *checked) Axpy(y, x Buf, alpha float32) {
	if c.ok("axpy", sizes{{"x", x, y.Len}}) {
		c.Device.Axpy(y, x, alpha)
	}
}

func (c *checked) Dropout(out, x Buf, dim int, starts []int32, keys []uint64, p float32) {
	if c.ok("dropout", sizes{{"out", out, x.Len}}) && c.sequences("dropout", starts, whole(x, dim)) &&
		c.require(len(keys) == len(starts)-1, "dropout: %d keys for %d sequences", len(keys), len(starts)-1) &&
		c.require(p >= 0 && p < 1, "dropout: p is %v: want 0 ≤ p < 1", p) {
		c.Device.Dropout(out, x, dim, starts, keys, p)
	}
}

func (c *checked) SumSquares(out, x Buf) {
	if c.require(out.Len > 0, "sum of squares: out is empty") {
		c.Device.SumSquares(out, x)
	}
}

func (c *checked) Sum(out, x Buf) {
	if c.require(out.Len > 0, "sum: out is empty") {
		c.Device.Sum(out, x)
	}
}

func (c *checked) Guard(guard Buf) {
	if c.ok("guard", sizes{{"guard", guard, GuardLen}}) {
		c.Device.Guard(guard)
	}
}

func (c *checked) AdamW(w, g, m, v, guard Buf, o AdamW) {
	n := w.Len
	if c.ok("adamw", sizes{{"g", g, n}, {"m", m, n}, {"v", v, n}}) &&
		c.require(guard.Len == GuardLen || guard.Len == 0 && o.MaxNorm <= 0, "adamw: the guard has %d elements: it needs %d, and clipping needs it", guard.Len, GuardLen) &&
		c.require(o.Step >= 1, "adamw: step %d: the first is 1", o.Step) {
		c.Device.AdamW(w, g, m, v, guard, o)
	}
}

func (c *checked) Merge(out []byte, w, b, a Buf, dim int, m Merge) Merged {
	if c.require(m.Type == F32 || m.Type == BF16 || m.Type == F16, "merge: into %v: F32, BF16 and F16 exist", m.Type) &&
		c.require(m.Rank >= 0 && whole(w, dim) >= 0 && dim%w.Type.Block() == 0, "merge: w has %d elements of %v, and a row %d", w.Len, w.Type, dim) &&
		c.ok("merge", sizes{{"b", b, whole(w, dim) * m.Rank}, {"a", a, m.Rank * dim}}) &&
		c.require(len(out) == m.Type.Bytes(w.Len), "merge: out has %d bytes: it needs %d", len(out), m.Type.Bytes(w.Len)) {
		return c.Device.Merge(out, w, b, a, dim, m)
	}
	return Merged{Broken: -1}
}

func (c *checked) Argmax(ids []int32, logp []float32, logits Buf, vocab int) {
	if c.require(vocab > 0 && len(ids) == len(logp), "argmax: %d ids, %d log-probabilities, %d words", len(ids), len(logp), vocab) &&
		c.ok("argmax", sizes{{"logits", logits, len(ids) * vocab}}) {
		c.Device.Argmax(ids, logp, logits, vocab)
	}
}

func (c *checked) Sample(ids []int32, logp []float32, logits Buf, vocab int, random []uint64, s Sampling) {
	if c.require(vocab > 0 && vocab <= mostWords, "sample: %d words: want 1 to %d", vocab, mostWords) &&
		c.require(len(ids) == len(logp) && len(ids) == len(random), "sample: %d ids, %d log-probabilities, %d random numbers", len(ids), len(logp), len(random)) &&
		c.require(s.Temperature > 0 && s.TopK >= 0 && s.TopP >= 0 && s.TopP <= 1, "sample: %+v: the temperature is above 0, TopP at most 1", s) &&
		c.ok("sample", sizes{{"logits", logits, len(ids) * vocab}}) {
		c.Device.Sample(ids, logp, logits, vocab, random, s)
	}
}
