package safetensors

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
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
	b, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	f, err := parse(b)
	if err != nil {
		unix.Munmap(b)
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
	if b == nil {
		return nil
	}
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("safetensors: %s: unmap: %w", f.path, err)
	}
	return nil
}

func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	if info.Size() < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a header: download or copy the file again", info.Size())
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
}

// cause strips the operation and path that our own messages already name.
func cause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}

func newFile(tensors map[string]Tensor, metadata map[string]string) *File {
	return &File{tensors: tensors, names: slices.Sorted(maps.Keys(tensors)), metadata: metadata}
}
