package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// Shared is work that several steps have in common: a directory that stays when they
// are done, and series, under a fingerprint of its own.
type Shared struct {
	Dir   string
	key   cas.Digest
	store *store.Store
}

// Share takes the lock of what all steps of this name and version share whose arguments,
// less some, are args. It waits for whoever is at it, here or in another process, so that
// the one who waits finds the work done. A step that is to be done afresh finds nothing.
func (s *Step) Share(ctx context.Context, what string, args json.RawMessage) (shared *Shared, unlock func(), err error) {
	key := sharedKey(s.spec, what, args)
	dir, unlock, err := s.run.Store.LockStep(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if s.run.renew(s.spec.Name, key) {
		if err = os.RemoveAll(dir); err == nil {
			err = os.Mkdir(dir, 0o755)
		}
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, store.KeepFile), nil, 0o644)
	}
	if err != nil {
		unlock()
		return nil, nil, fmt.Errorf("what steps share: %w", err)
	}
	return &Shared{Dir: dir, key: key, store: s.run.Store}, unlock, nil
}

func sharedKey(spec Spec, what string, args json.RawMessage) cas.Digest {
	return Spec{Name: spec.Name + " " + what, Version: spec.Version, Args: args}.Fingerprint()
}

// Sharing is where what a step would share lies, for a plan; "" if it is to be done afresh.
func (r *Run) Sharing(spec Spec, what string, args json.RawMessage) (dir string) {
	if r.isFresh(spec.Name) {
		return ""
	}
	return r.Store.ScratchDir(sharedKey(spec, what, args))
}

// Once returns what several steps need, and what is itself a function of a Spec: found, or
// worked while the others wait, here or in other processes. It is kept as the result of a
// step, but in no run's list of steps: whether a run asks for it depends on what else the
// store holds.
func (s *Step) Once(ctx context.Context, spec Spec, work func(context.Context) (Artifact, error)) (Artifact, error) {
	r, key := s.run, spec.Fingerprint()
	renew := r.renew(spec.Name, key)
	if !renew {
		if st, ok, err := r.lookUp(key); ok || err != nil {
			return made(st), err
		}
	}
	_, unlock, err := r.Store.LockStep(ctx, key)
	if err != nil {
		return Artifact{}, err
	}
	defer unlock()
	if !renew { // another process may have made it while we waited
		if st, ok, err := r.lookUp(key); ok || err != nil {
			return made(st), err
		}
	}
	if err := r.clear(key); err != nil {
		return Artifact{}, err
	}
	begun := time.Now()
	art, err := work(ctx)
	if err == nil {
		err = r.commit(&art, &Step{run: r, key: key, spec: spec}, time.Since(begun).Seconds())
	}
	return art, errors.Join(err, r.Store.RemoveScratch(key))
}

// renew reports whether what is shared under key is to be forgotten: once in a run that
// does its steps afresh.
func (r *Run) renew(name string, key cas.Digest) bool {
	if !r.isFresh(name) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.renewed[key] {
		return false
	}
	if r.renewed == nil {
		r.renewed = map[cas.Digest]bool{}
	}
	r.renewed[key] = true
	return true
}

// Metric adds the point (x, v) to the shared series called name.
func (s *Shared) Metric(name string, x int64, v float64) { s.store.Point(s.key, name, x, v) }

// DropPoints removes the shared points with X >= from.
func (s *Shared) DropPoints(from int64) error { return s.store.DropPoints(s.key, from) }

// Points returns a shared series.
func (s *Shared) Points(name string) ([]store.Point, error) { return s.store.Points(s.key, name) }

// Series returns the names of the shared series.
func (s *Shared) Series() ([]string, error) {
	list, err := s.store.Series(s.key)
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name
	}
	return names, err
}
