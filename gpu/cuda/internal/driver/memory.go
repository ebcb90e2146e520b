//go:build cuda && linux && amd64

package driver

// #include <cuda.h>
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// pointer returns a device address as gpu.Buf holds it. The driver reserves it
// in the process's address space, so it is never one of the Go heap's.
func pointer(p cu.DevicePtr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func address(p unsafe.Pointer) cu.DevicePtr { return cu.DevicePtr(uintptr(p)) }

// Alloc returns n bytes of device memory, at a multiple of 256.
func (c *Context) Alloc(n int) (unsafe.Pointer, error) {
	p, err := cu.MemAlloc(int64(n))
	return pointer(p), failed("cuMemAlloc", err)
}

// Free gives memory of Alloc back.
func (c *Context) Free(p unsafe.Pointer) error { return failed("cuMemFree", cu.MemFree(address(p))) }

// MemInfo returns how many bytes of the device are free, and how many it has.
func (c *Context) MemInfo() (free, total int, err error) {
	f, t, err := cu.MemInfo()
	return int(f), int(t), failed("cuMemGetInfo", err)
}

// HostAlloc returns n bytes of pinned host memory, which copies that are not
// waited for need.
func (c *Context) HostAlloc(n int) ([]byte, error) {
	var p unsafe.Pointer
	if err := result("cuMemHostAlloc", C.cuMemHostAlloc(&p, C.size_t(n), 0)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), n), nil
}

// HostFree gives memory of HostAlloc back.
func (c *Context) HostFree(b []byte) error {
	return failed("cuMemFreeHost", cu.MemFreeHost(unsafe.Pointer(unsafe.SliceData(b))))
}

// Upload copies src to dst and waits for the copy, not for the stream.
func (c *Context) Upload(dst unsafe.Pointer, src []byte) error {
	return failed("cuMemcpyHtoD", cu.MemcpyHtoD(address(dst), unsafe.Pointer(unsafe.SliceData(src)), int64(len(src))))
}

// Download copies src to dst and waits for the copy, not for the stream.
func (c *Context) Download(dst []byte, src unsafe.Pointer) error {
	return failed("cuMemcpyDtoH", cu.MemcpyDtoH(unsafe.Pointer(unsafe.SliceData(dst)), address(src), int64(len(dst))))
}

// Send copies pinned memory to the device when the stream comes to it.
func (c *Context) Send(dst unsafe.Pointer, pinned []byte) error {
	return failed("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(address(dst), unsafe.Pointer(unsafe.SliceData(pinned)), int64(len(pinned)), c.stream))
}

// Fetch copies device memory to pinned memory when the stream comes to it.
func (c *Context) Fetch(pinned []byte, src unsafe.Pointer) error {
	return failed("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(pinned)), address(src), int64(len(pinned)), c.stream))
}

// Move copies n bytes on the device when the stream comes to it.
func (c *Context) Move(dst, src unsafe.Pointer, n int) error {
	return failed("cuMemcpyDtoDAsync", cu.MemcpyDtoDAsync(address(dst), address(src), int64(n), c.stream))
}

// Clear writes n zero bytes when the stream comes to it.
func (c *Context) Clear(p unsafe.Pointer, n int) error {
	return failed("cuMemsetD8Async", cu.MemsetD8Async(address(p), 0, int64(n), c.stream))
}
