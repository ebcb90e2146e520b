package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

// Bundle is runs with all that is known of them, as they go from one store to another. What a
// teacher was paid for stays where it is; the datasets made of it are artifacts.
type Bundle struct {
	Runs  []BundledRun  `json:"runs"`  // in order of beginning
	Steps []BundledStep `json:"steps"` // that they used, sorted by fingerprint
}

// BundledRun is a run with what happened in it.
type BundledRun struct {
	Run
	Uses   []Use         `json:"uses"`
	Events []event.Event `json:"events"` // without IDs, which are a store's own
	Notes  []Note        `json:"notes,omitempty"`
}

// BundledStep is a finished step with its curves and answers.
type BundledStep struct {
	Step
	Curves  map[string][]Point `json:"curves,omitempty"`
	Samples []Sample           `json:"samples,omitempty"`
}

// Bundle collects runs, which must have ended.
func (s *Store) Bundle(ids []string) (*Bundle, error) {
	b := &Bundle{}
	keys := map[cas.Digest]bool{}
	for _, id := range ids {
		r, err := s.Run(id)
		if err != nil {
			return nil, err
		}
		if r.Status == Running {
			return nil, fmt.Errorf("store: run %s has not ended", r.ID)
		}
		x := BundledRun{Run: r}
		if x.Uses, err = s.Uses(r.ID); err != nil {
			return nil, err
		}
		if x.Events, err = s.Events(r.ID, 0, 0); err != nil {
			return nil, err
		}
		for i := range x.Events {
			x.Events[i].ID = 0
		}
		if x.Notes, err = s.Notes(r.ID); err != nil {
			return nil, err
		}
		for _, u := range x.Uses {
			keys[u.Key] = true
		}
		b.Runs = append(b.Runs, x)
	}
	return b, s.bundleSteps(b, keys)
}

func (s *Store) bundleSteps(b *Bundle, keys map[cas.Digest]bool) error {
	for key := range keys {
		st, err := s.Step(key)
		if errors.Is(err, ErrNotFound) {
			continue // it failed
		}
		if err != nil {
			return err
		}
		x := BundledStep{Step: st, Curves: map[string][]Point{}}
		curves, err := s.Series(key)
		if err != nil {
			return err
		}
		for _, c := range curves {
			if x.Curves[c.Name], err = s.Points(key, c.Name); err != nil {
				return err
			}
		}
		if x.Samples, err = s.Samples(key); err != nil {
			return err
		}
		b.Steps = append(b.Steps, x)
	}
	slices.SortFunc(b.Steps, func(x, y BundledStep) int { return slices.Compare(x.Key[:], y.Key[:]) })
	return nil
}

// Blobs returns the digests of the bytes that belong to the bundle, sorted. Those of an artifact that
// was given up are not there.
func (b *Bundle) Blobs() []cas.Digest {
	var all []cas.Digest
	for _, r := range b.Runs {
		all = append(all, libraryBlobs(r.Libraries)...)
		all = append(all, r.Source, r.GitDirty)
	}
	for _, st := range b.Steps {
		all = append(all, st.Output)
		all = append(all, st.Refs...)
	}
	slices.SortFunc(all, func(x, y cas.Digest) int { return slices.Compare(x[:], y[:]) })
	return slices.DeleteFunc(slices.Compact(all), cas.Digest.IsZero)
}

// Adopted is what a bundle brought that was not there.
type Adopted struct {
	Runs  int `json:"runs"`
	Steps int `json:"steps"`
	Blobs int `json:"blobs"`
}

// Adopt makes the union of the store and a bundle, whose blobs have been put before. What is
// there already stays as it is, so that adopting twice changes nothing.
func (s *Store) Adopt(b *Bundle) (a Adopted, err error) {
	if s.writer == nil {
		return a, errReadOnly
	}
	for _, st := range b.Steps {
		switch _, err := s.Step(st.Key); {
		case err == nil:
			continue
		case !errors.Is(err, ErrNotFound):
			return a, err
		}
		if !s.wholeStep(st.Step) {
			continue // its bytes were given up where it comes from: it is no result
		}
		if err := s.DropPoints(st.Key, math.MinInt64); err != nil { // of one that is half done here
			return a, err
		}
		for name, points := range st.Curves {
			for _, p := range points {
				s.Point(st.Key, name, p.X, p.V)
			}
		}
		if err := s.PutSamples(st.Key, st.Samples); err != nil {
			return a, err
		}
		if err := s.PutStep(st.Step); err != nil {
			return a, err
		}
		a.Steps++
	}
	for _, r := range b.Runs {
		fresh, err := s.adoptRun(r)
		if err != nil {
			return a, err
		}
		if fresh {
			a.Runs++
		}
	}
	return a, nil
}

// wholeStep says whether all bytes of a step are there.
func (s *Store) wholeStep(st Step) bool {
	return s.haveBlobs(append([]cas.Digest{st.Output}, st.Refs...)...) == nil
}

// adoptRun adds a run that is not there, and what people said about one that is.
func (s *Store) adoptRun(r BundledRun) (fresh bool, err error) {
	if err := s.haveBlobs(append(libraryBlobs(r.Libraries), r.Source, r.GitDirty)...); err != nil {
		return false, fmt.Errorf("store: run %s: %w", r.ID, err)
	}
	err = s.writer.now(func(c *conn) error {
		res, err := c.exec(`INSERT INTO run (id, notebook, source, libraries, params, argv, started, ended, status, exit, error, pruned, sweep, trial, objective, minimize, git_commit, git_dirty, env)
			VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			r.ID, r.Notebook, digest(r.Source), encoded(r.Libraries), raw(r.Params), encoded(r.Argv), instant(r.Started), instant(r.Ended),
			stored(r.Status), r.Exit, text(r.Error), text(r.Pruned), text(r.Sweep), r.Trial, text(r.Objective.Fact), r.Objective.minimize(),
			text(r.GitCommit), digest(r.GitDirty), encoded(r.Env))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		fresh = n > 0
		for _, t := range r.Tags {
			if err == nil {
				_, err = c.exec("INSERT INTO tag (run, name, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", r.ID, t, instant(r.Started))
			}
		}
		for _, t := range r.Notes {
			if err == nil {
				_, err = c.exec("INSERT INTO note (run, created, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", r.ID, instant(t.Created), t.Text)
			}
		}
		if err != nil || !fresh {
			return err
		}
		for _, u := range r.Uses {
			if err := u.put(c); err != nil {
				return err
			}
		}
		for _, e := range r.Events {
			if err := putEvent(c, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("store: adopting run %s: %w", r.ID, err)
	}
	return fresh, nil
}
