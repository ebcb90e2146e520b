//go:build cuda && linux && amd64

package cuda

import (
	"errors"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/driver"
)

// fetches are copies to the host that nobody waits for yet. They go round a
// ring of slots in pinned memory; one that nobody asked for until its slot is
// needed again is put by.
type fetches struct {
	slots [64]slot
	turn  int
}

const slotSize = 256 << 10 // bytes; what is larger is waited for at once

type slot struct {
	host  []byte
	ready driver.Event
	of    *fetched // whose copy it holds, or nil
}

// fetched is one copy.
type fetched struct {
	at     *slot // nil once it was put by
	typ    gpu.Type
	values []float32
}

func (f *fetches) open(ctx *driver.Context) error {
	for i := range f.slots {
		s := &f.slots[i]
		var err error
		if s.host, err = ctx.HostAlloc(slotSize); err != nil {
			return err
		}
		if s.ready, err = ctx.NewEvent(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetches) close(ctx *driver.Context) error {
	var err error
	for _, s := range f.slots {
		if s.host != nil {
			err = errors.Join(err, ctx.HostFree(s.host), ctx.DestroyEvent(s.ready))
		}
	}
	*f = fetches{}
	return err
}

// Fetch hands the queue to the driver, with the copy behind it.
func (d *device) Fetch(src gpu.Buf) func([]float32) error {
	f := &fetched{typ: src.Type, values: make([]float32, src.Len)}
	bytes := src.Type.Bytes(src.Len)
	switch {
	case src.Len == 0:
	case bytes > slotSize || src.Type.WeightsOnly():
		d.Download(f.values, src)
	default:
		d.flush()
		d.do(func() error {
			s := &d.fetches.slots[d.fetches.turn]
			d.fetches.turn = (d.fetches.turn + 1) % len(d.fetches.slots)
			if err := s.putBy(d.ctx); err != nil {
				return err
			}
			if err := d.ctx.Fetch(s.host[:bytes], src.Ptr); err != nil {
				return err
			}
			s.of, f.at = f, s
			return d.ctx.Record(s.ready)
		})
	}
	return func(dst []float32) error {
		d.do(func() error {
			if f.at == nil {
				return nil
			}
			return f.at.putBy(d.ctx)
		})
		copy(dst, f.values)
		return d.err
	}
}

// putBy waits for the copy in s and gives it to whom it belongs.
func (s *slot) putBy(ctx *driver.Context) error {
	f := s.of
	if f == nil {
		return nil
	}
	s.of, f.at = nil, nil
	if err := ctx.Wait(s.ready); err != nil {
		return err
	}
	widen(f.values, s.host, f.typ)
	return nil
}
