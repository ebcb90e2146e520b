package cpu

// #cgo noescape gemm_few
// #cgo nocallback gemm_few
// #include "kernels.h"
import "C"

import (
	"unsafe"

	"starbook/gpu"
)

// blockTypes are the types for weights only, as C counts them.
var blockTypes = map[gpu.Type]C.int{
	gpu.F16: C.TYPE_F16, gpu.Q8_0: C.TYPE_Q8_0, gpu.Q4_0: C.TYPE_Q4_0,
	gpu.Q4_1: C.TYPE_Q4_1, gpu.Q4_K: C.TYPE_Q4_K, gpu.Q6_K: C.TYPE_Q6_K,
	gpu.NF4: C.TYPE_NF4,
}

// dequantise is Copy from a type for weights only.
func (d *device) dequantise(dst, src gpu.Buf) {
	if !d.floats("copy", dst) {
		return
	}
	d.pool.each(src.Len, grain, func(from, to, _ int) {
		d.decode(f(dst.Slice(from, to)), src.Slice(from, to))
	})
}

// decode writes the elements of src to y.
func (d *device) decode(y *C.float, src gpu.Buf) {
	C.dequantise(d.isa, blockTypes[src.Type], y, src.Ptr, C.long(src.Len/src.Type.Block()))
}

// embedBlocks is Embed from a table of a type for weights only.
func (d *device) embedBlocks(out, table gpu.Buf, ids []int32, dim int) {
	d.pool.each(len(ids), rows(dim), func(i, to, _ int) {
		for ; i < to; i++ {
			row := int(ids[i]) * dim
			d.decode(from(out, i*dim), table.Slice(row, row+dim))
		}
	})
}

// decoded is the floats of a quantised matrix that exist at a time: 16 MiB.
const decoded = 4 << 20

// few multiplies few rows by quantised weights as they lie, each panel decoded
// where it is multiplied. It reports false if b is not made for that.
func (d *device) few(c, a, b gpu.Mat, alpha, beta float32) bool {
	wide, t := int(C.gemm_lanes(d.isa)), b.Buf.Type
	if c.Rows > skinny || !b.T || a.T || a.Buf.Type != gpu.F32 || b.Cols%wide != 0 || (t != gpu.Q8_0 && t != gpu.Q4_0 && t != gpu.Q4_1) || b.Rows%t.Block() != 0 {
		return false
	}
	g := C.Product{
		a: lanes(a.Transposed()), b: C.Operand{p: b.Buf.Ptr}, c: f(c.Buf), row: C.long(c.Stride), col: 1,
		m: C.long(c.Rows), n: C.long(c.Cols), k: C.long(a.Cols), alpha: C.float(alpha),
		block: C.gemm_block(d.isa, C.long(a.Cols)), to: C.long(a.Cols),
	}
	if beta != 0 {
		g.add = 1
	}
	if !d.spaces(wide*a.Cols + int(C.gemm_scratch())) {
		return true
	}
	d.pool.each(b.Cols/wide, max(1, fewGrain/(wide*b.Rows)), func(from, to, w int) {
		C.gemm_few(d.isa, &g, blockTypes[t], C.long(t.Bytes(b.Stride)), C.long(from), C.long(to), f(d.scratch[w]))
	})
	return true
}

// fewGrain is the weights in a range of work of few: some 20 µs.
const fewGrain = 1 << 16

// matMulBlocks multiplies by a matrix of a type for weights only, as many
// columns of the result at a time as decoded allows: these are rows of b's as
// stored if b is transposed, and else stripes of whole blocks. No sum is cut,
// so the result has the bits that a decoded b gives.
func (d *device) matMulBlocks(c, a, b gpu.Mat, alpha, beta float32) {
	if d.few(c, a, b, alpha, beta) {
		return
	}
	block := b.Buf.Type.Block()
	wide := max(decoded/max(b.Rows, 1), 1)
	if !b.T {
		wide = max(wide/block*block, block)
	}
	wide = min(wide, b.Cols)
	if !d.grow(&d.decoded, wide*b.Rows) {
		return
	}
	for j := 0; j < b.Cols; j += wide {
		n := min(wide, b.Cols-j)
		part := gpu.M(d.decoded.Slice(0, n*b.Rows), b.Rows, n)
		if b.T {
			part = gpu.M(part.Buf, n, b.Rows).Transposed()
		}
		d.decodePart(part, b, j)
		d.MatMul(columnsOf(c, j, n), a, part, alpha, beta)
	}
}

// decodePart writes the columns of b from j on to part.
func (d *device) decodePart(part, b gpu.Mat, j int) {
	rows, width, at := part.Rows, part.Cols, j // as stored
	if b.T {
		rows, width, at = part.Cols, part.Rows, j*b.Stride
	}
	d.pool.each(rows, max(1, grain/max(width, 1)), func(i, to, _ int) {
		for ; i < to; i++ {
			from := at + i*b.Stride
			d.decode((*C.float)(unsafe.Add(part.Buf.Ptr, 4*i*width)), b.Buf.Slice(from, from+width))
		}
	})
}

// columnsOf returns n columns of c from j on.
func columnsOf(c gpu.Mat, j, n int) gpu.Mat {
	c.Buf, c.Cols = c.Buf.Slice(j, c.Buf.Len), n
	return c
}
