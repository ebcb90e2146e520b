//go:build cuda && linux && amd64

package cuda

import (
	"encoding/binary"
	"math"
	"strings"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/driver"
)

// grid is the blocks of a launch and the threads of a block.
type grid struct{ blocks, threads [3]int }

// rowsOf is one block for each row.
func rowsOf(n, threads int) grid { return grid{[3]int{n, 1, 1}, [3]int{threads, 1, 1}} }

// each is blocks of 256 threads that take 8 elements each.
func each(n int) grid { return rowsOf((n+2047)/2048, 256) }

// columnsOf is blocks of 32 columns by 8.
func columnsOf(n int) grid { return grid{[3]int{(n + 31) / 32, 1, 1}, [3]int{32, 8, 1}} }

// launch queues a kernel. Its parameters are Bufs, staged addresses (uint64),
// int and float64; its name is completed by the types of the Bufs in types.
func (d *device) launch(name string, types []gpu.Buf, g grid, params ...any) {
	for _, b := range types {
		name += "_" + strings.ToLower(b.Type.String())
	}
	d.launchShared(name, g, 0, params...)
}

// launchShared queues a kernel with so many bytes of dynamic shared memory.
func (d *device) launchShared(name string, g grid, shared int, params ...any) {
	if d.err != nil || g.blocks[0] == 0 {
		return
	}
	fn, ok := d.kernels[name]
	if !ok {
		d.fail("there is no kernel %s", name)
		return
	}
	d.allow(name, fn, shared)
	l := driver.Launch{Fn: fn, Shared: uint32(shared), Params: uint32(len(params))}
	for i := range 3 {
		l.Grid[i], l.Block[i] = uint32(g.blocks[i]), uint32(g.threads[i])
	}
	for i, p := range params {
		l.Param[i] = word(p)
	}
	d.add(command{launch: l})
}

// sharedFree is the shared memory that every kernel may have, in bytes.
const sharedFree = 48 << 10

// allow lets a kernel have more shared memory than sharedFree, as it must be
// said once.
func (d *device) allow(name string, fn driver.Function, bytes int) {
	if bytes <= sharedFree || d.allowed[fn] >= bytes {
		return
	}
	if bytes > d.ctx.Shared {
		d.fail("%s needs %d KiB of shared memory for a block, and %s has %d", name, bytes>>10, d.ctx.Name, d.ctx.Shared>>10)
		return
	}
	d.do(func() error { return d.ctx.AllowShared(fn, bytes) })
	d.allowed[fn] = bytes
}

// word returns a parameter as a kernel takes it: all are 8 bytes wide.
func word(p any) uint64 {
	switch p := p.(type) {
	case gpu.Buf:
		return address(p)
	case uint64:
		return p
	case int:
		return uint64(p)
	case float64:
		return math.Float64bits(p)
	}
	panic("cuda: a parameter of no known type")
}

type bufs = []gpu.Buf

// Copy copies src to dst, converting between types.
func (d *device) Copy(dst, src gpu.Buf) {
	if src.Len == 0 {
		return
	}
	if dst.Type == src.Type {
		d.add(command{c: dst.Ptr, b: src.Ptr, bytes: src.Type.Bytes(src.Len)})
		return
	}
	d.launch("convert", bufs{dst, src}, each(src.Len), dst, src, src.Len)
}

// Zero clears b.
func (d *device) Zero(b gpu.Buf) {
	if b.Len > 0 {
		d.add(command{c: b.Ptr, bytes: b.Type.Bytes(b.Len)})
	}
}

// Axpy: y += alpha·x.
func (d *device) Axpy(y, x gpu.Buf, alpha float32) {
	d.launch("axpy", bufs{y, x}, each(x.Len), y, x, x.Len, float64(alpha))
}

// Embed: out[i] = table[ids[i]].
func (d *device) Embed(out, table gpu.Buf, ids []int32, dim int) {
	d.launch("embed", bufs{out, table}, rowsOf(len(ids), 128), out, table, stageOf(d, ids), dim)
}

// EmbedBack: dtable[ids[i]] += dout[i].
func (d *device) EmbedBack(dtable, dout gpu.Buf, ids []int32, dim int) {
	d.launch("embed_back", bufs{dtable, dout}, rowsOf(len(ids), 128), dtable, dout, stageOf(d, ids), len(ids), dim)
}

// RMSNorm: x += add, then out = x·inv·w.
func (d *device) RMSNorm(out, inv, x, add, w gpu.Buf, dim int, eps float32) {
	d.launch("rmsnorm", bufs{x, w}, rowsOf(inv.Len, 128), out, inv, x, add, w, dim, float64(eps))
}

// RMSNormBack: dx += gradient to x, dw += gradient to w.
func (d *device) RMSNormBack(dx, dw, dout, x, w, inv gpu.Buf, starts []int32, dim int) {
	d.launch("rmsnorm_back", bufs{x, w}, rowsOf(inv.Len, 128), dx, dout, x, w, inv, dim)
	if dw.Len > 0 {
		d.launch("rmsnorm_back_w", bufs{x}, columnsOf(dim), dw, dout, x, inv, stageOf(d, starts), len(starts)-1, dim)
	}
}

// Rotary adds a bias, norms and rotates head by head.
func (d *device) Rotary(out, inv, x, bias, w, cos, sin gpu.Buf, pos []int32, heads, dim int, eps float32) {
	kind, ok := d.rotaryWeights(bias, w, dim)
	if !ok {
		return
	}
	d.launch("rotary", bufs{x, kind}, rotaryGrid(len(pos), heads, dim), out, inv, x, bias, w, cos, sin, stageOf(d, pos), len(pos), heads, dim, float64(eps))
}

// RotaryBack writes dx and adds to dbias and dw.
func (d *device) RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin gpu.Buf, pos, starts []int32, heads, dim int) {
	kind, ok := d.rotaryWeights(bias, w, dim)
	if !ok {
		return
	}
	at := stageOf(d, pos)
	if dw.Len > 0 {
		d.launch("rotary_back_w", bufs{dout, kind}, columnsOf(dim), dw, dout, x, bias, inv, cos, sin, at, stageOf(d, starts), len(starts)-1, heads, dim)
	}
	d.launch("rotary_back", bufs{dout, kind}, rotaryGrid(len(pos), heads, dim), dx, dout, x, bias, w, inv, cos, sin, at, len(pos), heads, dim)
	if dbias.Len > 0 {
		d.launch("column_sums", bufs{dx}, columnsOf(heads*dim), dbias, dx, stageOf(d, starts), len(starts)-1, heads*dim)
	}
}

// rotaryWeights returns a Buf of the type that both bias and w have.
func (d *device) rotaryWeights(bias, w gpu.Buf, dim int) (gpu.Buf, bool) {
	if bias.Len > 0 && w.Len > 0 && bias.Type != w.Type {
		d.fail("rotary: the bias is %v and the norm %v: they must be of one type", bias.Type, w.Type)
	}
	if dim > 512 {
		d.fail("rotary: heads of %d: 512 is the widest", dim)
	}
	if w.Len > 0 {
		bias = w
	}
	return bias, d.err == nil
}

// rotaryGrid: a head is held by lanes threads, each with 8 elements of either half.
func rotaryGrid(rows, heads, dim int) grid {
	lanes := 1
	for lanes*8 < (dim+1)/2 {
		lanes *= 2
	}
	return rowsOf((rows*heads*lanes+127)/128, 128)
}

// SwiGLU: out = silu(gate)·up.
func (d *device) SwiGLU(out, gate, up gpu.Buf) {
	d.launch("swiglu", bufs{out}, each(out.Len), out, gate, up, out.Len)
}

// SwiGLUBack writes dgate and dup.
func (d *device) SwiGLUBack(dgate, dup, dout, gate, up gpu.Buf) {
	d.launch("swiglu_back", bufs{dout}, each(dout.Len), dgate, dup, dout, gate, up, dout.Len)
}

// Dropout zeroes elements with probability p and scales the others.
func (d *device) Dropout(out, x gpu.Buf, dim int, starts []int32, keys []uint64, p float32) {
	if x.Len == 0 {
		return
	}
	d.launch("dropout", bufs{x}, rowsOf(x.Len/dim, 128), out, x, stageOf(d, starts), stageOf(d, keys), len(keys), dim, float64(p))
}

// CrossEntropy writes the loss of each row and, if scale is not 0, its gradient.
func (d *device) CrossEntropy(loss, logits gpu.Buf, targets []int32, vocab int, scale float32) {
	d.launch("cross_entropy", bufs{logits}, rowsOf(len(targets), 256), loss, logits, stageOf(d, targets), vocab, float64(scale))
}

// Argmax finds the largest logit of each row.
func (d *device) Argmax(ids []int32, logp []float32, logits gpu.Buf, vocab int) {
	d.choose(ids, logp, func(best, prob gpu.Buf) {
		d.launch("argmax", bufs{logits}, rowsOf(len(ids), 256), best, prob, logits, vocab)
	})
}

// Sample draws a token of each row.
func (d *device) Sample(ids []int32, logp []float32, logits gpu.Buf, vocab int, random []uint64, s gpu.Sampling) {
	d.choose(ids, logp, func(best, prob gpu.Buf) {
		d.launch("sample", bufs{logits}, rowsOf(len(ids), 256), best, prob, logits, stageOf(d, random), vocab, s.TopK, s.TopP, s.Temperature)
	})
}

// choose has a kernel write a token and its log-probability for each row, and reads them.
func (d *device) choose(ids []int32, logp []float32, kernel func(best, prob gpu.Buf)) {
	n := len(ids)
	if n == 0 || !d.grow(&d.parts, gpu.F32, 2*n) {
		return
	}
	best := d.parts.Slice(0, n)
	kernel(best, d.parts.Slice(n, 2*n))
	d.receive(best.Ptr, 8*n, func(piece []byte, from int) {
		for i := range len(piece) / 4 {
			v := binary.LittleEndian.Uint32(piece[4*i:])
			if j := from/4 + i; j < n {
				ids[j] = int32(v)
			} else {
				logp[j-n] = math.Float32frombits(v)
			}
		}
	})
}

// sumParts is the most partial sums of SumSquares; their number is a function
// of the length alone.
const sumParts = 512

// SumSquares: out[0] = Σx², in two stages of a fixed order.
func (d *device) SumSquares(out, x gpu.Buf) {
	if x.Len == 0 {
		d.Zero(out.Slice(0, 1))
		return
	}
	if !d.grow(&d.parts, gpu.F32, 2*sumParts) { // float64
		return
	}
	blocks := min(sumParts, (x.Len+2047)/2048)
	d.launch("sum_squares_parts", nil, rowsOf(blocks, 256), d.parts, x, x.Len)
	d.launch("sum_squares", nil, rowsOf(1, 256), out, d.parts, blocks)
}

// Sum: out[0] += Σx.
func (d *device) Sum(out, x gpu.Buf) { d.launch("sum", nil, rowsOf(1, 256), out, x, x.Len) }

// Guard counts a skip unless both sums are finite.
func (d *device) Guard(guard gpu.Buf) { d.launch("guard", nil, rowsOf(1, 1), guard) }

// AdamW updates w, m and v. What changes with every step is staged; what the
// step comes to is computed on the device, which has the guard.
func (d *device) AdamW(w, g, m, v, guard gpu.Buf, o gpu.AdamW) {
	if !d.grow(&d.parts, gpu.F32, 2*sumParts) {
		return
	}
	rule := []float64{o.GradScale, max(o.MaxNorm, 0), o.LR, o.Beta1, o.Beta2, o.Eps, o.WeightDecay, float64(o.Step)}
	d.launch("adamw_step", nil, rowsOf(1, 1), d.parts, stageOf(d, rule), guard)
	d.launch("adamw", nil, each(w.Len), w, g, m, v, d.parts, w.Len)
}
