package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// reader takes a header apart. After the first failure it yields zeros.
type reader struct {
	b   []byte
	at  int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)-r.at) {
		r.fail("the header ends at byte %d of %d: download or copy the file again", len(r.b), r.at)
		return nil
	}
	b := r.b[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string { return string(r.bytes(r.u64())) }

// The numbers of the kinds of values.
const (
	kindU8 = iota
	kindI8
	kindU16
	kindI16
	kindU32
	kindI32
	kindF32
	kindBool
	kindString
	kindArray
	kindU64
	kindI64
	kindF64
)

// widths are the bytes of the kinds of fixed size.
var widths = [...]int{kindU8: 1, kindI8: 1, kindU16: 2, kindI16: 2, kindU32: 4, kindI32: 4, kindF32: 4, kindBool: 1, kindU64: 8, kindI64: 8, kindF64: 8}

func (r *reader) value(kind uint32) any {
	if kind == kindString {
		return r.string()
	}
	if kind == kindArray {
		return r.array()
	}
	if int(kind) >= len(widths) {
		r.fail("a value is of kind %d, which is none", kind)
		return nil
	}
	b := r.bytes(uint64(widths[kind]))
	if b == nil {
		return nil
	}
	le := binary.LittleEndian
	switch kind {
	case kindU8:
		return b[0]
	case kindI8:
		return int8(b[0])
	case kindU16:
		return le.Uint16(b)
	case kindI16:
		return int16(le.Uint16(b))
	case kindU32:
		return le.Uint32(b)
	case kindI32:
		return int32(le.Uint32(b))
	case kindF32:
		return math.Float32frombits(le.Uint32(b))
	case kindBool:
		return b[0] != 0
	case kindU64:
		return le.Uint64(b)
	case kindI64:
		return int64(le.Uint64(b))
	}
	return math.Float64frombits(le.Uint64(b))
}

// array reads a list. Nothing is allocated for elements that are not there.
func (r *reader) array() any {
	kind, n := r.u32(), r.u64()
	least := uint64(8) // of a string: its length
	if int(kind) < len(widths) && widths[kind] > 0 {
		least = uint64(widths[kind])
	}
	switch {
	case kind == kindArray:
		r.fail("a list of lists is not read")
		return nil
	case n > uint64(len(r.b)-r.at)/least:
		r.fail("a list of %d elements in the %d bytes that are left: download or copy the file again", n, len(r.b)-r.at)
		return nil
	}
	switch kind {
	case kindString:
		return list[string](r, kind, n)
	case kindI32:
		return list[int32](r, kind, n)
	case kindF32:
		return list[float32](r, kind, n)
	}
	return list[any](r, kind, n)
}

func list[T any](r *reader, kind uint32, n uint64) []T {
	out := make([]T, 0, n)
	for range n {
		if v, ok := r.value(kind).(T); ok && r.err == nil {
			out = append(out, v)
		}
	}
	return out
}

// align is what the format pads to by default.
const align = 32

func parse(b []byte) (*File, error) {
	r := &reader{b: b}
	if magic := string(r.bytes(4)); r.err == nil && magic != "GGUF" {
		return nil, fmt.Errorf("it begins with %q, not with GGUF", magic)
	}
	if version := r.u32(); r.err == nil && version != 2 && version != 3 {
		return nil, fmt.Errorf("version %d: 2 and 3 are read, little-endian", version)
	}
	tensors, keys := r.u64(), r.u64()
	f := &File{byName: map[string]int{}}
	for i := uint64(0); i < keys && r.err == nil; i++ {
		key := r.string()
		value := r.value(r.u32())
		if f.Meta.Has(key) {
			r.fail("key %q is there twice", key)
		}
		if r.err == nil {
			f.Meta.Set(key, value)
		}
	}
	var infos []info
	for i := uint64(0); i < tensors && r.err == nil; i++ {
		if x := r.info(); r.err == nil {
			infos = append(infos, x)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	pad, err := f.Meta.Int("general.alignment", align)
	if err != nil || pad <= 0 || pad%8 != 0 || pad > 1<<20 {
		return nil, fmt.Errorf("general.alignment is %v: it must be a multiple of 8", f.Meta.Value("general.alignment"))
	}
	begin := (r.at + pad - 1) / pad * pad
	if begin > len(b) {
		begin = len(b) // no tensors, no padding
	}
	return f, f.place(infos, b[begin:], pad)
}

// info is what the header says of a tensor.
type info struct {
	Tensor
	offset, size uint64
}

func (r *reader) info() info {
	x := info{Tensor: Tensor{Name: r.string()}}
	dims := r.u32()
	if dims > 4 {
		r.fail("tensor %q has %d axes: 4 is the most", x.Name, dims)
		return x
	}
	n := uint64(1)
	for range dims {
		d := r.u64()
		hi, lo := bits.Mul64(n, d)
		if n = lo; hi != 0 || d > math.MaxInt32 {
			r.fail("tensor %q: an axis of %d", x.Name, d)
			return x
		}
		x.Shape = append(x.Shape, int(d))
	}
	slices.Reverse(x.Shape)
	number := r.u32()
	x.offset = r.u64()
	t, ok := types[number]
	if r.err != nil {
		return x
	}
	if !ok {
		name, known := unread[number]
		if !known {
			name = fmt.Sprintf("number %d", number)
		}
		r.fail("tensor %q is of type %s: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and Q6_K are read", x.Name, name)
		return x
	}
	if x.Type = t; len(x.Shape) > 0 && x.Shape[len(x.Shape)-1]%t.Block() != 0 || n > math.MaxInt/8 {
		r.fail("tensor %q: rows of %v are not whole blocks of %d", x.Name, x.Shape, t.Block())
		return x
	}
	if len(x.Shape) == 0 && t.Block() > 1 {
		r.fail("tensor %q: one element is no block of %s", x.Name, t)
		return x
	}
	x.size = uint64(t.Bytes(int(n)))
	return x
}

// place finds the tensors' data, which may not overlap.
func (f *File) place(infos []info, data []byte, pad int) error {
	for i, x := range infos {
		if _, ok := f.byName[x.Name]; ok {
			return fmt.Errorf("tensor %q is there twice", x.Name)
		}
		if x.offset%uint64(pad) != 0 {
			return fmt.Errorf("tensor %q begins at byte %d, which is no multiple of %d", x.Name, x.offset, pad)
		}
		if x.size > uint64(len(data)) || x.offset > uint64(len(data))-x.size {
			return fmt.Errorf("tensor %q lies at bytes %d to %d of %d: download or copy the file again", x.Name, x.offset, x.offset+x.size, len(data))
		}
		x.Data = data[x.offset : x.offset+x.size : x.offset+x.size]
		f.byName[x.Name] = i
		f.Tensors = append(f.Tensors, x.Tensor)
	}
	order := slices.Clone(infos)
	slices.SortFunc(order, func(a, b info) int {
		if a.offset != b.offset {
			return int(min(max(int64(a.offset)-int64(b.offset), -1), 1))
		}
		return int(min(max(int64(a.size)-int64(b.size), -1), 1))
	})
	for i := 1; i < len(order); i++ {
		if before := order[i-1]; before.offset+before.size > order[i].offset {
			return fmt.Errorf("tensors %q and %q overlap", before.Name, order[i].Name)
		}
	}
	return nil
}
