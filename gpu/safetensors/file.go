package safetensors

import (
	"fmt"
	"maps"
	"slices"

	"starbook/gpu/internal/disk"
)

// A File is a checked safetensors file. It is safe for concurrent use, Close
// excepted.
type File struct {
	path     string
	tensors  map[string]Tensor
	names    []string // sorted
	metadata map[string]string
	mapped   []byte // nil when the bytes belong to the caller
}

// Open maps a file read-only and checks it. Tensor data stays valid until
// Close; a file that is truncated while it is open makes reads crash, so open
// only files that nobody rewrites in place.
func Open(path string) (*File, error) {
	b, err := disk.Map(path, 8)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	f, err := parse(b)
	if err != nil {
		_ = disk.Unmap(b)
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	f.path, f.mapped = path, b
	return f, nil
}

// Parse checks a whole file held in memory. Its tensors share b.
func Parse(b []byte) (*File, error) {
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

// Path returns the name that the file was opened under, "" after Parse.
func (f *File) Path() string { return f.path }

// Tensor returns the tensor of that name, and whether there is one.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// Names returns the names of all tensors, sorted. The caller must not change it.
func (f *File) Names() []string { return f.names }

// Metadata returns the header's free text entries, possibly none. The caller
// must not change it.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close unmaps the file. No tensor data may be used afterwards.
func (f *File) Close() error {
	b := f.mapped
	f.mapped, f.tensors, f.names = nil, nil, nil
	if err := disk.Unmap(b); err != nil {
		return fmt.Errorf("safetensors: %s: %w", f.path, err)
	}
	return nil
}

func newFile(tensors map[string]Tensor, metadata map[string]string) *File {
	return &File{tensors: tensors, names: slices.Sorted(maps.Keys(tensors)), metadata: metadata}
}
