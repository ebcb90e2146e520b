package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"starbook/runtime/cas"
)

// LockStep takes the lock of a step's scratch directory across processes and
// returns the directory; unlock gives the lock back. It waits for whoever is at
// the same step, here or in another process, until ctx ends.
func (s *Store) LockStep(ctx context.Context, key cas.Digest) (scratch string, unlock func(), err error) {
	if s.writer == nil {
		return "", nil, errReadOnly
	}
	dir := s.scratchDir(key)
	l, err := acquireContext(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, err
	}
	s.mu.Lock()
	s.scratch[key] = l
	s.mu.Unlock()
	return dir, sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.scratch, key)
		s.mu.Unlock()
		l.release()
	}), nil
}

func (s *Store) scratchDir(key cas.Digest) string {
	return filepath.Join(s.dir, "scratch", key.String())
}

// RemoveScratch deletes the scratch of a finished step. Who holds the step's lock calls
// it before unlock; without the lock it refuses while somebody else is at the step.
func (s *Store) RemoveScratch(key cas.Digest) error {
	if s.writer == nil {
		return errReadOnly
	}
	s.mu.Lock()
	ours := s.scratch[key] != nil
	s.mu.Unlock()
	dir := s.scratchDir(key)
	if ours {
		return s.discard(dir)
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l, err := tryAcquire(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	if l == nil {
		return fmt.Errorf("store: scratch of step %s is in use by another process", key.Short())
	}
	defer l.release()
	return s.discard(dir)
}

// discard first renames the directory, so that who waits for its lock finds it gone at
// once and makes a new one.
func (s *Store) discard(dir string) error {
	name, err := newName()
	if err != nil {
		return err
	}
	gone := filepath.Join(s.dir, "scratch", "gone-"+name)
	if err := os.Rename(dir, gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("store: remove scratch: %w", err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("store: remove scratch: %w", err)
	}
	return nil
}
