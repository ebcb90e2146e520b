package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"starbook/runtime/cas"
)

// Status of a run is computed: a run without an end whose process is gone is Interrupted.
type Status string

const (
	Running     Status = "running"     // somebody holds its lock
	Done        Status = "done"        // it came to its end
	Failed      Status = "failed"      // it ended with an error
	Interrupted Status = "interrupted" // it was stopped, or its process died
	Pruned      Status = "pruned"      // it was a trial of which its sweep had seen enough
)

// Run is one execution of one notebook.
type Run struct {
	ID        string            `json:"id"`                  // 8 hex digits, random
	Notebook  string            `json:"notebook"`            // path as given
	Source    cas.Digest        `json:"source"`              // blob of the notebook's text
	Libraries []cas.Entry       `json:"libraries,omitempty"` // loaded files
	Params    json.RawMessage   `json:"params"`              // {"name": {"value":…, "default":…, "doc":…}}
	Argv      []string          `json:"argv"`
	Started   time.Time         `json:"started"`
	Ended     time.Time         `json:"ended,omitzero"`
	Status    Status            `json:"status"`
	Exit      int               `json:"exit"`
	Error     string            `json:"error,omitempty"`
	Pruned    string            `json:"pruned,omitempty"` // why, of one that was
	Sweep     string            `json:"sweep,omitempty"`  // 8 hex digits, if it is a trial of one
	Trial     int               `json:"trial,omitempty"`  // from 1
	Objective Objective         `json:"objective,omitzero"`
	Tags      []string          `json:"tags,omitempty"` // sorted
	GitCommit string            `json:"git_commit,omitempty"`
	GitDirty  cas.Digest        `json:"git_dirty,omitzero"` // blob of the diff against the commit
	Env       map[string]string `json:"env"`                // go, os, arch, cpu, device, host, starbook revision
}

// BeginRun makes r durable and holds its liveness lock until EndRun, Close, or the end
// of the process. Its blobs must be there. Ended, Status, Exit and Error are not looked at.
func (s *Store) BeginRun(r Run) error {
	if s.writer == nil {
		return errReadOnly
	}
	if !isHexPrefix(r.ID) {
		return fmt.Errorf("store: run id %q: want hex digits", r.ID)
	}
	if err := s.haveBlobs(append(libraryBlobs(r.Libraries), r.Source, r.GitDirty)...); err != nil {
		return fmt.Errorf("store: run %s: %w", r.ID, err)
	}
	l, err := acquire(s.runLock(r.ID))
	if err != nil {
		return err
	}
	err = s.writer.now(func(c *conn) error {
		_, err := c.exec(`INSERT INTO run (id, notebook, source, libraries, params, argv, started, sweep, trial, objective, minimize, git_commit, git_dirty, env)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?)`,
			r.ID, r.Notebook, digest(r.Source), encoded(r.Libraries), raw(r.Params), encoded(r.Argv), instant(r.Started),
			text(r.Sweep), r.Trial, text(r.Objective.Fact), r.Objective.minimize(), text(r.GitCommit), digest(r.GitDirty), encoded(r.Env))
		if err != nil {
			return fmt.Errorf("store: begin run %s: %w", r.ID, err)
		}
		return nil
	})
	if err != nil {
		l.release()
		return err
	}
	s.mu.Lock()
	s.runs[r.ID] = l
	s.mu.Unlock()
	return nil
}

// SetRunParams records what is known only after the notebook was loaded: its params and
// the files that it loads.
func (s *Store) SetRunParams(id string, params json.RawMessage, libs []cas.Entry) error {
	if err := s.haveBlobs(libraryBlobs(libs)...); err != nil {
		return fmt.Errorf("store: run %s: %w", id, err)
	}
	return s.changeRun(id, "UPDATE run SET params = ?, libraries = ? WHERE id = ?", raw(params), encoded(libs), id)
}

// EndRun makes the end of a run durable, with all that was queued before, and lets
// its lock and any request to stop go. St is Done, Failed, Interrupted or Pruned.
func (s *Store) EndRun(id string, st Status, exit int, msg string) error {
	why := ""
	if st == Pruned {
		why, msg = msg, ""
	}
	err := s.changeRun(id, "UPDATE run SET ended = ?, status = ?, exit = ?, error = ?, pruned = ? WHERE id = ?",
		instant(time.Now()), stored(st), exit, text(msg), text(why), id)
	if e := os.Remove(s.stopFile(id)); e != nil && !errors.Is(e, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("store: run %s: %w", id, e))
	}
	s.mu.Lock()
	l := s.runs[id]
	delete(s.runs, id)
	s.mu.Unlock()
	if l != nil {
		l.remove()
	}
	return err
}

// stored is the word for a status in the table, which has none for Pruned: the column
// pruned says that.
func stored(st Status) string {
	if st == Pruned {
		st = Done
	}
	return string(st)
}

func (s *Store) changeRun(id, query string, args ...any) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		res, err := c.exec(query, args...)
		if err != nil {
			return fmt.Errorf("store: run %s: %w", id, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("store: run %s: %w", id, ErrNotFound))
		}
		return nil
	})
}

// Run finds a run by a unique prefix of its ID, by @latest (begun last), by @best (by what
// the last run that came to something looks for: its sweep's objective, or the highest
// "score" among the summaries of its steps; of equals the first), or by @ and a tag.
func (s *Store) Run(ref string) (Run, error) {
	var where string
	var args []any
	switch {
	case ref == "@latest":
		where = "ORDER BY seq DESC LIMIT 1"
	case ref == "@best":
		id, err := s.bestRun()
		if err != nil {
			return Run{}, err
		}
		where, args = "WHERE id = ?", []any{id}
	case strings.HasPrefix(ref, "@"):
		where = "JOIN tag ON tag.run = run.id WHERE tag.name = ? ORDER BY run.seq DESC LIMIT 1"
		args = []any{ref[1:]}
	case isHexPrefix(ref):
		where = "WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"
		args = []any{ref, ref + "g"}
	default:
		return Run{}, fmt.Errorf("store: run %q: %w: want hex digits, @latest, @best or @ and a tag", ref, ErrNotFound)
	}
	list, err := s.listRuns(where, args...)
	if err != nil {
		return Run{}, err
	}
	if len(list) == 0 && ref == "@latest" {
		return Run{}, fmt.Errorf("store: there is no run yet (%w): run a notebook first", ErrNotFound)
	}
	i, err := only(ref, list, func(r Run) string { return r.ID })
	if err != nil {
		return Run{}, fmt.Errorf("store: run %w", err)
	}
	return list[i], nil
}

// Runs returns the limit runs begun last, newest first; all if limit is 0.
func (s *Store) Runs(limit int) ([]Run, error) {
	if limit == 0 {
		limit = -1 // what SQLite takes for no limit
	}
	return s.listRuns("ORDER BY seq DESC LIMIT ?", limit)
}

// SweepRuns returns the runs of the sweep that ref means, a unique prefix of its id or
// @latest: of each trial the one begun last, in the order of the trials.
func (s *Store) SweepRuns(ref string) ([]Run, error) {
	where, args := "sweep >= ? AND sweep < ?", []any{ref, ref + "g"}
	switch {
	case ref == "@latest":
		where, args = "sweep = (SELECT sweep FROM run WHERE sweep IS NOT NULL ORDER BY seq DESC LIMIT 1)", nil
	case !isHexPrefix(ref):
		return nil, fmt.Errorf("store: sweep %q: %w: want hex digits or @latest", ref, ErrNotFound)
	}
	list, err := s.listRuns("WHERE seq IN (SELECT max(seq) FROM run WHERE "+where+" GROUP BY sweep, trial) ORDER BY sweep, trial", args...)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, fmt.Errorf("store: sweep %s: %w", ref, ErrNotFound)
	case list[0].Sweep != list[len(list)-1].Sweep:
		return nil, fmt.Errorf("store: sweep %s: %w: %s, %s, …", ref, ErrAmbiguous, list[0].Sweep, list[len(list)-1].Sweep)
	}
	return list, nil
}

func (s *Store) listRuns(where string, args ...any) ([]Run, error) {
	list, err := lookup(s, func(r *Run) []any {
		return []any{
			&r.ID, &r.Notebook,
			hash{&r.Source},
			decoded{&r.Libraries},
			rawJSON{&r.Params},
			decoded{&r.Argv},
			moment{&r.Started},
			moment{&r.Ended},
			words{(*string)(&r.Status)},
			&r.Exit,
			words{&r.Error},
			words{&r.Pruned},
			words{&r.Sweep},
			&r.Trial,
			words{&r.Objective.Fact},
			&r.Objective.Minimize,
			words{&r.GitCommit},
			hash{&r.GitDirty},
			decoded{&r.Env},
			decoded{&r.Tags},
		}
	}, `SELECT run.id, run.notebook, run.source, run.libraries, run.params, run.argv, run.started, run.ended, run.status,
		coalesce(run.exit, 0), run.error, run.pruned, run.sweep, coalesce(run.trial, 0), run.objective, coalesce(run.minimize, 0), run.git_commit, run.git_dirty, run.env,
		nullif((SELECT json_group_array(name) FROM (SELECT name FROM tag WHERE tag.run = run.id ORDER BY name)), '[]') FROM run `+where, args...)
	for i := range list {
		switch r := &list[i]; {
		case r.Pruned != "":
			r.Status = Pruned
		case r.Status == "":
			r.Status = Interrupted
			if isHeld(s.runLock(r.ID)) {
				r.Status = Running
			}
		}
	}
	return list, err
}

func (s *Store) runLock(id string) string { return filepath.Join(s.dir, "runs", id+".lock") }

func libraryBlobs(libs []cas.Entry) []cas.Digest {
	list := make([]cas.Digest, len(libs))
	for i, e := range libs {
		list[i] = e.Digest
	}
	return list
}

// haveBlobs refuses rows about blobs that are not there: bytes come first.
func (s *Store) haveBlobs(list ...cas.Digest) error {
	for _, g := range list {
		if !g.IsZero() && !s.Blobs.Has(g) {
			return fmt.Errorf("blob %s: %w: put it before the row that names it", g, cas.ErrNotFound)
		}
	}
	return nil
}

// isHexPrefix reports whether s may be the beginning of an id.
func isHexPrefix(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// only returns the index of the one element that ref means: the only one, or
// the one whose id is ref.
func only[T any](ref string, list []T, id func(T) string) (int, error) {
	switch len(list) {
	case 0:
		return 0, fmt.Errorf("%s: %w", ref, ErrNotFound)
	case 1:
		return 0, nil
	}
	var ids []string
	for i, t := range list {
		if id(t) == ref {
			return i, nil
		}
		ids = append(ids, id(t)[:min(len(id(t)), len(ref)+6)])
	}
	return 0, fmt.Errorf("%s: %w: %s, …", ref, ErrAmbiguous, strings.Join(ids, ", "))
}

// noRows turns SQL's word for nothing into ours.
func noRows(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: "+format+": %w", append(args, err)...)
}
