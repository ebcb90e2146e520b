package gpu

import "fmt"

// Type is how the elements of a Buf are stored: one by one, or in blocks that
// share a scale, as quantised weights are.
type Type uint8

// The element types. F64 exists only on the reference device, where finite
// differences need it. F16 and the quantised types, laid out as in GGUF files
// but for NF4, which exists in memory only, are for weights alone: a device loads them, and reads them in Copy, in Embed
// and as the right side of MatMul.
const (
	F32 Type = iota
	BF16
	F64
	F16
	Q8_0
	Q4_0
	Q4_1
	Q4_K
	Q6_K
	NF4
	types
)

// layouts holds the elements of a block and the bytes that it takes.
var layouts = [types]struct {
	name         string
	block, bytes int
}{
	F32:  {"F32", 1, 4},
	BF16: {"BF16", 1, 2},
	F64:  {"F64", 1, 8},
	F16:  {"F16", 1, 2},
	Q8_0: {"Q8_0", 32, 34},
	Q4_0: {"Q4_0", 32, 18},
	Q4_1: {"Q4_1", 32, 20},
	Q4_K: {"Q4_K", 256, 144},
	Q6_K: {"Q6_K", 256, 210},
	NF4:  {"NF4", 256, 134},
}

// Block returns the elements of a block. Rows of a quantised matrix are whole blocks.
func (t Type) Block() int { return layouts[t].block }

// Bytes returns the size of n elements, which must be whole blocks.
func (t Type) Bytes(n int) int {
	l := layouts[t]
	if n%l.block != 0 {
		panic(fmt.Sprintf("gpu: %d elements of %s are not whole blocks of %d", n, l.name, l.block))
	}
	return n / l.block * l.bytes
}

// Elements returns how many elements whole blocks in so many bytes hold.
func (t Type) Elements(bytes int) int { return bytes / layouts[t].bytes * layouts[t].block }

// WeightsOnly reports whether only weights may have type t.
func (t Type) WeightsOnly() bool { return t >= F16 }

// String returns the name of the type as safetensors and GGUF spell it.
func (t Type) String() string { return layouts[t].name }
