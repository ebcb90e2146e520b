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
	panelsMax = 4 << 20 // floats of packed panels at a time: 16 MiB
	skinny    = 64      // rows below which the weights are read where they lie
	narrow    = 160     // columns below which packing the other side costs more than it saves
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
	isa := d.isa
	if a.Buf.Type == gpu.BF16 || b.Buf.Type == gpu.BF16 {
		isa = d.gemm
	}
	g := C.Product{
		a: lanes(a.Transposed()), b: lanes(b), c: f(c.Buf), row: C.long(c.Stride), col: 1,
		m: C.long(c.Rows), n: C.long(c.Cols), k: C.long(a.Cols), alpha: C.float(alpha),
		block: C.gemm_block(C.long(a.Cols)), to: C.long(a.Cols),
	}
	if beta != 0 {
		g.add = 1
	}
	if g.m <= skinny && g.n > g.m {
		g.a, g.b, g.m, g.n, g.row, g.col = g.b, g.a, g.n, g.m, g.col, g.row
	}
	if g.n <= narrow && (g.a.bf16 == 0 && isa != C.ISA_PAIRS || g.a.bf16 == 1 && g.a.step == 1 && g.k%2 == 0) {
		g.direct = 1
	}
	d.product(isa, g)
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
	flop := 2 * g.m * g.n * g.k
	panels := C.gemm_panels(isa, g.n) * ((g.k + g.block - 1) / g.block)
	if d.pool.workers == 1 || flop < parallel {
		C.gemm_pack(isa, g, 0, panels)
		for m := C.long(0); m < g.m; m += C.GEMM_ROWS {
			C.gemm(isa, g, m, min(m+C.GEMM_ROWS, g.m), 0, g.n, f(d.scratch[0]))
		}
		return
	}
	d.pool.each(int(panels), 4, func(from, to, _ int) {
		C.gemm_pack(isa, g, C.long(from), C.long(to))
	})
	rows, cols := strips(g, C.long(d.pool.workers), wide)
	across := (g.n + cols - 1) / cols
	d.pool.each(int((g.m+rows-1)/rows*across), 1, func(i, _, w int) {
		m, n := C.long(i)/across*rows, C.long(i)%across*cols
		C.gemm(isa, g, m, min(m+rows, g.m), n, min(n+cols, g.n), f(d.scratch[w]))
	})
}

// strips cuts c into pieces of rows × cols: for each worker some four, so that
// none waits long for the last.
func strips(g *C.Product, workers, wide C.long) (rows, cols C.long) {
	const tile = 24 // a multiple of the rows of every instruction set's tile
	want := 4 * workers
	rows = min(C.GEMM_ROWS, max(tile, g.m/want/tile*tile))
	cols = g.n
	if down := (g.m + rows - 1) / rows; down < want && g.n > 4*wide {
		pieces := (want + down - 1) / down
		cols = max(4*wide, (g.n/pieces+wide-1)/wide*wide)
	}
	return rows, cols
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
