// Package gputest tells whether a device computes what gpu.Ops says.
package gputest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// Conform runs every operation of dev over many shapes and compares the
// results with the reference in float64. The largest error of a result may be
// tol times its largest element, or tol if that is below 1.
func Conform(t *testing.T, dev gpu.Device, tol float64) {
	compare(t, dev, ref.New64(), tol, nil)
	t.Run("rows", func(t *testing.T) { independent(t, dev) })
	t.Run("dropout", func(t *testing.T) { dropout(t, dev) })
}

// Same runs the named operations, or all, on two devices and demands the same
// bits.
func Same(t *testing.T, a, b gpu.Device, ops ...string) {
	compare(t, a, b, 0, ops)
}

func compare(t *testing.T, a, b gpu.Device, tol float64, ops []string) {
	for _, c := range cases {
		if len(ops) > 0 && !slices.Contains(ops, c.op) {
			continue
		}
		t.Run(c.op, func(t *testing.T) {
			r := &rig{t: t, dev: [2]gpu.Device{a, b}, tol: tol, rng: rand.New(rand.NewPCG(1, 2))}
			c.run(r)
			for _, d := range r.dev {
				if err := d.Sync(); err != nil {
					t.Errorf("%s: %v", d.Name(), err)
				}
				for _, x := range r.bufs {
					d.Free(x[d == b])
				}
			}
		})
	}
}

// both is the same tensor on the two devices: on the tested one under false.
type both map[bool]gpu.Buf

// rig runs an operation on two devices and compares what comes out.
type rig struct {
	t     *testing.T
	dev   [2]gpu.Device
	tol   float64
	rng   *rand.Rand
	bufs  []both
	shape string // of the case at hand
}

// zeros returns n zeros on both devices.
func (r *rig) zeros(n int) both {
	x := both{false: r.dev[0].Alloc(gpu.F32, n), true: r.dev[1].Alloc(gpu.F32, n)}
	r.bufs = append(r.bufs, x)
	return x
}

// normal returns n normal numbers on both devices.
func (r *rig) normal(n int) both {
	return r.values(r.numbers(n))
}

func (r *rig) numbers(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.rng.NormFloat64())
	}
	return s
}

// values returns s on both devices.
func (r *rig) values(s []float32) both {
	x := r.zeros(len(s))
	r.dev[0].Upload(x[false], s)
	r.dev[1].Upload(x[true], s)
	return x
}

// weights returns n normal numbers as a file would hold them.
func (r *rig) weights(t gpu.Type, n int) both {
	raw := make([]byte, n*t.Size())
	for i, v := range r.numbers(n) {
		if t == gpu.BF16 {
			binary.LittleEndian.PutUint16(raw[2*i:], uint16(math.Float32bits(v)>>16))
		} else {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
		}
	}
	x := both{false: r.dev[0].Load(t, raw), true: r.dev[1].Load(t, raw)}
	r.bufs = append(r.bufs, x)
	return x
}

// ints returns n random numbers in [from, to).
func (r *rig) ints(n, from, to int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(from + r.rng.IntN(to-from))
	}
	return s
}

// on calls op for both devices; get gives the device's own Buf of a pair.
func (r *rig) on(op func(d gpu.Device, get func(both) gpu.Buf)) {
	for i, d := range r.dev {
		op(d, func(x both) gpu.Buf { return x[i == 1] })
	}
}

// equal compares x on the two devices.
func (r *rig) equal(what string, x both) {
	r.t.Helper()
	got, want := download(r.dev[0], x[false]), exact(r.dev[1], x[true])
	if i, err := worst(got, want); !(err <= r.tol) {
		r.t.Errorf("%s: %s[%d] is %v, want %v: error %.2g is over %.2g", r.shape, what, i, got[i], want[i], err, r.tol)
	}
}

// worst returns the largest difference relative to the largest element, and its place.
func worst(got []float32, want []float64) (at int, err float64) {
	top := 1.0
	for _, w := range want {
		top = max(top, math.Abs(w))
	}
	for i, w := range want {
		e := math.Abs(float64(got[i])-w) / top
		if math.IsNaN(e) {
			return i, e
		}
		if e > err {
			at, err = i, e
		}
	}
	return at, err
}

func download(d gpu.Device, b gpu.Buf) []float32 {
	s := make([]float32, b.Len)
	d.Download(s, b)
	return s
}

// exact returns b's elements without rounding the reference's to float32.
func exact(d gpu.Device, b gpu.Buf) []float64 {
	s := make([]float64, b.Len)
	if d.Kind() == "ref" {
		for i := range s {
			s[i] = ref.At(b, i)
		}
		return s
	}
	for i, v := range download(d, b) {
		s[i] = float64(v)
	}
	return s
}

// at notes the shape of the case at hand.
func (r *rig) at(format string, args ...any) { r.shape = fmt.Sprintf(format, args...) }
