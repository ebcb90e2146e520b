// Package ref is the reference device: every operation as the plain loop of
// its definition, computed in float64 and rounded once when it is stored. The
// other devices are tested against it. It favours being obviously right over
// being fast.
package ref

import (
	"fmt"
	"math"
	"unsafe"

	"starbook/gpu"
)

var (
	_ gpu.Device = device[float32]{}
	_ gpu.Device = device[float64]{}
)

// float is what a device stores its elements in.
type float interface{ float32 | float64 }

// device keeps its tensors on the Go heap as []T; only weights may be BF16.
type device[T float] struct{}

// New returns the reference device. It stores float32.
func New() gpu.Device { return gpu.Checked(device[float32]{}) }

// New64 returns the reference device that stores float64 whatever Type is
// asked for, so that finite differences of it are good to many digits.
func New64() gpu.Device { return gpu.Checked(device[float64]{}) }

// Under -race the checks of At, Set, element and MatMul took most of the time of
// all tests with this device. They would find nothing: one goroutine uses a device,
// and element checks its bounds itself.

// At returns element i of b exactly.
//
//go:norace
//go:nocheckptr
func At(b gpu.Buf, i int) float64 {
	p := element(b, i)
	switch b.Type {
	case gpu.BF16:
		return float64(widen(*(*uint16)(p)))
	case gpu.F64:
		return *(*float64)(p)
	}
	return float64(*(*float32)(p))
}

// Set sets element i of b to v, rounded to b's type.
//
//go:norace
//go:nocheckptr
func Set(b gpu.Buf, i int, v float64) {
	p := element(b, i)
	switch b.Type {
	case gpu.BF16:
		*(*uint16)(p) = narrow(float32(v))
	case gpu.F64:
		*(*float64)(p) = v
	default:
		*(*float32)(p) = float32(v)
	}
}

//go:norace
//go:nocheckptr
func element(b gpu.Buf, i int) unsafe.Pointer {
	if i < 0 || i >= b.Len {
		panic(fmt.Sprintf("ref: element %d of a Buf of %d", i, b.Len))
	}
	return unsafe.Add(b.Ptr, b.Type.Bytes(i))
}

// widen returns the float32 whose upper half is the bfloat16 h.
func widen(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// narrow rounds f to the nearest bfloat16, ties to even. A NaN stays one.
func narrow(f float32) uint16 {
	u := math.Float32bits(f)
	if f != f {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// native is the Type of a []T.
func native[T float]() gpu.Type {
	if unsafe.Sizeof(T(0)) == 8 {
		return gpu.F64
	}
	return gpu.F32
}

// elems returns the elements of b: shared if b stores T, else a widened copy.
func elems[T float](b gpu.Buf) []T {
	if b.Len == 0 {
		return nil
	}
	if b.Type == native[T]() {
		return unsafe.Slice((*T)(b.Ptr), b.Len)
	}
	s := make([]T, b.Len)
	for i := range s {
		s[i] = T(At(b, i))
	}
	return s
}

// Name returns the device's name and precision.
func (device[T]) Name() string { return fmt.Sprintf("reference (%s)", native[T]()) }

// Kind returns "ref".
func (device[T]) Kind() string { return "ref" }

// Activations returns the type that the device stores.
func (device[T]) Activations() gpu.Type { return native[T]() }

// Pad returns n: no shape is better than another.
func (device[T]) Pad(n int) int { return n }

// Logits returns 64 MiB of float32.
func (device[T]) Logits() int { return 1 << 24 }

// Sync has nothing to wait for; gpu.Checked reports the failures.
func (device[T]) Sync() error {
	return nil
}

// Close has nothing to free: the memory is Go's.
func (device[T]) Close() error { return nil }

// Alloc returns n zeroed elements.
func (d device[T]) Alloc(t gpu.Type, n int) gpu.Buf {
	if n == 0 {
		return gpu.Buf{Type: native[T]()}
	}
	if t == gpu.BF16 && native[T]() == gpu.F32 {
		s := make([]uint16, n)
		return gpu.Buf{Ptr: unsafe.Pointer(&s[0]), Len: n, Type: t}
	}
	s := make([]T, n)
	return gpu.Buf{Ptr: unsafe.Pointer(&s[0]), Len: n, Type: native[T]()}
}

// Room returns 0: the memory is Go's.
func (device[T]) Room() int { return 0 }

// Rehearse returns nil: the memory is Go's.
func (device[T]) Rehearse() gpu.Device { return nil }

// Use returns nothing: the memory is Go's.
func (device[T]) Use() gpu.Use { return gpu.Use{} }

// Free does nothing: the garbage collector will.
func (device[T]) Free(gpu.Buf) {}

// Load decodes raw into a Buf of its own. Types that only weights have become
// the device's own.
func (d device[T]) Load(t gpu.Type, raw []byte) gpu.Buf {
	values := t.Decode(raw)
	if t.WeightsOnly() {
		t = native[T]()
	}
	b := d.Alloc(t, len(values))
	for i, v := range values {
		Set(b, i, float64(v))
	}
	return b
}

// Upload copies src to dst.
func (device[T]) Upload(dst gpu.Buf, src []float32) {
	for i, v := range src {
		Set(dst, i, float64(v))
	}
}

// Download copies src to dst.
func (device[T]) Download(dst []float32, src gpu.Buf) {
	for i := range dst {
		dst[i] = float32(At(src, i))
	}
}

// Fetch has nothing to wait for.
func (d device[T]) Fetch(src gpu.Buf) func([]float32) error {
	values := make([]float32, src.Len)
	d.Download(values, src)
	return func(dst []float32) error {
		copy(dst, values)
		return nil
	}
}

// Copy copies src to dst.
func (device[T]) Copy(dst, src gpu.Buf) {
	for i := range src.Len {
		Set(dst, i, At(src, i))
	}
}

// Zero clears b.
func (device[T]) Zero(b gpu.Buf) {
	for i := range b.Len {
		Set(b, i, 0)
	}
}
