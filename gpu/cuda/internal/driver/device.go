//go:build cuda && linux && amd64

package driver

import (
	"fmt"
	"runtime"

	"gorgonia.org/cu"
)

// Device is what a GPU is like.
type Device struct {
	Name            string
	SM              int // 80 for compute capability 8.0
	Memory          int // bytes
	Shared          int // bytes of shared memory that a block may ask for
	Multiprocessors int
}

// Devices returns the GPUs that the driver shows.
func Devices() ([]Device, error) {
	if err := Err(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, failed("cuDeviceGetCount", err)
	}
	list := make([]Device, n)
	for i := range list {
		if list[i], err = describe(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func describe(i int) (Device, error) {
	var d Device
	dev, err := cu.GetDevice(i)
	if err != nil {
		return d, failed("cuDeviceGet", err)
	}
	if d.Name, err = dev.Name(); err != nil {
		return d, failed("cuDeviceGetName", err)
	}
	memory, err := dev.TotalMem()
	if err != nil {
		return d, failed("cuDeviceTotalMem", err)
	}
	d.Memory = int(memory)
	var major, minor int
	const sharedOptIn = 97 // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
	for attribute, to := range map[cu.DeviceAttribute]*int{
		cu.ComputeCapabilityMajor: &major, cu.ComputeCapabilityMinor: &minor,
		cu.MultiprocessorCount: &d.Multiprocessors, sharedOptIn: &d.Shared,
	} {
		if *to, err = dev.Attribute(attribute); err != nil {
			return d, failed(fmt.Sprintf("cuDeviceGetAttribute %d", attribute), err)
		}
	}
	d.SM = 10*major + minor
	return d, nil
}

// Context is the primary context of a device and the one stream that all work
// goes to, in order.
type Context struct {
	Device
	dev    cu.Device
	ctx    cu.CUContext
	stream cu.Stream
}

// Open opens device i.
func Open(i int) (*Context, error) {
	list, err := Devices()
	if err != nil {
		return nil, err
	}
	if i < 0 || i >= len(list) {
		return nil, fmt.Errorf("device %d of %d", i, len(list))
	}
	c := &Context{Device: list[i]}
	if c.dev, err = cu.GetDevice(i); err != nil {
		return nil, failed("cuDeviceGet", err)
	}
	if c.ctx, err = c.dev.RetainPrimaryCtx(); err != nil {
		return nil, failed("cuDevicePrimaryCtxRetain", err)
	}
	err = c.Do(func() error {
		c.stream, err = cu.MakeStream(cu.NonBlocking)
		return failed("cuStreamCreate", err)
	})
	return c, err
}

// Do calls f with the context current. A context is current on a thread, and a
// goroutine may change threads between calls: everything below that takes a
// Context must run inside of f.
func (c *Context) Do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(c.ctx); err != nil {
		return failed("cuCtxSetCurrent", err)
	}
	return f()
}

// Sync waits for all work on the stream.
func (c *Context) Sync() error { return failed("cuStreamSynchronize", c.stream.Synchronize()) }

// Close gives the context back. What was allocated in it must be free.
func (c *Context) Close() error {
	err := c.Do(func() error { return failed("cuStreamDestroy", c.stream.Destroy()) })
	if release := c.dev.ReleasePrimaryCtx(); err == nil {
		err = failed("cuDevicePrimaryCtxRelease", release)
	}
	return err
}
