package store

import (
	"encoding/json"
	"fmt"
	"time"

	"starbook/runtime/cas"
)

// Step is a finished step: what it was asked, what came out.
type Step struct {
	Key     cas.Digest      `json:"key"` // fingerprint
	Name    string          `json:"name"`
	Version int             `json:"version"`
	Args    json.RawMessage `json:"args"`   // canonical
	Inputs  []cas.Digest    `json:"inputs"` // artifacts among the args
	Kind    string          `json:"kind"`   // of the output: "dataset", "model", "adapter", "scores", "value"
	Output  cas.Digest      `json:"output"`
	Refs    []cas.Digest    `json:"refs"`    // further blobs that the output needs (files of a tree)
	Summary json.RawMessage `json:"summary"` // small facts to show: {"rows": 500}
	Seconds float64         `json:"seconds"`
	CostUSD float64         `json:"cost_usd"`
	Device  string          `json:"device,omitempty"` // kind of device it ran on
	Created time.Time       `json:"created"`
}

const stepColumns = "key, name, version, args, inputs, kind, output, refs, summary, seconds, cost_usd, device, created"

func (st *Step) dest() []any {
	return []any{
		hash{&st.Key},
		&st.Name, &st.Version,
		rawJSON{&st.Args},
		decoded{&st.Inputs},
		&st.Kind,
		hash{&st.Output},
		decoded{&st.Refs},
		rawJSON{&st.Summary},
		&st.Seconds, &st.CostUSD,
		words{&st.Device},
		moment{&st.Created},
	}
}

// PutStep makes a finished step durable, with its points and samples, which it commits
// in the same transaction or before. Its output and refs must be there as blobs. If
// the step is there already, because a twin was faster, the twin's row stays.
func (s *Store) PutStep(st Step) error {
	if s.writer == nil {
		return errReadOnly
	}
	if err := s.haveBlobs(append([]cas.Digest{st.Output}, st.Refs...)...); err != nil {
		return fmt.Errorf("store: step %s: %w", st.Key.Short(), err)
	}
	return s.writer.now(func(c *conn) error {
		if err := s.writer.curves.finish(c, st.Key); err != nil {
			return err
		}
		_, err := c.exec("INSERT INTO step ("+stepColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
			st.Key.String(), st.Name, st.Version, raw(st.Args), encoded(st.Inputs), st.Kind, digest(st.Output),
			encoded(st.Refs), raw(st.Summary), st.Seconds, st.CostUSD, text(st.Device), instant(st.Created))
		if err != nil {
			return fmt.Errorf("store: step %s: %w", st.Key.Short(), err)
		}
		return nil
	})
}

// Step returns the finished step with this fingerprint; the error wraps ErrNotFound if
// there is none.
func (s *Store) Step(key cas.Digest) (Step, error) {
	var st Step
	err := s.readers.QueryRow("SELECT "+stepColumns+" FROM step WHERE key = ?", key.String()).Scan(st.dest()...)
	return st, noRows(err, "step %s", key.Short())
}

// FindStep finds a finished step by a unique prefix of its fingerprint.
func (s *Store) FindStep(prefix string) (Step, error) {
	if !isHexPrefix(prefix) {
		return Step{}, fmt.Errorf("store: step %q: %w: want the hex digits that starbook show lists", prefix, ErrNotFound)
	}
	list, err := lookup(s, (*Step).dest, "SELECT "+stepColumns+" FROM step WHERE key >= ? AND key < ? ORDER BY key LIMIT 3", prefix, prefix+"g")
	if err != nil {
		return Step{}, err
	}
	i, err := only(prefix, list, func(st Step) string { return st.Key.String() })
	if err != nil {
		return Step{}, fmt.Errorf("store: step %w", err)
	}
	return list[i], nil
}

// StepByOutput returns the step that was the first to put out this artifact, for
// lineage; the error wraps ErrNotFound if none did.
func (s *Store) StepByOutput(out cas.Digest) (Step, error) {
	var st Step
	err := s.readers.QueryRow("SELECT "+stepColumns+" FROM step WHERE output = ? ORDER BY seq LIMIT 1", out.String()).Scan(st.dest()...)
	return st, noRows(err, "step that made %s", out.Short())
}

// Use is a step as it appeared in a run.
type Use struct {
	Run     string     `json:"run"`
	Seq     int        `json:"seq"` // order of first call in the run, from 1
	Key     cas.Digest `json:"key"`
	Hit     bool       `json:"hit"`
	Failed  string     `json:"failed,omitempty"` // the error
	Seconds float64    `json:"seconds"`
	Cell    int        `json:"cell"`
	Line    int        `json:"line"`
	Name    string     `json:"name"`
}

// PutUse queues a use; another with the same run and seq replaces it. It does not wait
// for the disk, so that a hit stays cheap: running again would write it again.
func (s *Store) PutUse(u Use) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.later(u.put)
}

func (u *Use) put(c *conn) error {
	_, err := c.exec("INSERT OR REPLACE INTO run_step (run, seq, key, name, hit, failed, seconds, cell, line) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		u.Run, u.Seq, u.Key.String(), u.Name, u.Hit, text(u.Failed), u.Seconds, u.Cell, u.Line)
	return err
}

// Uses returns the uses of a run by seq.
func (s *Store) Uses(run string) ([]Use, error) {
	s.settle()
	return lookup(s, (*Use).dest, "SELECT "+useColumns+" FROM run_step AS u WHERE u.run = ? ORDER BY u.seq", run)
}

const useColumns = "u.run, u.seq, u.key, u.name, u.hit, u.failed, u.seconds, u.cell, u.line"

func (u *Use) dest() []any {
	return []any{&u.Run, &u.Seq, hash{&u.Key}, &u.Name, &u.Hit, words{&u.Failed}, &u.Seconds, &u.Cell, &u.Line}
}
