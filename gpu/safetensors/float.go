package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// F32 returns all elements of an F32, BF16, F16 or F64 tensor as float32.
func (t Tensor) F32() ([]float32, error) {
	v := make([]float32, t.Len())
	return v, t.ReadF32(v, 0)
}

// ReadF32 converts the elements from, from+1, … into dst, as many as it holds.
// F64 is rounded to nearest; the other types are exact.
func (t Tensor) ReadF32(dst []float32, from int) error {
	if from < 0 || from > t.Len() || len(dst) > t.Len()-from {
		return fmt.Errorf("safetensors: tensor %q: elements %d to %d of %d", t.Name, from, from+len(dst), t.Len())
	}
	le := binary.LittleEndian
	switch t.DType {
	case "F32":
		for i, b := 0, t.Data[4*from:]; i < len(dst); i++ {
			dst[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	case "BF16":
		for i, b := 0, t.Data[2*from:]; i < len(dst); i++ {
			dst[i] = FromBF16(le.Uint16(b[2*i:]))
		}
	case "F16":
		for i, b := 0, t.Data[2*from:]; i < len(dst); i++ {
			dst[i] = FromF16(le.Uint16(b[2*i:]))
		}
	case "F64":
		for i, b := 0, t.Data[8*from:]; i < len(dst); i++ {
			dst[i] = float32(math.Float64frombits(le.Uint64(b[8*i:])))
		}
	default:
		return fmt.Errorf("safetensors: tensor %q: %s cannot be read as float32: use F32, BF16, F16 or F64 weights", t.Name, t.DType)
	}
	return nil
}

// AppendF32 appends v as elements of an F32, BF16 or F16 tensor, the latter
// two rounded to nearest, ties to even.
func AppendF32(b []byte, dtype string, v []float32) ([]byte, error) {
	le := binary.LittleEndian
	switch dtype {
	case "F32":
		b = slices.Grow(b, 4*len(v))
		for _, f := range v {
			b = le.AppendUint32(b, math.Float32bits(f))
		}
	case "BF16":
		for _, f := range v {
			b = le.AppendUint16(b, ToBF16(f))
		}
	case "F16":
		for _, f := range v {
			b = le.AppendUint16(b, ToF16(f))
		}
	default:
		return nil, fmt.Errorf("safetensors: cannot write float32 as %s: use F32, BF16 or F16", dtype)
	}
	return b, nil
}

// FromBF16 widens a bfloat16, exactly.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds to nearest, ties to even. A NaN stays a NaN.
func ToBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if f != f {
		return uint16(u>>16) | 0x40 // quiet: cutting the payload could leave infinity
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// FromF16 widens an IEEE half, exactly.
func FromF16(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0: // zero and subnormals: frac · 2⁻²⁴
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(f))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// ToF16 rounds to nearest, ties to even; beyond 65504 that is infinity. A NaN
// stays a NaN.
func ToF16(f float32) uint16 {
	u := math.Float32bits(f)
	sign := uint16(u >> 16 & 0x8000)
	u &= 1<<31 - 1
	switch {
	case u > 0xff<<23:
		return sign | 0x7e00 | uint16(u>>13&0x1ff)
	case u >= 0x477ff000: // 65520, half way from the largest half to the next
		return sign | 0x7c00
	case u < 113<<23: // below 2⁻¹⁴: adding ½ lets the FPU round at 2⁻²⁴
		g := math.Float32frombits(u) + 0.5
		return sign | uint16(math.Float32bits(g)-math.Float32bits(0.5))
	}
	u += 0xfff + u>>13&1
	return sign | uint16(u>>13-(127-15)<<10)
}
