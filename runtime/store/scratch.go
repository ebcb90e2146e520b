package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"starbook/runtime/cas"
)

// KeepFile marks a scratch directory that outlives its work, because other steps may
// want what is in it.
const KeepFile = "keep"

// LockStep takes the lock of a step's scratch directory across processes and
// returns the directory; unlock gives the lock back. It waits for whoever is at
// the same step, here or in another process, until ctx ends.
func (s *Store) LockStep(ctx context.Context, key cas.Digest) (scratch string, unlock func(), err error) {
	if s.writer == nil {
		return "", nil, errReadOnly
	}
	dir := s.ScratchDir(key)
	l, err := acquireContext(ctx, stepLock(dir))
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.release()
		return "", nil, fmt.Errorf("store: scratch: %w", err)
	}
	s.mu.Lock()
	s.scratch[key] = l
	s.mu.Unlock()
	return dir, sync.OnceFunc(func() {
		s.mu.Lock()
		delete(s.scratch, key)
		s.mu.Unlock()
		if exists(dir) {
			l.release()
		} else {
			l.remove()
		}
	}), nil
}

// ScratchDir is where the scratch of a step lies, if there is any.
func (s *Store) ScratchDir(key cas.Digest) string {
	return filepath.Join(s.dir, "scratch", key.String())
}

// stepLock lies beside the scratch directory, so that it holds also while the
// directory is being removed.
func stepLock(scratch string) string { return scratch + ".lock" }

// RemoveScratch deletes the scratch of a finished step. Who holds the step's lock calls
// it before unlock; without the lock it refuses while somebody else is at the step.
func (s *Store) RemoveScratch(key cas.Digest) error {
	if s.writer == nil {
		return errReadOnly
	}
	s.mu.Lock()
	ours := s.scratch[key] != nil
	s.mu.Unlock()
	dir := s.ScratchDir(key)
	if !ours {
		if !exists(dir) && !exists(stepLock(dir)) {
			return nil
		}
		l, err := tryAcquire(stepLock(dir))
		if err != nil {
			return err
		}
		if l == nil {
			return fmt.Errorf("store: scratch of step %s is in use by another process", key.Short())
		}
		defer l.remove()
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("store: remove scratch: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// collectScratch removes the scratch of steps that are done and that nobody holds, and
// locks without scratch; what is kept for other steps only if trajectories is set.
func (s *Store) collectScratch(g *Garbage, trajectories, delete bool) error {
	list, err := os.ReadDir(filepath.Join(s.dir, "scratch"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: gc: %w", err)
	}
	for _, e := range list {
		key, err := cas.Parse(strings.TrimSuffix(e.Name(), ".lock"))
		if err != nil {
			continue // not ours
		}
		dir := s.ScratchDir(key)
		useless, err := s.uselessScratch(key, dir)
		if err != nil {
			return err
		}
		kept := e.IsDir() && exists(filepath.Join(dir, KeepFile)) && !isHeld(stepLock(dir))
		if !useless && !kept || !e.IsDir() && exists(dir) {
			continue // in use, or the directory takes its lock with it
		}
		size := dirSize(dir)
		switch {
		case kept:
			g.Trajectories, g.TrajectoryBytes = g.Trajectories+1, g.TrajectoryBytes+size
		case e.IsDir():
			g.Scratch, g.Bytes = g.Scratch+1, g.Bytes+size
		}
		if !delete || kept && !trajectories {
			continue
		}
		if err := s.RemoveScratch(key); err != nil {
			return err
		}
		if kept { // its series
			if err := s.ForgetStep(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// dirSize returns the bytes of the files in dir; what vanishes meanwhile does not count.
func dirSize(dir string) (n int64) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			n += fi.Size()
		}
	}
	return n
}

// uselessScratch reports whether nobody will go on from this directory.
func (s *Store) uselessScratch(key cas.Digest, dir string) (bool, error) {
	if isHeld(stepLock(dir)) {
		return false, nil
	}
	if !exists(dir) {
		return true, nil
	}
	_, err := s.Step(key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
