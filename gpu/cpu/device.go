// Package cpu computes on the processor: kernels in C over vector extensions,
// compiled once for every instruction set and chosen when the program runs.
// Go does all the threading: it hands ranges of rows, columns or elements to
// C. Which thread computes what does not change a bit of the result.
package cpu

// #cgo CFLAGS: -O3 -Wall
// #cgo LDFLAGS: -lm
// #include "kernels.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"starbook/gpu"
)

// Options say how to compute.
type Options struct {
	Threads int    // 0: as many as GOMAXPROCS
	ISA     string // "amx", "avx512", "avx2", "sse" or "neon"; "": $STARBOOK_ISA, or else the widest the CPU has
	Memory  int    // bytes that tensors may take; 0: what Linux says is free, elsewhere not known
	BF16    bool   // products with BF16 weights round the other side to BF16 too, on AMX or AVX512_BF16; without, AMX computes them as exactly as with floats
}

// device implements gpu.Device, without the checks of its arguments.
type device struct {
	isa    C.int
	gemm   C.int // the instruction set for products with BF16 weights
	parts  C.int // BF16 that AMX makes of a float there: see amx.h
	name   string
	kind   string
	memory int // Options.Memory
	pool   *pool
	heap
	scratch []gpu.Buf // work space, one for each thread
	panels  gpu.Buf   // the packed side of a product
	striped int       // bytes of all strips
	decoded gpu.Buf   // part of quantised weights
	err     error
}

// New returns a device for o. Its threads sleep while there is nothing to do.
func New(o Options) (gpu.Device, error) {
	d, err := newDevice(o)
	if err != nil {
		return nil, err
	}
	return gpu.Checked(d), nil
}

func newDevice(o Options) (*device, error) {
	isa, err := pick(o.ISA)
	if err != nil {
		return nil, err
	}
	if o.Threads < 0 {
		return nil, fmt.Errorf("cpu: %d threads: want 1 or more, or 0 for as many as there are cores", o.Threads)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	d := &device{isa: min(isa, C.ISA_AVX512), memory: o.Memory, pool: newPool(o.Threads), scratch: make([]gpu.Buf, o.Threads)}
	d.gemm, d.parts, d.kind = d.isa, 1, "cpu"
	name := display[d.isa]
	if isa == C.ISA_AMX && !o.BF16 {
		d.gemm, d.parts, d.kind = isa, 3, "cpu:amx"
		name += " AMX"
	}
	if o.BF16 {
		switch {
		case isa == C.ISA_AMX:
			d.gemm = isa
			name += " AMX"
		case isa == C.ISA_AVX512 && C.isa_pairs() != 0:
			d.gemm = C.ISA_PAIRS
			name += " BF16"
		default:
			d.Close()
			return nil, fmt.Errorf("cpu: %s does not multiply bfloat16: that takes AMX or AVX512_BF16", display[isa])
		}
		d.kind = "cpu:bf16"
	}
	plural := "s"
	if o.Threads == 1 {
		plural = ""
	}
	d.name = fmt.Sprintf("cpu (%s, %d thread%s)", name, o.Threads, plural)
	return d, nil
}

var display = map[C.int]string{C.ISA_AVX512: "AVX-512", C.ISA_AVX2: "AVX2", C.ISA_128: base(), C.ISA_AMX: "AMX"}

// base is the instruction set that every CPU of the architecture has.
func base() string {
	if runtime.GOARCH == "arm64" {
		return "NEON"
	}
	return "SSE"
}

// pick returns the instruction set that is asked for, if this CPU has it.
func pick(name string) (C.int, error) {
	if name == "" {
		name = os.Getenv("STARBOOK_ISA")
	}
	best := C.isa_best()
	isa := best
	switch name {
	case "":
	case "amx":
		isa = C.ISA_AMX
	case "avx512":
		isa = C.ISA_AVX512
	case "avx2":
		isa = C.ISA_AVX2
	case strings.ToLower(base()):
		isa = C.ISA_128
	default:
		return 0, fmt.Errorf("cpu: unknown instruction set %q: use amx, avx512, avx2 or %s", name, strings.ToLower(base()))
	}
	if isa > best {
		return 0, fmt.Errorf("cpu: this CPU has no %s: use %s or leave it out", display[isa], strings.ToLower(display[best]))
	}
	return isa, nil
}

// Name returns for example "cpu (AVX-512, 2 threads)".
func (d *device) Name() string { return d.name }

// Kind returns "cpu", "cpu:amx" or "cpu:bf16".
func (d *device) Kind() string { return d.kind }

// Activations returns F32.
func (d *device) Activations() gpu.Type { return gpu.F32 }

// Pad returns n: every shape is as good as another.
func (d *device) Pad(n int) int { return n }

// Logits returns 64 MiB of float32.
func (d *device) Logits() int { return 1 << 24 }

// Sync returns the first error since the last Sync. Nothing is under way: each
// call returns when it is done.
func (d *device) Sync() error {
	err := d.err
	d.err = nil
	return err
}

// Close frees all memory and ends the threads.
func (d *device) Close() error {
	d.pool.close()
	d.heap.close()
	return nil
}

// fail remembers the first failure.
func (d *device) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("cpu: "+format, args...)
	}
}

// floats checks that bufs can be computed with and reports whether the call
// may go on. Only weights may be BF16.
func (d *device) floats(op string, bufs ...gpu.Buf) bool {
	for _, b := range bufs {
		if b.Len > 0 && b.Type != gpu.F32 {
			d.fail("%s: an argument is %v: it must be F32", op, b.Type)
		}
	}
	return d.err == nil
}

// plain checks that no argument is of a type for weights only.
func (d *device) plain(op string, bufs ...gpu.Buf) bool {
	for _, b := range bufs {
		if b.Type.WeightsOnly() {
			d.fail("%s: an argument is %v, which only weights may be", op, b.Type)
		}
	}
	return d.err == nil
}

// f returns b's elements as C sees them.
func f(b gpu.Buf) *C.float { return (*C.float)(b.Ptr) }

// from returns element i of b as C sees it.
func from(b gpu.Buf, i int) *C.float { return (*C.float)(unsafe.Add(b.Ptr, 4*i)) }

// ints returns the elements of s as C sees them.
func ints(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(s))) }

// bf16 is 1 if b is BF16.
func bf16(b gpu.Buf) C.int {
	if b.Type == gpu.BF16 {
		return 1
	}
	return 0
}
