// Package safetensors reads and writes the file format of that name: a length,
// a JSON header and one contiguous buffer of little-endian tensors.
//
// A file is checked whole before any size in it is believed: see Parse. What
// Write makes is byte for byte what the reference implementation makes of the
// same tensors and at most one metadata entry (it writes several in random
// order; here they are sorted).
package safetensors

import (
	"fmt"
	"math/bits"
)

// A Tensor is a named array as it lies in a file: little-endian, last axis
// fastest. Data of a mapped file is read-only (a write to it crashes the
// process) and need not be aligned to the element's size.
type Tensor struct {
	Name  string
	DType string // as the format spells it: "F32", "BF16", "I64", …
	Shape []int  // empty for a scalar
	Data  []byte
}

// Len returns the number of elements, 1 for a scalar.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// dtypes lists the element types from narrow to wide, in the order of the
// reference implementation's enum: a writer sorts by it, descending.
var dtypes = []struct {
	name string
	bits int
}{
	{"BOOL", 8},
	{"F4", 4},
	{"F6_E2M3", 6},
	{"F6_E3M2", 6},
	{"U8", 8},
	{"I8", 8},
	{"F8_E5M2", 8},
	{"F8_E4M3", 8},
	{"F8_E8M0", 8},
	{"I16", 16},
	{"U16", 16},
	{"F16", 16},
	{"BF16", 16},
	{"I32", 32},
	{"U32", 32},
	{"F32", 32},
	{"C64", 64},
	{"F64", 64},
	{"I64", 64},
	{"U64", 64},
}

// width returns the place of a dtype in dtypes, or -1.
func width(dtype string) int {
	for i, d := range dtypes {
		if d.name == dtype {
			return i
		}
	}
	return -1
}

// size returns the bytes that a tensor of this type and shape takes. It fails
// on an unknown type, a negative axis, an overflow, and on a sub-byte type
// that does not end on a whole byte.
func size(dtype string, shape []int) (int, error) {
	w := width(dtype)
	if w < 0 {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	n := uint64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative axis in shape %v", shape)
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		n = lo
	}
	hi, n := bits.Mul64(n, uint64(dtypes[w].bits))
	if hi != 0 || n>>63 != 0 {
		return 0, fmt.Errorf("shape %v of %s overflows", shape, dtype)
	}
	if n%8 != 0 {
		return 0, fmt.Errorf("shape %v of %s does not fill whole bytes", shape, dtype)
	}
	return int(n / 8), nil
}
