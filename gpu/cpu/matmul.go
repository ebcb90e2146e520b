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
	parallel  = 4 << 20 // FLOP below which waking a thread costs more than it saves
	panelsMax = 1 << 20 // floats of packed panels at a time: 4 MiB, which second-level caches may hold
	skinny    = 64      // rows below which the weights are read where they lie
	narrow    = 256
	near      = 1 << 19 // elements of a that second-level caches may hold
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
	isa := d.isa
	if a.Buf.Type == gpu.BF16 || b.Buf.Type == gpu.BF16 {
		isa = d.gemm
	}
	g := C.Product{
		a: lanes(a.Transposed()), b: lanes(b), c: f(c.Buf), row: C.long(c.Stride), col: 1,
		m: C.long(c.Rows), n: C.long(c.Cols), k: C.long(a.Cols), alpha: C.float(alpha),
		block: C.gemm_block(isa, C.long(a.Cols)), to: C.long(a.Cols),
	}
	if beta != 0 {
		g.add = 1
	}
	turn := isa != C.ISA_AMX || g.b.step == 1         // AMX wants rows
	if turn && g.m <= skinny && g.m < min(g.n, g.k) { // else packing b costs no more than turning c round
		g.a, g.b, g.m, g.n, g.row, g.col = g.b, g.a, g.n, g.m, g.col, g.row
	}
	if isa == C.ISA_AMX || g.n <= narrow && (g.a.bf16 == 0 && isa == d.isa || g.a.bf16 == 1 && g.a.step == 1 && g.k%2 == 0) {
		d.product(isa, g)
	} else {
		d.tiles(isa, &g)
	}
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
// a time as panelsMax allows.
func (d *device) product(isa C.int, g C.Product) {
	wide := C.gemm_lanes(isa)
	cols := max(wide, panelsMax/max(g.k, 1)/wide*wide)
	all, n := g, g.n
	for j := C.long(0); j < n; j += cols {
		g.n = min(cols, n-j)
		g.b.p = unsafe.Add(all.b.p, int(j*g.b.lane)*size(g.b))
		g.c = (*C.float)(unsafe.Add(unsafe.Pointer(all.c), 4*int(j*g.col)))
		if !d.grow(&d.panels, int(C.gemm_size(isa, g.n, g.k))) {
			return
		}
		g.panels = f(d.panels)
		panels := C.gemm_panels(isa, g.n) * ((g.k + g.block - 1) / g.block)
		_, each := d.sharing(&g)
		each(int(panels), 4, func(from, to, _ int) {
			C.gemm_pack(isa, &g, C.long(from), C.long(to))
		})
		d.tiles(isa, &g)
	}
}

// sharing returns by how many g is worth computing, and how they share it out.
func (d *device) sharing(g *C.Product) (workers C.long, each func(n, grain int, work func(from, to, worker int))) {
	if 2*g.m*g.n*g.k < parallel {
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
	wide, tile := C.gemm_lanes(isa), C.long(24) // a multiple of the rows of every other instruction set's tile
	if isa == C.ISA_AMX {
		tile = 32
	}
	down, across := pieces(isa, g, workers)
	each(int(down*across), 1, func(from, to, w int) {
		for i := C.long(from); i < C.long(to); i++ {
			m0, m1 := cut(g.m, tile, i/across, down)
			n0, n1 := cut(g.n, wide, i%across, across)
			C.gemm(isa, g, m0, m1, n0, n1, f(d.scratch[w]))
		}
	})
}

// cut returns the i-th of equal parts of n, in units.
func cut(n, unit, i, parts C.long) (from, to C.long) {
	units := (n + unit - 1) / unit
	return min(units*i/parts*unit, n), min(units*(i+1)/parts*unit, n)
}

// pieces returns into how many rows and columns of pieces to cut c: some four
// pieces for each worker, so that none waits long for the last. But there are
// two where rows of a are fetched from far, and one where each piece has to pack
// them. It cuts the columns first: then each panel of b, which comes from far,
// is read once.
func pieces(isa C.int, g *C.Product, workers C.long) (down, across C.long) {
	want, panels := 4*workers, C.gemm_panels(isa, g.n)
	least, most := C.long(2), C.long(8) // panels in a piece, whose part of c and block of a second-level caches may hold
	switch {
	case g.panels != nil:
		least, most = 8, panels
	case C.gemm_reads(isa, g) == 0:
		want, most = workers, 16
	case g.m*g.k > near:
		want = 2 * workers
	}
	if workers == 1 {
		want = 1
	}
	across = max(min(want, panels/least), (panels+most-1)/most)
	return max((want+across-1)/across, (g.m+C.GEMM_ROWS-1)/C.GEMM_ROWS), across
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
