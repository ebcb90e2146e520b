//go:build cuda && linux && amd64

package cuda

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/driver"
)

// ports is pinned memory that everything large passes on its way between the
// host and the device, so that copies are in the order of the stream.
type ports struct {
	lanes [2]lane
	turn  int
}

type lane struct {
	host []byte
	free driver.Event // the stream is past its last use
}

const laneSize = 8 << 20 // bytes

func (p *ports) open(ctx *driver.Context) error {
	for i := range p.lanes {
		var err error
		if p.lanes[i].host, err = ctx.HostAlloc(laneSize); err != nil {
			return err
		}
		if p.lanes[i].free, err = ctx.NewEvent(); err != nil {
			return err
		}
	}
	return nil
}

func (p *ports) close(ctx *driver.Context) error {
	var err error
	for _, l := range p.lanes {
		if l.host != nil {
			err = errors.Join(err, ctx.HostFree(l.host), ctx.DestroyEvent(l.free))
		}
	}
	*p = ports{}
	return err
}

// next returns a lane that is free.
func (p *ports) next(ctx *driver.Context) (*lane, error) {
	l := &p.lanes[p.turn]
	p.turn = (p.turn + 1) % len(p.lanes)
	return l, ctx.Wait(l.free)
}

// send writes n bytes at dst, piece by piece as fill makes them. Pieces are
// multiples of 4 bytes but for the last.
func (d *device) send(dst unsafe.Pointer, n int, fill func(piece []byte, from int)) {
	d.flush()
	d.do(func() error {
		for from := 0; from < n; from += laneSize {
			l, err := d.ports.next(d.ctx)
			if err != nil {
				return err
			}
			piece := l.host[:min(laneSize, n-from)]
			fill(piece, from)
			if err := d.ctx.Send(unsafe.Add(dst, from), piece); err != nil {
				return err
			}
			if err := d.ctx.Record(l.free); err != nil {
				return err
			}
		}
		return nil
	})
}

// receive reads n bytes at src, piece by piece, when all calls before it have run.
func (d *device) receive(src unsafe.Pointer, n int, take func(piece []byte, from int)) {
	d.flush()
	d.do(func() error {
		for from := 0; from < n; from += laneSize {
			l, err := d.ports.next(d.ctx)
			if err != nil {
				return err
			}
			piece := l.host[:min(laneSize, n-from)]
			if err := d.ctx.Fetch(piece, unsafe.Add(src, from)); err != nil {
				return err
			}
			if err := d.ctx.Record(l.free); err != nil {
				return err
			}
			if err := d.ctx.Wait(l.free); err != nil {
				return err
			}
			take(piece, from)
		}
		return nil
	})
}

// Load copies raw to the device.
func (d *device) Load(t gpu.Type, raw []byte) gpu.Buf {
	if t == gpu.F64 {
		d.fail("weights of type %v are not taken", t)
		return gpu.Buf{Type: t}
	}
	b := d.raw(t, t.Elements(len(raw)))
	if b.Len > 0 {
		d.send(b.Ptr, t.Bytes(b.Len), func(piece []byte, from int) { copy(piece, raw[from:]) })
	}
	return b
}

// Upload copies src to dst.
func (d *device) Upload(dst gpu.Buf, src []float32) {
	d.send(dst.Ptr, dst.Type.Bytes(dst.Len), func(piece []byte, from int) {
		if dst.Type == gpu.BF16 {
			for i, v := range src[from/2:][:len(piece)/2] {
				binary.LittleEndian.PutUint16(piece[2*i:], narrow(v))
			}
			return
		}
		for i, v := range src[from/4:][:len(piece)/4] {
			binary.LittleEndian.PutUint32(piece[4*i:], math.Float32bits(v))
		}
	})
}

// Download copies src to dst.
func (d *device) Download(dst []float32, src gpu.Buf) {
	if src.Type.WeightsOnly() {
		decoded := d.raw(gpu.F32, src.Len)
		d.Copy(decoded, src)
		d.Download(dst, decoded)
		d.Free(decoded)
		return
	}
	d.receive(src.Ptr, src.Type.Bytes(src.Len), func(piece []byte, from int) {
		at, n := from/src.Type.Bytes(1), len(piece)/src.Type.Bytes(1)
		widen(dst[at:at+n], piece, src.Type)
	})
}

// widen reads numbers of type t, F32 or BF16.
func widen(dst []float32, raw []byte, t gpu.Type) {
	for i := range dst {
		if t == gpu.BF16 {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
		} else {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
}

// narrow rounds f to the nearest BF16, ties to even. A NaN stays one.
func narrow(f float32) uint16 {
	u := math.Float32bits(f)
	if f != f {
		return uint16(u>>16) | 0x40
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
