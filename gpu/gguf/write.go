package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"starbook/gpu"
	"starbook/gpu/internal/disk"
)

// numbers are ggml's numbers of the types that are written.
var numbers = map[gpu.Type]uint32{gpu.F32: 0, gpu.F16: 1, gpu.Q8_0: 8, gpu.BF16: 30}

// WriteFile writes a file under a temporary name, syncs it and renames it. Only
// name, type and shape of the tensors are looked at; data is called once for
// each, in their order, and what it returns is not kept.
func WriteFile(path string, meta *Meta, tensors []Tensor, data func(Tensor) ([]byte, error)) error {
	if err := disk.WriteFile(path, func(w io.Writer) error { return Write(w, meta, tensors, data) }); err != nil {
		return fmt.Errorf("gguf: %s: %w", path, err)
	}
	return nil
}

// Write writes a file of version 3.
func Write(w io.Writer, meta *Meta, tensors []Tensor, data func(Tensor) ([]byte, error)) error {
	head := append([]byte("GGUF"), 3, 0, 0, 0)
	le := binary.LittleEndian
	head = le.AppendUint64(head, uint64(len(tensors)))
	head = le.AppendUint64(head, uint64(len(meta.Keys)))
	for _, key := range meta.Keys {
		var err error
		if head, err = appendValue(appendString(head, key), meta.values[key]); err != nil {
			return fmt.Errorf("gguf: key %q: %w", key, err)
		}
	}
	offset := 0
	for _, t := range tensors {
		number, ok := numbers[t.Type]
		if !ok {
			return fmt.Errorf("gguf: tensor %q: %v is not written: F32, F16, BF16 and Q8_0 are", t.Name, t.Type)
		}
		head = le.AppendUint32(appendString(head, t.Name), uint32(len(t.Shape)))
		for i := range t.Shape {
			head = le.AppendUint64(head, uint64(t.Shape[len(t.Shape)-1-i]))
		}
		head = le.AppendUint32(head, number)
		head = le.AppendUint64(head, uint64(offset))
		offset += padded(t.Type.Bytes(t.Len()))
	}
	if _, err := w.Write(append(head, make([]byte, padded(len(head))-len(head))...)); err != nil {
		return fmt.Errorf("gguf: write header: %w", err)
	}
	for _, t := range tensors {
		b, err := data(t)
		if err != nil {
			return fmt.Errorf("gguf: tensor %q: %w", t.Name, err)
		}
		size := t.Type.Bytes(t.Len())
		if len(b) != size {
			return fmt.Errorf("gguf: tensor %q: %d bytes given, but %v %v takes %d", t.Name, len(b), t.Type, t.Shape, size)
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("gguf: write tensor %q: %w", t.Name, err)
		}
		if _, err := w.Write(make([]byte, padded(size)-size)); err != nil {
			return fmt.Errorf("gguf: write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

func padded(n int) int { return (n + align - 1) / align * align }

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue appends the number of v's kind and v.
func appendValue(b []byte, v any) ([]byte, error) {
	le := binary.LittleEndian
	switch v := v.(type) {
	case bool:
		n := byte(0)
		if v {
			n = 1
		}
		return append(le.AppendUint32(b, kindBool), n), nil
	case string:
		return appendString(le.AppendUint32(b, kindString), v), nil
	case uint32:
		return le.AppendUint32(le.AppendUint32(b, kindU32), v), nil
	case int32:
		return le.AppendUint32(le.AppendUint32(b, kindI32), uint32(v)), nil
	case float32:
		return le.AppendUint32(le.AppendUint32(b, kindF32), math.Float32bits(v)), nil
	case uint64:
		return le.AppendUint64(le.AppendUint32(b, kindU64), v), nil
	case []string:
		b = le.AppendUint64(le.AppendUint32(le.AppendUint32(b, kindArray), kindString), uint64(len(v)))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b, nil
	case []int32:
		b = le.AppendUint64(le.AppendUint32(le.AppendUint32(b, kindArray), kindI32), uint64(len(v)))
		for _, n := range v {
			b = le.AppendUint32(b, uint32(n))
		}
		return b, nil
	case []float32:
		b = le.AppendUint64(le.AppendUint32(le.AppendUint32(b, kindArray), kindF32), uint64(len(v)))
		for _, n := range v {
			b = le.AppendUint32(b, math.Float32bits(n))
		}
		return b, nil
	}
	return nil, fmt.Errorf("a %T is not written", v)
}
