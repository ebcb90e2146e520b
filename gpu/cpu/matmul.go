package cpu

// #cgo noescape gemm
// #cgo nocallback gemm
// #cgo noescape gemm_pack
// #cgo nocallback gemm_pack
// #include "kernels.h"
import "C"

import (
	"unsafe"

	"starbook/gpu"
)

const (
	parallel   = 4 << 20 // FLOP below which waking a thread costs more than it saves
	panelsMax  = 1 << 20 // floats of packed panels at a time: 4 MiB, which second-level caches may hold
	panelsWide = 1024    // columns of which panels are not cut to fewer
	skinny     = 64      // rows below which the weights are read where they lie
	narrow     = 256
	slim       = 8       // columns of the slimmest panel
	near       = 1 << 19 // elements of a that second-level caches may hold
	far        = 1 << 22 // elements of one that third-level caches may not hold
)

// MatMul: c = alpha·a·b + beta·c.
func (d *device) MatMul(c, a, b gpu.Mat, alpha, beta float32) {
	if !d.floats("matmul", c.Buf) || c.Rows == 0 || c.Cols == 0 {
		return
	}
	if a.Cols == 0 { // a sum of nothing
		for i := 0; i < c.Rows && beta == 0; i++ {
			d.Zero(c.Buf.Slice(i*c.Stride, i*c.Stride+c.Cols))
		}
		return
	}
	if d.byStrips(c, a, b, alpha, beta) {
		return
	}
	if b.Buf.Type.WeightsOnly() {
		d.matMulBlocks(c, a, b, alpha, beta)
		return
	}
	isa, parts := d.isa, d.parts
	if b.Buf.Type == gpu.BF16 || a.Buf.Type == gpu.BF16 && parts == 1 {
		isa = d.gemm
	}
	if a.Buf.Type == gpu.BF16 {
		parts = 1
	}
	g := C.Product{
		a: lanes(a.Transposed()), b: lanes(b), c: f(c.Buf), row: C.long(c.Stride), col: 1,
		m: C.long(c.Rows), n: C.long(c.Cols), k: C.long(a.Cols), alpha: C.float(alpha),
		block: C.gemm_block(isa, C.long(a.Cols)), to: C.long(a.Cols), parts: parts,
	}
	if beta != 0 {
		g.add = 1
	}
	if turns(&g) && (isa != C.ISA_AMX || parts == 1 && g.b.step == 1) { // AMX wants rows
		g.a, g.b, g.m, g.n, g.row, g.col = g.b, g.a, g.n, g.m, g.col, g.row
	}
	if isa == C.ISA_AMX || g.n <= narrow && (g.a.bf16 == 0 && isa == d.isa || g.a.bf16 == 1 && g.a.step == 1 && g.k%2 == 0) {
		d.product(isa, g)
	} else {
		d.tiles(isa, &g)
	}
}

// turns reports whether g is faster as cᵀ = bᵀ·aᵀ. Few rows by weights are: tiles read
// the weights' steps where they lie, and packing b would turn it round. So is a sum
// over rows with few columns: the lanes of both lie together, and the broad one
// is packed by copying, while tiles would read it in short pieces.
func turns(g *C.Product) bool {
	if g.a.step != 1 && g.b.step != 1 {
		return g.n <= skinny && g.n < min(g.m, g.k)
	}
	return g.b.step == 1 && g.m <= skinny && g.m < min(g.n, g.k)
}

// MatMulRows: c += alpha·Σ aᵀ·b, sequence by sequence.
func (d *device) MatMulRows(c, a, b gpu.Mat, starts []int32, alpha float32) {
	part := func(m gpu.Mat, from, to int) gpu.Mat {
		m.Buf, m.Rows = m.Buf.Slice(from*m.Stride, m.Buf.Len), to-from
		return m
	}
	for s := range len(starts) - 1 {
		if from, to := int(starts[s]), int(starts[s+1]); from < to {
			d.MatMul(c, part(a, from, to).Transposed(), part(b, from, to), alpha, 1)
		}
	}
}

// lanes returns m as an operand whose lanes are the columns of m.
func lanes(m gpu.Mat) C.Operand {
	o := C.Operand{p: m.Buf.Ptr, lane: 1, step: C.long(m.Stride), bf16: bf16(m.Buf)}
	if m.T {
		o.lane, o.step = o.step, o.lane
	}
	return o
}

// size returns the bytes of an element of o.
func size(o C.Operand) int { return 4 >> o.bf16 }

// product packs all of b's panels before it multiplies, for as many columns at
// a time as panelsMax allows, or for so many steps where these would be few.
func (d *device) product(isa C.int, g C.Product) {
	wide, most := C.gemm_lanes(isa), C.long(panelsMax)
	switch {
	case isa == C.ISA_AMX && g.parts > 1:
		most *= 4 // a, which takes longer to pack, is packed again for other columns
	case isa == C.ISA_AMX:
		most /= 2
	}
	steps := max(most/min(g.n, panelsWide)/g.block, 1) * g.block
	cols := max(most/min(g.k, steps)/wide, 1) * wide
	all := g
	for p := C.long(0); p < all.k; p += steps {
		for j := C.long(0); j < all.n; j += cols {
			g.n, g.k = min(cols, all.n-j), min(steps, all.k-p)
			g.a.p = unsafe.Add(all.a.p, int(p*g.a.step)*size(g.a))
			g.b.p = unsafe.Add(all.b.p, int(j*g.b.lane+p*g.b.step)*size(g.b))
			g.c = (*C.float)(unsafe.Add(unsafe.Pointer(all.c), 4*int(j*g.col)))
			g.to = g.k
			if p > 0 {
				g.add = 1
			}
			if !d.grow(&d.panels, int(C.gemm_size(isa, g.n, g.k))) {
				return
			}
			g.panels = f(d.panels)
			panels := C.gemm_panels(isa, g.n) * ((g.k + g.block - 1) / g.block)
			_, each := d.sharing(&g)
			each(int(panels), 2, func(from, to, _ int) {
				C.gemm_pack(isa, &g, C.long(from), C.long(to))
			})
			d.tiles(isa, &g)
		}
	}
}

// sharing returns by how many g is worth computing, and how they share it out. A
// tile of few columns takes as long as one of a whole vector.
func (d *device) sharing(g *C.Product) (workers C.long, each func(n, grain int, work func(from, to, worker int))) {
	if 2*g.m*max(g.n, slim)*g.k < parallel {
		return 1, alone
	}
	return C.long(d.pool.workers), d.pool.each
}

// tiles computes all of c, in pieces.
func (d *device) tiles(isa C.int, g *C.Product) {
	if !d.spaces(int(C.gemm_scratch())) {
		return
	}
	workers, each := d.sharing(g)
	rows, cols := pieces(isa, g, workers)
	each((len(rows)-1)*(len(cols)-1), 1, func(from, to, w int) {
		for i := from; i < to; i++ {
			r, c := i%(len(rows)-1), i/(len(rows)-1)
			C.gemm(isa, g, rows[r], rows[r+1], cols[c], cols[c+1], f(d.scratch[w]))
		}
	})
}

// pieces returns between which rows and columns the pieces of c lie. It cuts the
// columns, so that each panel of b, which comes from far, is read once; where they
// are few, or packed beforehand, the rows.
func pieces(isa C.int, g *C.Product, workers C.long) (rows, cols []C.long) {
	wide, tile := C.gemm_lanes(isa), C.long(24) // a multiple of the rows of every other instruction set's tile
	if isa == C.ISA_AMX {
		tile = 32
	}
	highest := C.GEMM_ROWS / tile
	panels := C.gemm_panels(isa, g.n)
	least, most := C.long(1), C.long(8) // panels in a piece, whose part of c and block of a second-level caches may hold
	switch {
	case isa == C.ISA_AMX:
		highest /= C.long(g.parts)
		least, most = 8, panels
		if g.m >= 64*workers { // bands of rows, so that each is packed once
			least = panels
		}
	case g.panels != nil:
		least, most = 8, panels
	case C.gemm_reads(isa, g) == 0 || g.m*g.k > far: // each piece packs a, or fetches it from memory: as few as give every worker as many
		rounds := (panels + 32*workers - 1) / (32 * workers)
		least = (panels + rounds*workers - 1) / (rounds * workers)
		most = least
	case g.m*g.k > near: // rows of a are fetched from the third-level cache
		least = 2
	}
	cols = parts(g.n, wide, least, most, workers)
	if len(cols) > 2 {
		workers = 1 // equal bands of rows
	}
	return parts(g.m, tile, 1, highest, workers), cols
}

// parts returns the edges between parts of n, of least to most units each. For several
// workers the large ones come first, so that all of them end at about the same
// time although one came late; for one they are as few as can be, and equal.
func parts(n, unit, least, most, workers C.long) []C.long {
	units := (n + unit - 1) / unit
	if workers == 1 {
		few := (units + most - 1) / most
		least = (units + few - 1) / few
	}
	edges := []C.long{0}
	for at := C.long(0); at < units; {
		at += min(max((units-at+2*workers-1)/(2*workers), least), most)
		edges = append(edges, min(at*unit, n))
	}
	return edges
}

// spaces gives every worker work space of at least n floats, and reports
// whether there was memory for it.
func (d *device) spaces(n int) bool {
	for w := range d.scratch {
		if !d.grow(&d.scratch[w], n) {
			return false
		}
	}
	return true
}
