package gpu

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Decode returns the elements in raw, whole blocks of type t, as float32. It is
// the definition of the formats, GGUF's as ggml-quants.c has them: what devices do
// faster is tested against it.
func (t Type) Decode(raw []byte) []float32 {
	out := make([]float32, t.Elements(len(raw)))
	le := binary.LittleEndian
	switch t {
	case F32:
		for i := range out {
			out[i] = math.Float32frombits(le.Uint32(raw[4*i:]))
		}
	case BF16:
		for i := range out {
			out[i] = math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16)
		}
	case F64:
		for i := range out {
			out[i] = float32(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	case F16:
		for i := range out {
			out[i] = half(raw[2*i:])
		}
	default:
		decode, l := decoders[t], layouts[t]
		if decode == nil {
			panic(fmt.Sprintf("gpu: type %s is not decoded", t))
		}
		for i := range len(raw) / l.bytes {
			decode(out[i*l.block:(i+1)*l.block], raw[i*l.bytes:(i+1)*l.bytes])
		}
	}
	return out
}

var decoders = [types]func(y []float32, x []byte){
	Q8_0: decodeQ8_0, Q4_0: decodeQ4_0, Q4_1: decodeQ4_1, Q4_K: decodeQ4_K, Q6_K: decodeQ6_K, NF4: decodeNF4,
}

// half widens the IEEE half at the beginning of b.
func half(b []byte) float32 {
	h := binary.LittleEndian.Uint16(b)
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0: // zero and subnormals: frac · 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(frac)*(1.0/(1<<24))))
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// A scale, then 32 signed bytes.
func decodeQ8_0(y []float32, x []byte) {
	d := half(x)
	for i := range y {
		y[i] = d * float32(int8(x[2+i]))
	}
}

// A scale, then 16 bytes: the low halves are elements 0 to 15, the high ones 16 to 31.
func decodeQ4_0(y []float32, x []byte) {
	d := half(x)
	for i, q := range x[2:] {
		y[i], y[i+16] = d*float32(int(q&15)-8), d*float32(int(q>>4)-8)
	}
}

// As Q4_0, with a least value beside the scale instead of the -8.
func decodeQ4_1(y []float32, x []byte) {
	d, m := half(x), half(x[2:])
	for i, q := range x[4:] {
		y[i], y[i+16] = float32(d*float32(q&15))+m, float32(d*float32(q>>4))+m
	}
}

// Two halves that scale the scales and the least values, 12 bytes with eight
// 6-bit pairs of these, then 128 bytes: each 32 of them hold two groups of 32.
func decodeQ4_K(y []float32, x []byte) {
	d, least, packed := half(x), half(x[2:]), x[4:16]
	for g := range 8 {
		var s, m byte
		if g < 4 {
			s, m = packed[g]&63, packed[g+4]&63
		} else {
			s, m = packed[g+4]&15|packed[g-4]>>6<<4, packed[g+4]>>4|packed[g]>>6<<4
		}
		scale, floor := d*float32(s), least*float32(m)
		for i, q := range x[16+g/2*32 : 48+g/2*32] {
			y[32*g+i] = float32(scale*float32(q>>(g%2*4)&15)) - floor
		}
	}
}

// 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales of 16
// elements each, and a half that scales these.
func decodeQ6_K(y []float32, x []byte) {
	low, high, scales, d := x[:128], x[128:192], x[192:208], half(x[208:])
	for i := range y {
		part, at := i/128, i%128
		q := low[64*part+at%64] >> (at / 64 * 4) & 15
		q |= high[32*part+at%32] >> (at / 32 * 2) & 3 << 4
		y[i] = float32(d*float32(int8(scales[i/16]))) * float32(int(q)-32)
	}
}

// NormalFloat4 holds what NF4's codes stand for: 16 quantiles of the normal
// distribution, zero among them, scaled to [-1, 1] (Dettmers and others, QLoRA,
// 2023, appendix E).
var NormalFloat4 = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171229224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

// A half that scales the scales, four bytes with the scales of 64 elements
// each (this is the double quantisation), then 128 bytes with two codes each,
// the first in the low half.
func decodeNF4(y []float32, x []byte) {
	d := half(x)
	for i := range y {
		y[i] = float32(d*float32(x[2+i/64])) * NormalFloat4[x[6+i/2]>>(i%2*4)&15]
	}
}
