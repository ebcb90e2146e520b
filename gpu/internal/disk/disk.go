// Package disk maps large files and writes them whole or not at all, for the
// formats that models come in.
package disk

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Map maps the regular file at path, which must have at least least bytes, for
// reading. Unmap gives the memory back. Errors do not name the path.
func Map(path string, least int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, Cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, Cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	if info.Size() < least {
		return nil, fmt.Errorf("%d bytes are too few for a header: download or copy the file again", info.Size())
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
}

// Unmap gives back what Map returned; nil is nothing.
func Unmap(b []byte) error {
	if b == nil {
		return nil
	}
	if err := unix.Munmap(b); err != nil {
		return fmt.Errorf("unmap: %w", err)
	}
	return nil
}

// WriteFile writes a file under a temporary name, syncs it, renames it and syncs
// the directory, so that path never holds half a file. Errors of its own do not name
// the path.
func WriteFile(path string, write func(io.Writer) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return Cause(err)
	}
	defer os.Remove(f.Name()) // fails once renamed
	defer f.Close()
	b := bufio.NewWriterSize(f, 1<<20)
	for _, step := range []func() error{
		func() error { return write(b) },
		b.Flush,
		func() error { return f.Chmod(0o644) },
		f.Sync,
		f.Close,
		func() error { return os.Rename(f.Name(), path) },
		func() error { return syncDir(dir) },
	} {
		if err := step(); err != nil {
			return Cause(err)
		}
	}
	return nil
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Cause strips the operation and path that a caller's message already names.
func Cause(err error) error {
	if e, ok := err.(*os.PathError); ok {
		return e.Err
	}
	return err
}
