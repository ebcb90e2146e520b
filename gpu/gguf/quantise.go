package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// Encode returns values as elements of type t: F32, F16, BF16, or Q8_0 as ggml
// rounds it (a scale of the largest magnitude over 127, halves away from zero).
func Encode(t gpu.Type, values []float32) ([]byte, error) {
	switch t {
	case gpu.F32, gpu.F16, gpu.BF16:
		for i, x := range values {
			if t == gpu.F16 && math.Abs(float64(x)) > 65504 {
				return nil, fmt.Errorf("element %d is %g, more than F16 holds: use BF16", i, x)
			}
		}
		return safetensors.AppendF32(nil, t.String(), values)
	case gpu.Q8_0:
		out := make([]byte, 0, t.Bytes(len(values)))
		for ; len(values) > 0; values = values[32:] {
			out = appendQ8_0(out, values[:32])
		}
		return out, nil
	}
	return nil, fmt.Errorf("%v is not written: F32, F16, BF16 and Q8_0 are", t)
}

func appendQ8_0(b []byte, block []float32) []byte {
	var top float32
	for _, x := range block {
		top = max(top, float32(math.Abs(float64(x))))
	}
	d := top / 127
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	b = binary.LittleEndian.AppendUint16(b, safetensors.ToF16(d))
	for _, x := range block {
		b = append(b, byte(int8(math.Round(float64(x*inverse)))))
	}
	return b
}
