package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// lock is a file held with flock. The kernel lets go of it when the process ends,
// however it ends: that is what makes it a sign of life that neither a reused
// process number nor a container can fool.
type lock struct {
	mu   sync.Mutex
	file *os.File // nil once released
}

// acquire waits for the lock at path, and makes the file if need be.
func acquire(path string) (*lock, error) { return acquireContext(context.Background(), path) }

// acquireContext is acquire until ctx ends. It asks again and again, ever more
// rarely, because a blocked flock cannot be called off.
func acquireContext(ctx context.Context, path string) (*lock, error) {
	const shortest, longest = 2 * time.Millisecond, 200 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		l, err := tryAcquire(path)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("store: waiting for %s: %w", path, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// tryAcquire returns nil, nil if somebody else holds the lock. Whoever held it
// before may have removed the file, so that the one we have locked may no longer
// be the one at path: then it is not the lock.
func tryAcquire(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("store: lock: %w", err)
	}
	switch err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, nil
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("store: lock %s: %w", path, err)
	}
	ours, err := f.Stat()
	if err == nil {
		if there, err := os.Stat(path); err == nil && os.SameFile(ours, there) {
			return &lock{file: f}, nil
		}
	}
	f.Close()
	return nil, nil
}

// isHeld reports whether somebody, maybe this process, holds the lock at path.
func isHeld(path string) bool {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		return true // unreadable: somebody else's, and better not declared dead
	}
	defer f.Close()
	return errors.Is(flock(f, syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// release lets go and leaves the file. It may be called again.
func (l *lock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// remove deletes the file while it is held, then lets go.
func (l *lock) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		os.Remove(l.file.Name())
		l.file.Close()
		l.file = nil
	}
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
