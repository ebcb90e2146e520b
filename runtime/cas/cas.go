// Package cas keeps immutable bytes under their SHA-256: bytes are written to
// a temporary name, synced and renamed, so that a blob is there whole or not at all.
//
// The layout is DIR/ab/cdef… (the digest's first two hex digits, then the other
// 62) and DIR/tmp for blobs being written. Many processes may share a directory.
package cas

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrNotFound is wrapped by errors about a blob that is not there.
var ErrNotFound = errors.New("not found")

// Dir is a directory of blobs. It is safe for use by many goroutines and processes.
type Dir struct{ path string }

// Open returns the directory of blobs at path. The directory is made by the
// first write, so that reading leaves no trace.
func Open(path string) (*Dir, error) {
	if fi, err := os.Stat(path); err == nil && !fi.IsDir() {
		return nil, fmt.Errorf("cas: %s is not a directory", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cas: open: %w", err)
	}
	return &Dir{path: path}, nil
}

// Path returns where the blob lies or would lie. Its bytes must not be changed.
func (d *Dir) Path(g Digest) string {
	s := g.String()
	return filepath.Join(d.path, s[:2], s[2:])
}

// Open opens a blob for reading; an error that wraps ErrNotFound names it.
func (d *Dir) Open(g Digest) (*os.File, error) {
	f, err := os.Open(d.Path(g))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cas: blob %s: %w", g, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("cas: blob %s: %w", g, err)
	}
	return f, nil
}

// ReadAll returns the bytes of a blob after checking that they are the ones
// that were put.
func (d *Dir) ReadAll(g Digest) ([]byte, error) {
	f, err := d.Open(g)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cas: blob %s: %w", g, err)
	}
	b := make([]byte, fi.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("cas: blob %s: %w", g, err)
	}
	if Sum(b) != g {
		return nil, damaged(d, g)
	}
	return b, nil
}

// Verify reads a blob and reports whether its bytes still have its digest.
func (d *Dir) Verify(g Digest) error {
	f, err := d.Open(g)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := sumReader(f)
	if err != nil {
		return fmt.Errorf("cas: blob %s: %w", g, err)
	}
	if got != g {
		return damaged(d, g)
	}
	return nil
}

func damaged(d *Dir, g Digest) error {
	return fmt.Errorf("cas: blob %s is damaged on disk: delete %s and run the same command again", g, d.Path(g))
}

// Has reports whether the blob is there.
func (d *Dir) Has(g Digest) bool {
	_, err := os.Stat(d.Path(g))
	return err == nil
}

// Size returns the length of a blob in bytes.
func (d *Dir) Size(g Digest) (int64, error) {
	fi, err := os.Stat(d.Path(g))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("cas: blob %s: %w", g, ErrNotFound)
	}
	if err != nil {
		return 0, fmt.Errorf("cas: blob %s: %w", g, err)
	}
	return fi.Size(), nil
}

// Each calls f for every blob in order of digest until f fails. Mod is when
// the blob was last put.
func (d *Dir) Each(f func(g Digest, size int64, mod time.Time) error) error {
	shards, err := readDir(d.path)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		if len(shard.Name()) != 2 || !shard.IsDir() {
			continue
		}
		blobs, err := readDir(filepath.Join(d.path, shard.Name()))
		if err != nil {
			return err
		}
		for _, b := range blobs {
			g, err := Parse(shard.Name() + b.Name())
			if err != nil {
				continue // not ours
			}
			fi, err := b.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return fmt.Errorf("cas: blob %s: %w", g, err)
			}
			if err := f(g, fi.Size(), fi.ModTime()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readDir lists path; a directory that is not there is empty.
func readDir(path string) ([]fs.DirEntry, error) {
	list, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cas: list: %w", err)
	}
	return list, nil
}

// Remove deletes a blob; one that is not there is no error.
func (d *Dir) Remove(g Digest) error {
	if err := os.Remove(d.Path(g)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cas: remove: %w", err)
	}
	return nil
}

// RemoveUnused deletes a blob unless somebody put it again after the moment
// before, and reports whether it did. No Put can come between the look and the
// deletion: that is what makes garbage collection safe beside a run.
func (d *Dir) RemoveUnused(g Digest, before time.Time) (bool, error) {
	unlock, err := d.lock(syscall.LOCK_EX)
	if err != nil {
		return false, err
	}
	defer unlock()
	fi, err := os.Stat(d.Path(g))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cas: remove: %w", err)
	}
	if fi.ModTime().After(before) {
		return false, nil
	}
	return true, d.Remove(g)
}

// lock holds the directory against, or together with, other processes and
// goroutines: every call opens its own descriptor, as flock needs.
func (d *Dir) lock(how int) (unlock func(), err error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, fmt.Errorf("cas: lock: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cas: lock %s: %w", d.path, err)
	}
	return func() { f.Close() }, nil
}
