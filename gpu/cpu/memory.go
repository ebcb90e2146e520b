package cpu

// #define _GNU_SOURCE
// #include <stdlib.h>
// #include <string.h>
// #include <sys/mman.h>
//
// enum { LINE = 64, HUGE = 2 << 20 };
//
// // allocate returns memory on a cache line. Where there is much of it, Linux is asked for huge
// // pages: packing reads columns of matrices, each element on another page.
// static void *allocate(size_t size) {
// #ifdef MADV_HUGEPAGE
//   if (size >= HUGE) {
//     void *p = aligned_alloc(HUGE, (size + HUGE - 1) / HUGE * HUGE);
//     if (p) madvise(p, size / HUGE * HUGE, MADV_HUGEPAGE);
//     return p;
//   }
// #endif
//   return aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
// }
import "C"

import (
	"runtime"
	"unsafe"

	"starbook/gpu"
)

// heap owns the memory of a device's tensors. It lies outside the Go heap: C
// may keep pointers to it, and no collector scans it.
type heap struct {
	owned map[unsafe.Pointer]int   // from C's allocator: bytes
	lent  map[unsafe.Pointer]*loan // from Load's caller
	use   gpu.Use
}

// loan keeps memory of Go's in place while C structs may point to it.
type loan struct {
	pin    runtime.Pinner
	loads  int
	bytes  int
	uses   int     // by few rows, until there are strips
	strips gpu.Buf // the same weights in the order in which few rows read them: see strips.go
	matrix gpu.Mat // what the strips are of
}

// charged is what C's allocator takes for so many bytes.
func charged(bytes int) int {
	unit := C.LINE
	if bytes >= C.HUGE {
		unit = C.HUGE
	}
	return (bytes + unit - 1) / unit * unit
}

func (h *heap) count(bytes int) {
	h.use.Now += bytes
	h.use.Peak = max(h.use.Peak, h.use.Now)
}

// own takes over what C's allocator gave for so many bytes.
func (h *heap) own(p unsafe.Pointer, bytes int) {
	if h.owned == nil {
		h.owned = map[unsafe.Pointer]int{}
	}
	h.owned[p] = charged(bytes)
	h.count(charged(bytes))
}

// give forgets p, and reports whether it was C's allocator's.
func (h *heap) give(p unsafe.Pointer) bool {
	if n, ok := h.owned[p]; ok {
		delete(h.owned, p)
		h.count(-n)
		return true
	}
	if l := h.lent[p]; l != nil {
		if l.loads--; l.loads == 0 {
			delete(h.lent, p)
			h.count(-l.bytes)
			l.pin.Unpin()
		}
	}
	return false
}

func (h *heap) close() {
	for p := range h.owned {
		C.free(p)
	}
	for _, l := range h.lent {
		l.pin.Unpin()
	}
	h.owned, h.lent, h.use = nil, nil, gpu.Use{}
}

// Load uses raw where it lies.
func (h *heap) Load(t gpu.Type, raw []byte) gpu.Buf {
	if t.Elements(len(raw)) == 0 {
		return gpu.Buf{Type: t}
	}
	p := unsafe.Pointer(&raw[0])
	if h.lent == nil {
		h.lent = map[unsafe.Pointer]*loan{}
	}
	if h.lent[p] == nil {
		h.lent[p] = &loan{bytes: len(raw)}
		h.lent[p].pin.Pin(p)
		h.count(len(raw))
	}
	h.lent[p].loads++
	return gpu.Buf{Ptr: p, Len: t.Elements(len(raw)), Type: t}
}

// Use returns what tensors take of the host's memory, mapped files included.
func (h *heap) Use() gpu.Use { return h.use }

// Alloc returns n zeroed elements on a cache line.
func (d *device) Alloc(t gpu.Type, n int) gpu.Buf {
	if t == gpu.F64 || t.WeightsOnly() {
		d.fail("alloc: nothing is computed in %v here: use F32 or BF16", t)
	}
	if d.err != nil || n <= 0 {
		return gpu.Buf{Type: t}
	}
	b := d.raw(t, n)
	if b.Ptr != nil {
		C.memset(b.Ptr, 0, C.size_t(t.Bytes(b.Len)))
	}
	return b
}

// raw is Alloc without the zeros.
func (d *device) raw(t gpu.Type, n int) gpu.Buf {
	bytes := t.Bytes(n)
	p := C.allocate(C.size_t(bytes))
	if p == nil {
		d.fail("out of memory for %d MiB: use a smaller batch or model", bytes>>20)
		return gpu.Buf{Type: t}
	}
	d.own(p, bytes)
	return gpu.Buf{Ptr: p, Len: n, Type: t}
}

// Free gives b back, to C or to Load's caller.
func (d *device) Free(b gpu.Buf) {
	if l := d.lent[b.Ptr]; l != nil && l.loads == 1 && l.strips.Len > 0 {
		d.striped -= l.strips.Type.Bytes(l.strips.Len)
		d.Free(l.strips)
	}
	if d.give(b.Ptr) {
		C.free(b.Ptr)
	}
}

// grow makes *b at least n floats long. What was in it is lost.
func (d *device) grow(b *gpu.Buf, n int) bool {
	if b.Len < n {
		d.Free(*b)
		*b = d.raw(gpu.F32, n)
	}
	return b.Len >= n
}

// Upload copies src to dst.
func (d *device) Upload(dst gpu.Buf, src []float32) {
	if len(src) > 0 {
		d.Copy(dst, gpu.Buf{Ptr: unsafe.Pointer(&src[0]), Len: len(src)})
	}
}

// Download copies src to dst.
func (d *device) Download(dst []float32, src gpu.Buf) {
	if len(dst) > 0 {
		d.Copy(gpu.Buf{Ptr: unsafe.Pointer(&dst[0]), Len: len(dst)}, src)
	}
}

// Fetch has nothing to wait for.
func (d *device) Fetch(src gpu.Buf) func([]float32) error {
	values := make([]float32, src.Len)
	d.Download(values, src)
	err := d.err
	return func(dst []float32) error {
		copy(dst, values)
		return err
	}
}

// Zero clears b.
func (d *device) Zero(b gpu.Buf) {
	if d.err == nil && b.Len > 0 {
		C.memset(b.Ptr, 0, C.size_t(b.Type.Bytes(b.Len)))
	}
}
