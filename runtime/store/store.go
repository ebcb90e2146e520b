// Package store remembers runs, steps, metrics, samples and paid answers in
// one SQLite file beside a directory of blobs.
//
// One goroutine owns the only connection that writes and commits what many
// callers queue as one group; readers have their own connections. Any number
// of processes may have the same store open. Schema.sql documents the file.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

var (
	// ErrNotFound is wrapped by errors about a thing that is not in the store.
	ErrNotFound = errors.New("not found")
	// ErrAmbiguous is wrapped by errors about a prefix that several things share.
	ErrAmbiguous = errors.New("more than one matches")

	errReadOnly = errors.New("store: opened for reading only")
	errClosed   = errors.New("store: closed")
)

// Store is an open .starbook directory: DIR/store.db, DIR/blobs, DIR/scratch (for each
// step at work a directory and a lock), and the locks in DIR/runs and DIR/processes.
// It is also an event.Sink. It is safe for use by many goroutines.
type Store struct {
	Blobs *cas.Dir

	dir     string
	process string  // names the lock that says that this Store is open
	alive   *lock   // that lock
	writer  *writer // nil if opened for reading only
	readers *sql.DB
	queries *sql.DB // for the users' own SQL

	mu      sync.Mutex
	closed  bool
	runs    map[string]*lock     // locks of the runs begun here and not ended
	scratch map[cas.Digest]*lock // locks of the steps at work here
}

var _ event.Sink = (*Store)(nil)

// Open opens the store in dir for writing. It makes the directory and brings an
// older file up to date, after keeping a copy of it; a file of a newer starbook is
// refused. The caller must Close it.
func Open(dir string) (*Store, error) {
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	if err := checkFilesystem(dir); err != nil {
		return nil, err
	}
	s, err := newStore(dir)
	if err != nil {
		return nil, err
	}
	if err := s.openWriter(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenReadOnly opens a store that exists, without any way to change it. It works
// beside writers and on a copy in a directory that may not be written. The error
// wraps ErrNotFound if there is no store.
func OpenReadOnly(dir string) (*Store, error) {
	if _, err := os.Stat(databasePath(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: no store in %s: %w: run a notebook first", dir, ErrNotFound)
	} else if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s, err := newStore(dir)
	if err != nil {
		return nil, err
	}
	if err := checkReadable(s.readers, dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// makeDirs makes the directory and tells git to leave it alone.
func makeDirs(dir string) error {
	for _, sub := range []string{"blobs", "scratch", "runs", "processes"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("store: %w: nothing can be kept there: make it a folder that you may write to, or name another with --store", err)
		}
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(ignore, []byte("*\n"), 0o644); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// newStore sets up the parts that only read; no file is touched yet.
func newStore(dir string) (*Store, error) {
	blobs, err := cas.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	readers, err := openReaders(dir)
	if err != nil {
		return nil, err
	}
	queries, err := openQueries(dir)
	if err != nil {
		return nil, err
	}
	return &Store{
		Blobs: blobs, dir: dir, readers: readers, queries: queries,
		runs: map[string]*lock{}, scratch: map[cas.Digest]*lock{},
	}, nil
}

// openWriter migrates the file under a lock, so that two first openers do not
// meet, and starts the writer.
func (s *Store) openWriter() error {
	guard, err := acquire(filepath.Join(s.dir, "open.lock"))
	if err != nil {
		return err
	}
	defer guard.release()
	if _, err := os.Stat(databasePath(s.dir)); err == nil { // maybe not ours: look before we set it up
		if _, err := inspect(s.readers, s.dir); err != nil {
			return err
		}
	}
	conn, err := openForWriting(s.dir)
	if err != nil {
		return err
	}
	if err := migrate(conn, s.dir, schemas); err != nil {
		return errors.Join(err, conn.close())
	}
	if s.process, err = newName(); err != nil {
		return errors.Join(err, conn.close())
	}
	if s.alive, err = acquire(s.processLock(s.process)); err != nil {
		return errors.Join(err, conn.close())
	}
	s.writer = startWriter(conn, s.dir)
	return nil
}

func (s *Store) processLock(name string) string {
	return filepath.Join(s.dir, "processes", name+".lock")
}

// newName returns 16 random hex digits.
func newName() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// Dir returns the directory as it was given to Open.
func (s *Store) Dir() string { return s.dir }

// Flush waits until all that was queued is durable, or says why it is not.
func (s *Store) Flush(ctx context.Context) error {
	if s.writer == nil {
		return nil
	}
	return s.writer.flush(ctx)
}

// Err returns the error after which the writer gave up, such as a full disk: what is
// queued from then on is dropped and everything durable fails with it. It is nil
// while all is well. Failed is closed when it happens.
func (s *Store) Err() error {
	if s.writer == nil {
		return nil
	}
	return s.writer.failure()
}

// Failed returns a channel that is closed when Err stops being nil. It is nil for
// a store opened for reading.
func (s *Store) Failed() <-chan struct{} {
	if s.writer == nil {
		return nil
	}
	return s.writer.failed
}

// Close makes durable what was queued and lets go of everything; runs that
// were not ended count as interrupted. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	locks := s.runs
	s.runs = map[string]*lock{}
	s.mu.Unlock()

	// The writer's connection is the last to close: only it can fold the log
	// (store.db-wal) into the file.
	err := errors.Join(s.queries.Close(), s.readers.Close())
	if s.writer != nil {
		err = errors.Join(err, s.writer.close())
	}
	for _, l := range locks {
		l.release()
	}
	if s.alive != nil {
		s.alive.remove()
	}
	return err
}
