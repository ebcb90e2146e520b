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
	if g.n <= narrow && (g.a.bf16 == 0 && isa == d.isa || g.a.bf16 == 1 && g.a.step == 1 && g.k%2 == 0) {
		g.direct = 1
	}
	d.product(isa, g)
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

// product multiplies as many columns at a time as panelsMax allows: it packs
// their panels, then shares the rows out.
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
		d.tiles(isa, &g, wide)
	}
}

// tiles packs g's panels and computes all of c.
func (d *device) tiles(isa C.int, g *C.Product, wide C.long) {
	if !d.spaces(int(C.gemm_scratch())) {
		return
	}
	workers, each := C.long(d.pool.workers), d.pool.each
	if 2*g.m*g.n*g.k < parallel {
		workers, each = 1, alone
	}
	panels := C.gemm_panels(isa, g.n) * ((g.k + g.block - 1) / g.block)
	each(int(panels), 4, func(from, to, _ int) {
		C.gemm_pack(isa, g, C.long(from), C.long(to))
	})
	rows, cols := strips(isa, g, workers, wide)
	across := (g.n + cols - 1) / cols
	each(int((g.m+rows-1)/rows*across), 1, func(from, to, w int) {
		for i := C.long(from); i < C.long(to); i++ {
			m, n := i/across*rows, i%across*cols
			C.gemm(isa, g, m, min(m+rows, g.m), n, min(n+cols, g.n), f(d.scratch[w]))
		}
	})
}

// strips cuts c into pieces of rows × cols: some four for each worker, so that
// none waits long for the last. It cuts the columns first: then each panel of
// b, which comes from far, is read by one worker once.
func strips(isa C.int, g *C.Product, workers, wide C.long) (rows, cols C.long) {
	tile := C.long(24) // a multiple of the rows of every other instruction set's tile
	if isa == C.ISA_AMX {
		tile = 32
	}
	want := C.long(1)
	if workers > 1 {
		want = 4 * workers
	}
	up := func(n, by C.long) C.long { return (n + by - 1) / by * by }
	cols = max(8*wide, up(g.n/want, wide))
	across := (g.n + cols - 1) / cols
	down := max((want+across-1)/across, (g.m+C.GEMM_ROWS-1)/C.GEMM_ROWS)
	return up((g.m+down-1)/down, tile), cols
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
