package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"starbook/runtime/cas"
)

// youth is how long a blob is left alone that nothing names: its row may be to come.
const youth = 24 * time.Hour

// Garbage is what GC would remove or removed.
type Garbage struct {
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
	Scratch int   `json:"scratch"` // directories

	Trajectories    int   `json:"trajectories"` // kept for trainings with another patience; see GCOptions
	TrajectoryBytes int64 `json:"trajectory_bytes"`
}

// GCOptions says what is garbage, and whether to remove it.
type GCOptions struct {
	Age          time.Duration // of blobs that nothing names; 0: a day
	Trajectories bool          // remove also what trainings keep for another patience
	Delete       bool          // remove, do not just count
}

// GC finds blobs that no step, run or answer names, scratch of steps that are done, and
// trajectories. Whatever its age, a blob put since the oldest process at work here began
// is left alone: a step of many hours may not have come to its row yet.
func (s *Store) GC(o GCOptions) (Garbage, error) {
	age, delete := o.Age, o.Delete
	if age == 0 {
		age = youth
	}
	if s.writer == nil && delete {
		return Garbage{}, errReadOnly
	}
	before, err := s.quietSince(time.Now().Add(-age))
	if err != nil {
		return Garbage{}, err
	}
	var g Garbage
	if err := s.collectBlobs(&g, before, delete); err != nil {
		return g, err
	}
	return g, s.collectScratch(&g, o.Trajectories, delete)
}

// quietSince returns the earlier of before and the moment at which the oldest other
// process that is at work here opened the store. On the way it removes
// locks that the dead have left.
func (s *Store) quietSince(before time.Time) (time.Time, error) {
	for _, sub := range []string{"processes", "runs"} {
		list, err := os.ReadDir(filepath.Join(s.dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return before, fmt.Errorf("store: gc: %w", err)
		}
		for _, e := range list {
			path := filepath.Join(s.dir, sub, e.Name())
			fi, err := e.Info()
			if err != nil || path == s.processLock(s.process) {
				continue
			}
			if isHeld(path) {
				if fi.ModTime().Before(before) {
					before = fi.ModTime()
				}
			} else if l, err := tryAcquire(path); err == nil && l != nil && s.writer != nil {
				l.remove()
			}
		}
	}
	return before, nil
}

func (s *Store) collectBlobs(g *Garbage, before time.Time, delete bool) error {
	roots, err := s.roots()
	if err != nil {
		return err
	}
	err = s.Blobs.Each(func(d cas.Digest, size int64, mod time.Time) error {
		if roots[d] || mod.After(before) {
			return nil
		}
		if delete {
			if gone, err := s.Blobs.RemoveUnused(d, before); err != nil || !gone {
				return err
			}
		}
		g.Blobs, g.Bytes = g.Blobs+1, g.Bytes+size
		return nil
	})
	if err != nil || !delete {
		return err
	}
	_, bytes, err := s.Blobs.Sweep(before)
	g.Bytes += bytes
	return err
}

// named lists the digests of the blobs that must be there, because a row names them.
const named = `
	SELECT output FROM step WHERE collected IS NULL UNION SELECT value FROM step, json_each(step.refs) WHERE collected IS NULL
	UNION ` + namedByRuns

// namedByRuns is the part of it that no step names.
const namedByRuns = `
	SELECT source FROM run UNION SELECT git_dirty FROM run
	UNION SELECT json_extract(value, '$.digest') FROM run, json_each(run.libraries)
	UNION SELECT body_blob FROM request UNION SELECT body_blob FROM answer`

// kept adds those that need not be there, such as input files that were only
// read, but that stay if they are.
const kept = named + " UNION SELECT value FROM step, json_each(step.inputs) WHERE collected IS NULL"

func (s *Store) roots() (map[cas.Digest]bool, error) {
	list, err := lookup(s, func(g *cas.Digest) []any { return []any{hash{g}} }, kept)
	if err != nil {
		return nil, err
	}
	roots := make(map[cas.Digest]bool, len(list))
	for _, g := range list {
		roots[g] = true
	}
	return roots, nil
}

// Check looks for damage: in the file, in the blobs that rows name, and, if deep, in
// the bytes of those blobs. It returns what it found in words.
func (s *Store) Check(deep bool) ([]string, error) {
	found, err := lookup(s, func(t *string) []any { return []any{t} }, "PRAGMA integrity_check")
	if err != nil {
		return nil, err
	}
	if slices.Equal(found, []string{"ok"}) {
		found = nil
	}
	orphans, err := lookup(s, func(t *string) []any { return []any{t} },
		"SELECT format('row %s of %s points to a row of %s that is not there', rowid, \"table\", parent) FROM pragma_foreign_key_check")
	if err != nil {
		return nil, err
	}
	found = append(found, orphans...)
	blobs, err := lookup(s, func(g *cas.Digest) []any { return []any{hash{g}} }, named+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	for _, g := range blobs {
		switch {
		case g.IsZero():
		case !s.Blobs.Has(g):
			found = append(found, fmt.Sprintf("blob %s is named by a row but not there", g))
		case deep:
			if err := s.Blobs.Verify(g); err != nil {
				found = append(found, err.Error())
			}
		}
	}
	return found, nil
}
