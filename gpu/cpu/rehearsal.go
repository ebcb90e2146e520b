package cpu

import (
	"fmt"
	"syscall"
	"unsafe"

	"starbook/gpu"
)

// rehearsal is a device that counts memory as d would come to use it, and
// computes nothing. The memory that it gives lies in addresses that nothing is
// mapped to.
type rehearsal struct {
	idle
	heap
	d         *device
	addresses []byte // reserved, never touched
	taken     int
	err       error
}

// addressSpace is how much a rehearsal can give, in bytes: more than machines have.
const addressSpace = 1 << 42

// Rehearse returns nil if the system refuses the addresses.
func (d *device) Rehearse() gpu.Device {
	addresses, err := syscall.Mmap(-1, 0, addressSpace, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	now := d.use.Now
	return gpu.Checked(&rehearsal{d: d, addresses: addresses, heap: heap{use: gpu.Use{Now: now, Peak: now}}})
}

// Name, Kind, Activations, Logits and Pad are those of the device.
func (r *rehearsal) Name() string          { return r.d.Name() }
func (r *rehearsal) Kind() string          { return r.d.Kind() }
func (r *rehearsal) Activations() gpu.Type { return r.d.Activations() }
func (r *rehearsal) Logits() int           { return r.d.Logits() }
func (r *rehearsal) Pad(n int) int         { return r.d.Pad(n) }

// Alloc returns addresses in place of memory.
func (r *rehearsal) Alloc(t gpu.Type, n int) gpu.Buf {
	bytes := charged(t.Bytes(n))
	if n <= 0 || r.err != nil {
		return gpu.Buf{Type: t}
	}
	if r.taken+bytes > len(r.addresses) {
		r.err = fmt.Errorf("cpu: %d GiB are more than can be planned", r.taken>>30)
		return gpu.Buf{Type: t}
	}
	p := unsafe.Pointer(&r.addresses[r.taken])
	r.taken += bytes
	r.own(p, t.Bytes(n))
	return gpu.Buf{Ptr: p, Len: n, Type: t}
}

// Free counts b back. Its addresses are not given again.
func (r *rehearsal) Free(b gpu.Buf) { r.give(b.Ptr) }

// Fetch leaves dst as it is.
func (r *rehearsal) Fetch(gpu.Buf) func([]float32) error {
	return func([]float32) error { return r.err }
}

// Room returns 0: in a rehearsal nobody asks.
func (r *rehearsal) Room() int { return 0 }

// Rehearse returns nil, likewise.
func (r *rehearsal) Rehearse() gpu.Device { return nil }

// Sync returns the first error since the last Sync.
func (r *rehearsal) Sync() error {
	err := r.err
	r.err = nil
	return err
}

// Close gives the addresses back.
func (r *rehearsal) Close() error {
	r.owned = nil // they are no allocator's
	r.heap.close()
	return syscall.Munmap(r.addresses)
}
