//go:build cuda && linux && amd64

package cuda

import (
	"maps"
	"slices"
	"syscall"
	"unsafe"

	"starbook/gpu"
)

// rehearsal makes a device count memory and do nothing else: the operations and
// the arena are the real ones, and what they ask the driver for is left out. The
// memory that it gives lies in addresses that nothing is mapped to.
type rehearsal struct {
	addresses []byte // reserved, never touched
	taken     int
}

// addressSpace is how much a rehearsal can give, in bytes: more than GPUs have.
const addressSpace = 1 << 42

// Rehearse returns a copy of d that only counts, nil if the system refuses the
// addresses.
func (d *device) Rehearse() gpu.Device {
	d.release()
	addresses, err := syscall.Mmap(-1, 0, addressSpace, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	r := &device{
		ctx: d.ctx, act: d.act, piece: d.piece, kernels: d.kernels, allowed: maps.Clone(d.allowed), arena: d.arena.clone(),
		parts: d.parts, factor: d.factor, dry: &rehearsal{addresses: addresses},
	}
	r.queue.area, r.gemms.workspace = d.queue.area, d.gemms.workspace
	return gpu.Checked(r)
}

// alloc returns addresses in place of memory.
func (r *rehearsal) alloc(bytes int) (unsafe.Pointer, bool) {
	bytes = round(bytes)
	if r.taken+bytes > len(r.addresses) {
		return nil, false
	}
	p := unsafe.Pointer(&r.addresses[r.taken])
	r.taken += bytes
	return p, true
}

// clone returns a copy of a that begins to count anew.
func (a *arena) clone() arena {
	return arena{
		pieces: slices.Clone(a.pieces), free: slices.Clone(a.free), used: maps.Clone(a.used),
		inUse: a.inUse, held: a.held, peak: a.held,
	}
}

// Use returns what of the GPU's memory is in use.
func (d *device) Use() gpu.Use { return gpu.Use{Now: d.arena.inUse, Peak: d.arena.peak} }
