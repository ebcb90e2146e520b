//go:build cuda && linux && amd64

package cuda

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/driver"
	"starbook/gpu/cuda/internal/libs"
)

// device is a GPU. Operations are put in a queue, in order; what needs a result
// on the host hands the queue to the driver and waits.
type device struct {
	ctx     *driver.Context
	act     gpu.Type   // of activations
	piece   int        // the least that the driver is asked for at a time, in bytes
	dry     *rehearsal // nil: this is a real one
	lt      *libs.Lt
	kernels map[string]driver.Function
	allowed map[driver.Function]int // bytes of shared memory
	arena   arena
	queue   queue
	gemms   gemms
	ports   ports   // to and from the host
	fetches fetches // to the host, later
	meter   meter
	parts   gpu.Buf    // partial sums
	factor  [2]gpu.Buf // of a product, in the type of activations
	err     error      // the first failure since the last Sync
}

// Open returns GPU number o.GPU, its arguments checked.
func Open(o Options) (gpu.Device, error) {
	d, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	return gpu.Checked(d), nil
}

func open(o Options) (*device, error) {
	ctx, err := driver.Open(o.GPU)
	if err != nil {
		return nil, err
	}
	d := &device{ctx: ctx, act: gpu.BF16, piece: o.Piece, allowed: make(map[driver.Function]int)}
	if d.piece == 0 {
		d.piece = 64 << 20
	}
	if o.F32 {
		d.act = gpu.F32
	}
	if err := ctx.Do(func() error { return d.start(o) }); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// start opens the libraries and compiles the kernels.
func (d *device) start(o Options) error {
	if d.ctx.SM < 80 {
		return fmt.Errorf("%s has compute capability %d.%d: BF16 on tensor cores needs 8.0", d.ctx.Name, d.ctx.SM/10, d.ctx.SM%10)
	}
	cache, err := cacheFolder(o.Cache)
	if err != nil {
		return err
	}
	rtc, err := libs.OpenNVRTC(driver.Version())
	if err != nil {
		return err
	}
	if d.kernels, err = loadKernels(d.ctx, rtc, cache); err != nil {
		return err
	}
	if d.lt, err = libs.OpenLt(driver.Version()); err != nil {
		return err
	}
	if err := d.lt.Start(); err != nil {
		return err
	}
	if err := d.ports.open(d.ctx); err != nil {
		return err
	}
	if err := d.fetches.open(d.ctx); err != nil {
		return err
	}
	if err := d.queue.open(d); err != nil {
		return err
	}
	return d.gemms.open(d)
}

// Name returns the GPU's name.
func (d *device) Name() string {
	return fmt.Sprintf("%s (CUDA %s, sm_%d)", d.ctx.Name, version(driver.Version()), d.ctx.SM)
}

// Kind returns "cuda".
func (d *device) Kind() string { return "cuda" }

// Activations returns BF16, or F32 as Options say.
func (d *device) Activations() gpu.Type { return d.act }

// Pad returns a power of 2 up to 512, and multiples of that: few shapes, each of
// which is captured as a graph once, and replayed.
func (d *device) Pad(n int) int {
	const step = 512
	if n > step {
		return (n + step - 1) / step * step
	}
	p := 16
	for p < n {
		p *= 2
	}
	return p
}

// Logits returns a quarter of a GiB of BF16: 128 rows at a time, the output layer
// of a 7B would take twice as long to read as to multiply (TUNING.md).
func (d *device) Logits() int { return 1 << 27 }

// Sync waits for the GPU and returns the first error since the last Sync.
func (d *device) Sync() error {
	d.flush()
	d.do(d.ctx.Sync)
	err := d.err
	d.err = nil
	return err
}

// Close frees everything.
func (d *device) Close() error {
	if d.dry != nil {
		return syscall.Munmap(d.dry.addresses)
	}
	return errors.Join(d.ctx.Do(func() error {
		err := d.ctx.Sync()
		if d.lt != nil {
			d.gemms.close()
			err = errors.Join(err, d.lt.Close())
		}
		err = errors.Join(err, d.queue.close(d.ctx), d.ports.close(d.ctx), d.fetches.close(d.ctx), d.meter.close(d.ctx))
		for _, s := range d.arena.pieces {
			err = errors.Join(err, d.ctx.Free(s.at))
		}
		d.arena = arena{}
		return err
	}), d.ctx.Close())
}

// do runs f with the context current, unless there was a failure before or this
// is a rehearsal.
func (d *device) do(f func() error) {
	if d.err != nil || d.dry != nil {
		return
	}
	if err := d.ctx.Do(f); err != nil {
		d.err = fmt.Errorf("cuda: %w", err)
	}
}

// fail remembers the first failure.
func (d *device) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("cuda: "+format, args...)
	}
}

// Alloc returns n zeroed elements.
func (d *device) Alloc(t gpu.Type, n int) gpu.Buf {
	if t != gpu.F32 && t != gpu.BF16 && n > 0 {
		d.fail("alloc: %v exists as weights only", t)
	}
	b := d.raw(t, n)
	if b.Len > 0 {
		d.Zero(b)
	}
	return b
}

// raw is Alloc without the zeros.
func (d *device) raw(t gpu.Type, n int) gpu.Buf {
	if d.err != nil || n <= 0 {
		return gpu.Buf{Type: t}
	}
	size := t.Bytes(n)
	if apart {
		return gpu.Buf{Ptr: d.own(size), Len: n, Type: t}
	}
	p := d.arena.take(size)
	if p == nil {
		d.reserve(max(d.piece, round(size)+grain))
		if p = d.arena.take(size); p == nil {
			d.fail("out of memory for %d MiB", size>>20) // if reserve has not said so
			return gpu.Buf{Type: t}
		}
	}
	return gpu.Buf{Ptr: p, Len: n, Type: t}
}

// own returns memory that only Close gives back.
func (d *device) own(bytes int) (p unsafe.Pointer) {
	if p = d.ask(bytes); p != nil {
		d.arena.hold(span{p, bytes})
	}
	return p
}

// ask takes memory from the driver.
func (d *device) ask(bytes int) (p unsafe.Pointer) {
	if d.dry != nil {
		var ok bool
		if p, ok = d.dry.alloc(bytes); !ok {
			d.fail("%d MiB more than %d GiB", bytes>>20, addressSpace>>30)
		}
		return p
	}
	d.do(func() (err error) {
		p, err = d.ctx.Alloc(bytes)
		if free, total, _ := d.ctx.MemInfo(); err != nil && total > 0 {
			err = fmt.Errorf("%d MiB more do not fit in the GPU's memory, of which %d MiB of %d MiB are free: %w", bytes>>20, free>>20, total>>20, err)
		}
		return err
	})
	return p
}

// reserve takes so many bytes from the driver.
func (d *device) reserve(bytes int) {
	d.release()
	if p := d.ask(bytes); p != nil {
		d.arena.add(span{p, bytes})
	}
}

// release gives the driver back what nobody uses.
func (d *device) release() {
	unused := d.arena.unused()
	if len(unused) == 0 || d.err != nil {
		return
	}
	d.flush()
	for _, s := range unused {
		d.arena.remove(s)
	}
	d.do(func() error {
		if err := d.ctx.Sync(); err != nil { // calls under way may still use it
			return err
		}
		for _, s := range unused {
			if err := d.ctx.Free(s.at); err != nil {
				return err
			}
		}
		return nil
	})
}

// spare is memory that Room does not promise: what the driver keeps for graphs,
// and scratch of operations where nobody rehearsed.
const spare = 256 << 20

// Room returns the bytes that are free. In a rehearsal nobody asks.
func (d *device) Room() int {
	if d.dry != nil {
		return 0
	}
	d.release()
	free := 0
	d.do(func() (err error) {
		free, _, err = d.ctx.MemInfo()
		return err
	})
	return max(1, free-spare) // 0 would mean that it is not known
}

// Free gives b back. Calls that are under way still have it: what gets the
// memory next comes behind them.
func (d *device) Free(b gpu.Buf) {
	if b.Ptr != nil {
		d.arena.give(b.Ptr)
	}
}

// grow makes *b at least n elements long. What was in it is lost.
func (d *device) grow(b *gpu.Buf, t gpu.Type, n int) bool {
	if b.Len < n {
		d.Free(*b)
		*b = d.raw(t, n)
	}
	return d.err == nil
}

// address returns where b begins, as kernels take it.
func address(b gpu.Buf) uint64 { return uint64(uintptr(b.Ptr)) }

// room is device memory that is not elements.
func (d *device) room(bytes int) unsafe.Pointer {
	return d.raw(gpu.F32, (bytes+3)/4).Ptr
}
