package safetensors

import (
	"math"
	"slices"
	"testing"
)

// Every half and bfloat16 survives the way to float32 and back, NaNs as NaNs.
func TestNarrowRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		if f := FromF16(h); f == f && ToF16(f) != h || f != f && FromF16(ToF16(f)) == FromF16(ToF16(f)) {
			t.Fatalf("F16 %#04x: %v, %#04x", h, f, ToF16(f))
		}
		if f := FromBF16(h); f == f && ToBF16(f) != h || f != f && FromBF16(ToBF16(f)) == FromBF16(ToBF16(f)) {
			t.Fatalf("BF16 %#04x: %v, %#04x", h, f, ToBF16(f))
		}
	}
}

// Between two neighbours the nearer one is taken, half way the even one.
func TestNarrowRounds(t *testing.T) {
	for name, c := range map[string]struct {
		to   func(float32) uint16
		from func(uint16) float32
		top  uint16 // the largest finite number
	}{
		"F16":  {ToF16, FromF16, 0x7bff},
		"BF16": {ToBF16, FromBF16, 0x7f7f},
	} {
		for h := range c.top {
			lo, hi := float64(c.from(h)), float64(c.from(h+1))
			mid := float32((lo + hi) / 2) // exact: one bit more than a narrow type has
			even := h + h&1
			for _, s := range []float32{1, -1} {
				sign := uint16(0)
				if s < 0 {
					sign = 1 << 15
				}
				if c.to(s*mid) != sign|even || c.to(s*math.Nextafter32(mid, 0)) != sign|h || c.to(s*math.Nextafter32(mid, float32(math.Inf(1)))) != sign|(h+1) {
					t.Fatalf("%s: about %v between %#04x and the next", name, s*mid, h)
				}
			}
		}
		if inf := float32(math.Inf(1)); c.to(math.MaxFloat32) != c.top+1 || c.to(inf) != c.top+1 || c.to(-inf) != (c.top+1)|1<<15 {
			t.Errorf("%s: infinity", name)
		}
	}
	if ToF16(65519.996) != 0x7bff || ToF16(65520) != 0x7c00 {
		t.Error("F16: the edge of infinity")
	}
}

func TestReadF32(t *testing.T) {
	want := []float32{0, 1, -2.5, 1024}
	for _, dtype := range []string{"F32", "BF16", "F16"} {
		b, err := AppendF32(nil, dtype, want)
		if err != nil {
			t.Fatal(err)
		}
		x := Tensor{"x", dtype, []int{2, 2}, b}
		if got, err := x.F32(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v", dtype, got, err)
		}
		part := make([]float32, 2)
		if err := x.ReadF32(part, 1); err != nil || !slices.Equal(part, want[1:3]) {
			t.Errorf("%s: %v %v", dtype, part, err)
		}
		for _, from := range []int{-1, 3, 5, math.MaxInt} {
			if err := x.ReadF32(part, from); err == nil {
				t.Errorf("%s: read two elements from %d of 4", dtype, from)
			}
		}
	}
	if _, err := (Tensor{"x", "I32", []int{1}, make([]byte, 4)}).F32(); err == nil {
		t.Error("read I32 as float32")
	}
	if _, err := AppendF32(nil, "I8", want); err == nil {
		t.Error("wrote float32 as I8")
	}
	f64 := Tensor{"x", "F64", nil, []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f}}
	if v, err := f64.F32(); err != nil || v[0] != 1.5 {
		t.Error(v, err)
	}
}
