//go:build cuda && linux && amd64

package driver

/*
#include "launch.h"
#cgo noescape launch
#cgo nocallback launch
*/
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// Module is compiled code on the device.
type Module struct{ m cu.Module }

// Function is a kernel of a Module.
type Function uintptr

// LoadModule loads machine code, as NVRTC makes it.
func (c *Context) LoadModule(image []byte) (Module, error) {
	m, err := cu.LoadData(string(image)) // it is copied by its length, zeros and all
	return Module{m}, failed("cuModuleLoadData", err)
}

// Function returns a kernel by name.
func (m Module) Function(name string) (Function, error) {
	f, err := m.m.Function(name)
	return *(*Function)(unsafe.Pointer(&f)), failed("cuModuleGetFunction "+name, err) // cu.Function is one pointer
}

// AllowShared lets a kernel be launched with n bytes of dynamic shared memory,
// which beyond 48 KiB must be said.
func (c *Context) AllowShared(f Function, n int) error {
	return result("cuFuncSetAttribute", C.cuFuncSetAttribute(C.CUfunction(handle(f)), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(n)))
}

// MaxParams is the most parameters of a Launch.
const MaxParams = C.max_params

// Launch is a kernel with its grid and parameters. Each parameter lies in the
// lower bytes of its word. cu's own Function.Launch allocates twice and reads 8
// bytes for each parameter; this is one call of C.
type Launch struct {
	Fn     Function
	Grid   [3]uint32
	Block  [3]uint32
	Shared uint32 // bytes of dynamic shared memory
	Params uint32
	Param  [MaxParams]uint64
}

var _ = [1]int{}[unsafe.Sizeof(Launch{})-unsafe.Sizeof(C.Launch{})] // C reads it

// Launch puts l on the stream.
func (c *Context) Launch(l *Launch) error {
	return result("cuLaunchKernel", C.launch((*C.Launch)(unsafe.Pointer(l)), C.CUstream(c.Stream())))
}

// Stream returns the stream as cuBLASLt takes it.
func (c *Context) Stream() unsafe.Pointer { return unsafe.Pointer(c.stream.C()) }
