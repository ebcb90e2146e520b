// Package peer calls another BLAS in this process, to compare with. Nothing
// that is shipped imports it.
package peer

// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdint.h>
// #include <stdlib.h>
// typedef void sgemm_t(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
//                      const float *b, int ldb, float beta, float *c, int ldc);
// typedef void sbgemm_t(int order, int ta, int tb, int m, int n, int k, float alpha, const uint16_t *a, int lda,
//                       const uint16_t *b, int ldb, float beta, float *c, int ldc);
// typedef void threads_t(int);
// typedef char *core_t(void);
// static void sgemm(void *f, int ta, int tb, int m, int n, int k, const float *a, int lda, const float *b, int ldb, float *c, int ldc) {
//   ((sgemm_t *)f)(101, ta ? 112 : 111, tb ? 112 : 111, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
// }
// static void sbgemm(void *f, int ta, int tb, int m, int n, int k, const uint16_t *a, int lda, const uint16_t *b, int ldb, float *c, int ldc) {
//   ((sbgemm_t *)f)(101, ta ? 112 : 111, tb ? 112 : 111, m, n, k, 1, a, lda, b, ldb, 0, c, ldc);
// }
// static void threads(void *f, int n) { ((threads_t *)f)(n); }
// static char *core(void *f) { return ((core_t *)f)(); }
import "C"

import (
	"fmt"
	"unsafe"

	"starbook/gpu"
)

// BLAS is an OpenBLAS library.
type BLAS struct{ sgemm, sbgemm, threads, core unsafe.Pointer }

// Open loads the library at path, such as libopenblas.so.0.
func Open(path string) (*BLAS, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	lib := C.dlopen(name, C.RTLD_NOW|C.RTLD_LOCAL)
	if lib == nil {
		return nil, fmt.Errorf("peer: %s: %s", path, C.GoString(C.dlerror()))
	}
	b := &BLAS{symbol(lib, "cblas_sgemm"), symbol(lib, "cblas_sbgemm"), symbol(lib, "openblas_set_num_threads"), symbol(lib, "openblas_get_corename")}
	if b.sgemm == nil || b.threads == nil || b.core == nil {
		return nil, fmt.Errorf("peer: %s is no OpenBLAS", path)
	}
	return b, nil
}

func symbol(lib unsafe.Pointer, name string) unsafe.Pointer {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return C.dlsym(lib, s)
}

// Core names the processor that the library's kernels were chosen for.
func (b *BLAS) Core() string { return C.GoString(C.core(b.core)) }

// Threads sets how many threads the library uses.
func (b *BLAS) Threads(n int) { C.threads(b.threads, C.int(n)) }

// BF16 reports whether the library multiplies bfloat16, which it does if it was
// built with BUILD_BFLOAT16=1.
func (b *BLAS) BF16() bool { return b.sbgemm != nil }

// MatMul computes c = a·b, of F32 or of BF16 on both sides. The memory must not be Go's.
func (b *BLAS) MatMul(c, x, y gpu.Mat) {
	m, n, k, z := C.int(c.Rows), C.int(c.Cols), C.int(x.Cols), (*C.float)(c.Buf.Ptr)
	if y.Buf.Type == gpu.BF16 {
		C.sbgemm(b.sbgemm, flag(x.T), flag(y.T), m, n, k,
			(*C.uint16_t)(x.Buf.Ptr), C.int(x.Stride), (*C.uint16_t)(y.Buf.Ptr), C.int(y.Stride), z, C.int(c.Stride))
		return
	}
	C.sgemm(b.sgemm, flag(x.T), flag(y.T), m, n, k,
		(*C.float)(x.Buf.Ptr), C.int(x.Stride), (*C.float)(y.Buf.Ptr), C.int(y.Stride), z, C.int(c.Stride))
}

func flag(t bool) C.int {
	if t {
		return 1
	}
	return 0
}
