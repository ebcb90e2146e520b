// Package gguf reads and writes the file format of that name, in which ggml's
// programs keep a model: metadata with the tokenizer in it, and tensors, most
// of them quantised.
//
// A file is checked whole before any size in it is believed: see Parse.
package gguf

import (
	"fmt"

	"starbook/gpu"
	"starbook/gpu/internal/disk"
)

// File is a checked GGUF file. It is safe for concurrent use, Close excepted.
type File struct {
	Meta    Meta
	Tensors []Tensor // in the order of the file

	byName map[string]int
	path   string
	mapped []byte // nil when the bytes belong to the caller
}

// Tensor is a named array as it lies in a file. Data of a mapped file is
// read-only and need not be aligned to the element's size.
type Tensor struct {
	Name  string
	Type  gpu.Type
	Shape []int // the last axis is contiguous, as everywhere here; the file says it backwards
	Data  []byte
}

// Len returns the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// types are ggml's numbers of element types that are read.
var types = map[uint32]gpu.Type{
	0: gpu.F32, 1: gpu.F16, 2: gpu.Q4_0, 3: gpu.Q4_1, 8: gpu.Q8_0, 12: gpu.Q4_K, 14: gpu.Q6_K, 30: gpu.BF16,
}

// unread names other types of ggml's, for the message.
var unread = map[uint32]string{
	6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
	18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32",
	27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

// Open maps a file read-only and checks it. Tensor data stays valid until
// Close; a file that is truncated while it is open makes reads crash, so open
// only files that nobody rewrites in place.
func Open(path string) (*File, error) {
	b, err := disk.Map(path, 24)
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	f, err := parse(b)
	if err != nil {
		_ = disk.Unmap(b)
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	f.path, f.mapped = path, b
	return f, nil
}

// Path returns the name that the file was opened under.
func (f *File) Path() string { return f.path }

// Tensor returns the tensor of that name, and whether there is one.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Close unmaps the file. No tensor data may be used afterwards.
func (f *File) Close() error {
	b := f.mapped
	f.mapped, f.Tensors, f.byName = nil, nil, nil
	if err := disk.Unmap(b); err != nil {
		return fmt.Errorf("gguf: %s: %w", f.path, err)
	}
	return nil
}
