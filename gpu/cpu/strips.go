package cpu

// #cgo noescape gemm_strips
// #cgo nocallback gemm_strips
// #cgo noescape gemm_rows
// #cgo nocallback gemm_rows
// #include "kernels.h"
import "C"

import (
	"math"

	"starbook/gpu"
)

const (
	stripRows  = 8       // rows up to which weights are read from strips
	tileRows   = 64      // the same with AMX
	stripUses  = 4       // products before there are strips: laying them out takes as long as some products
	stripGrain = 1 << 15 // weights in a range of work: some 3 µs
)

// stripTypes are the types that strips are made of, and the steps of a group.
var stripTypes = map[gpu.Type]struct {
	c     C.int
	group int
}{
	gpu.F32: {C.TYPE_F32, 8}, gpu.BF16: {C.TYPE_BF16, 8}, gpu.F16: {C.TYPE_F16, 8},
	gpu.Q8_0: {C.TYPE_Q8_0, 32}, gpu.Q4_0: {C.TYPE_Q4_0, 32}, gpu.Q4_1: {C.TYPE_Q4_1, 32},
}

// byStrips multiplies few rows by weights that were loaded, which cannot change:
// those that are used so again and again, as generation does, are laid out once
// more for that. It reports false if the product has to go another way, to the same bits.
func (d *device) byStrips(c, a, b gpu.Mat, alpha, beta float32) bool {
	isa, rows, t := d.isa, stripRows, stripTypes[b.Buf.Type]
	if b.Buf.Type == gpu.BF16 {
		if isa = d.gemm; isa == C.ISA_AMX {
			rows, t.group = tileRows, 32
		}
	}
	if c.Rows > rows || !b.T || b.Stride != b.Rows || a.T || a.Buf.Type != gpu.F32 {
		return false
	}
	l := d.lent[b.Buf.Ptr]
	if l == nil || t.group == 0 || b.Rows%t.group != 0 || isa == C.ISA_PAIRS {
		return false
	}
	if l.strips.Len == 0 {
		d.repack(l, b, t.c)
	}
	if l.matrix != b {
		return false
	}
	g := C.Product{
		a: lanes(a.Transposed()), b: C.Operand{p: l.strips.Ptr}, c: f(c.Buf), row: C.long(c.Stride), col: 1,
		m: C.long(c.Rows), n: C.long(c.Cols), k: C.long(a.Cols), alpha: C.float(alpha),
		block: C.gemm_block(isa, C.long(a.Cols)), parts: d.parts,
	}
	if beta != 0 {
		g.add = 1
	}
	if isa == C.ISA_AMX {
		groups := (c.Rows + 15) / 16
		if !d.grow(&d.panels, groups*16*a.Cols*int(d.parts)/2) {
			return true
		}
		g.panels = f(d.panels)
		d.pool.each(groups, max(1, grain/(16*a.Cols)), func(from, to, _ int) { C.gemm_rows(&g, C.long(from), C.long(to)) })
	}
	wide := int(C.strip_lanes(d.isa))
	d.pool.each((c.Cols+wide-1)/wide, max(1, stripGrain/(wide*a.Cols)), func(from, to, _ int) {
		C.gemm_strips(isa, &g, t.c, C.long(from), C.long(to))
	})
	return true
}

// repack lays b's strips out, unless it was hardly used yet, or all strips would take
// more than they leave free.
func (d *device) repack(l *loan, b gpu.Mat, t C.int) {
	if l.uses++; l.uses <= stripUses {
		return
	}
	wide, row := int(C.strip_lanes(d.isa)), b.Buf.Type.Bytes(b.Rows)
	n := (b.Cols + wide - 1) / wide
	size := (n*wide*row + 3) / 4
	if room := d.Room(); room != 0 && d.striped+2*4*size > room {
		l.uses = math.MinInt // nobody asks again
		return
	}
	if l.strips = d.raw(gpu.F32, size); l.strips.Len == 0 {
		return
	}
	d.striped += 4 * size
	l.matrix = b
	d.pool.each(n, max(1, 4*grain/(wide*b.Rows)), func(from, to, _ int) {
		C.repack(d.isa, l.strips.Ptr, b.Buf.Ptr, t, C.long(row), C.long(b.Cols), C.long(b.Rows), C.long(from), C.long(to))
	})
}
