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

// Conform runs the named operations of dev, or all, over many shapes and compares
// the results with the reference in float64. The largest error of a result may be
// tol times its largest element, or tol if that is below 1.
func Conform(t *testing.T, dev gpu.Device, tol float64, ops ...string) {
	compare(t, dev, ref.New64(), tol, ops)
	t.Run("rows", func(t *testing.T) { independent(t, dev) })
	t.Run("cuts", func(t *testing.T) { uncut(t, dev) })
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

// zeros returns n zeros as activations, floats as all else: F32.
func (r *rig) zeros(n int) both {
	return r.pair(r.dev[0].Alloc(r.dev[0].Activations(), n), r.dev[1].Alloc(r.dev[1].Activations(), n))
}

func (r *rig) floats(n int) both {
	return r.pair(r.dev[0].Alloc(gpu.F32, n), r.dev[1].Alloc(gpu.F32, n))
}

// pair is a tensor on the two devices.
func (r *rig) pair(tested, other gpu.Buf) both {
	x := both{false: tested, true: other}
	r.bufs = append(r.bufs, x)
	return x
}

// normal returns n normal numbers as activations, trained as F32.
func (r *rig) normal(n int) both  { return r.values(r.numbers(n)) }
func (r *rig) trained(n int) both { return r.set(r.floats(n), r.numbers(n)) }

func (r *rig) numbers(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(r.rng.NormFloat64())
	}
	return s
}

// values returns s as activations, the same numbers on both devices: rounded
// if the tested one keeps activations in BF16.
func (r *rig) values(s []float32) both {
	if r.dev[0].Activations() == gpu.BF16 {
		for i := range s {
			s[i] = math.Float32frombits(math.Float32bits(s[i]) &^ 0xffff)
		}
	}
	return r.set(r.zeros(len(s)), s)
}

// set uploads s to both devices.
func (r *rig) set(x both, s []float32) both {
	r.dev[0].Upload(x[false], s)
	r.dev[1].Upload(x[true], s)
	return x
}

// weights returns n normal numbers as a file would hold them; of the quantised
// types, random blocks with scales of a sensible size.
func (r *rig) weights(t gpu.Type, n int) both {
	raw := make([]byte, t.Bytes(n))
	le := binary.LittleEndian
	switch t {
	case gpu.F32:
		for i, v := range r.numbers(n) {
			le.PutUint32(raw[4*i:], math.Float32bits(v))
		}
	case gpu.BF16:
		for i, v := range r.numbers(n) {
			le.PutUint16(raw[2*i:], uint16(math.Float32bits(v)>>16))
		}
	default:
		for i := range raw {
			raw[i] = byte(r.rng.Uint32())
		}
		for block := raw; len(block) > 0; block = block[t.Bytes(t.Block()):] {
			for _, at := range halves[t] {
				le.PutUint16(block[at:], uint16(r.rng.IntN(2)<<15|0x2000|r.rng.IntN(0x400))) // ±2⁻⁷ to 2⁻⁶
			}
		}
	}
	return r.pair(r.dev[0].Load(t, raw), r.dev[1].Load(t, raw))
}

// halves is where blocks of a type have halves.
var halves = map[gpu.Type][]int{
	gpu.F16: {0}, gpu.Q8_0: {0}, gpu.Q4_0: {0}, gpu.Q4_1: {0, 2}, gpu.Q4_K: {0, 2}, gpu.Q6_K: {208}, gpu.NF4: {0},
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
