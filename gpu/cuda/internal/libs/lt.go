//go:build cuda && linux && amd64

package libs

/*
#include "dl.h"
#cgo noescape lt_matmul
#cgo nocallback lt_matmul
#cgo noescape lt_plan
#cgo nocallback lt_plan
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Lt is a handle of cuBLASLt. It belongs to the context that was current when
// it was made, and so must the current one be in all calls.
type Lt struct {
	Path    string
	Version int // 120401 is 12.4.1
	handle  unsafe.Pointer
}

// The types of elements, as cudaDataType has them.
const (
	F32  = 0
	BF16 = 14
)

// Shape is a product of column-major matrices, c (M, N) = op(a)·op(b), with
// inner dimension K, summed in float32.
type Shape struct {
	TransA, TransB bool
	In, Out        int32 // types of a and b, and of c
	M, N, K        int
	A, B, C        int    // steps between columns
	Align          [3]int // bytes that the addresses of a, b and c are multiples of
}

// Plan is how cuBLASLt computes a Shape. The algorithm is fixed, and so are the bits.
type Plan struct{ p C.Plan }

// OpenLt opens cuBLASLt for a driver of the given version.
func OpenLt(driver int) (*Lt, error) {
	path, err := lt.open(driver)
	if err != nil {
		return nil, err
	}
	return &Lt{Path: path, Version: int(C.lt_version())}, nil
}

// Start makes the handle, in the current context.
func (l *Lt) Start() error { return status("cublasLtCreate", C.lt_create(&l.handle)) }

// Close destroys the handle.
func (l *Lt) Close() error {
	if l.handle == nil {
		return nil
	}
	h := l.handle
	l.handle = nil
	return status("cublasLtDestroy", C.lt_destroy(h))
}

// Plan prepares a product that may use a workspace of room bytes, with the
// algorithm of like, or with the one that the library prefers if like is nil.
func (l *Lt) Plan(s Shape, room int, like *Plan) (*Plan, error) {
	shape := C.Shape{
		ta: flag(s.TransA), tb: flag(s.TransB), in: C.int32_t(s.In), out: C.int32_t(s.Out),
		m: C.uint64_t(s.M), n: C.uint64_t(s.N), k: C.uint64_t(s.K),
		lda: C.int64_t(s.A), ldb: C.int64_t(s.B), ldc: C.int64_t(s.C),
		align: [3]C.uint32_t{C.uint32_t(s.Align[0]), C.uint32_t(s.Align[1]), C.uint32_t(s.Align[2])},
	}
	var algo *C.uint64_t
	if like != nil {
		algo = &like.p.algo[0]
	}
	p := new(Plan)
	if r := C.lt_plan(l.handle, &shape, C.uint64_t(room), algo, &p.p); r != 0 {
		return nil, fmt.Errorf("cublasLt: no way to compute %+v: status %d", s, r)
	}
	return p, nil
}

// Drop frees p.
func (p *Plan) Drop() { C.lt_drop(&p.p) }

// MatMul puts c = alpha·op(a)·op(b) + beta·c on a stream.
func (l *Lt) MatMul(p *Plan, alpha, beta float32, a, b, c, workspace unsafe.Pointer, room int, stream unsafe.Pointer) error {
	o := C.Operands{
		alpha: C.float(alpha), beta: C.float(beta), a: a, b: b, c: c,
		workspace: workspace, room: C.uint64_t(room), stream: stream,
	}
	return status("cublasLtMatmul", C.lt_matmul(l.handle, &p.p, &o))
}

func flag(b bool) C.int32_t {
	if b {
		return 1
	}
	return 0
}

func status(call string, r C.int) error {
	if r != 0 {
		return fmt.Errorf("%s: status %d", call, r)
	}
	return nil
}
