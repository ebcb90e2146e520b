package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRunning is wrapped by errors about a run that nobody is at.
var ErrNotRunning = errors.New("not running")

// RequestStop asks whoever is at a run to stop it at the next safe point, as one Ctrl-C
// would. The request is a file beside the run's lock, so that a store opened for reading
// can leave it; it goes away when the run ends.
func (s *Store) RequestStop(id string) error {
	r, err := s.Run(id)
	if err != nil {
		return err
	}
	if r.Status != Running {
		return fmt.Errorf("store: run %s: %w: it is %s", r.ID, ErrNotRunning, r.Status)
	}
	if err := os.WriteFile(s.stopFile(r.ID), nil, 0o644); err != nil {
		return fmt.Errorf("store: run %s: %w", r.ID, err)
	}
	return nil
}

// StopRequested reports whether somebody asked that the run stop.
func (s *Store) StopRequested(id string) bool {
	_, err := os.Stat(s.stopFile(id))
	return !errors.Is(err, fs.ErrNotExist)
}

func (s *Store) stopFile(id string) string { return filepath.Join(s.dir, "runs", id+".stop") }
