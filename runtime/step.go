package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// Spec is everything that can change the result of a step, and where the step
// stands.
type Spec struct {
	Name    string          // of the built-in: "lora.train"
	Version int             // raised when the meaning of its code changes
	Args    json.RawMessage // canonical; artifacts and files appear as digests
	Inputs  []cas.Digest    // the artifacts among Args, for lineage; not hashed
	Needs   Resource        // a slot held while working; not hashed
	Cell    int             // in the notebook, from 1; not hashed
	Line    int             // in the notebook, from 1; not hashed
}

// Fingerprint returns the name under which the result is remembered.
func (s Spec) Fingerprint() cas.Digest {
	h := sha256.New()
	fmt.Fprintf(h, "starbook step\n%s\n%d\n", s.Name, s.Version)
	h.Write(s.Args)
	return cas.Digest(h.Sum(nil))
}

// Artifact is what a step made.
type Artifact struct {
	Kind    string          // "dataset", "model", "adapter", "scores", "value"
	Digest  cas.Digest      // of a blob, or of a tree of blobs
	Refs    []cas.Digest    // further blobs that it needs; Do adds the files of a PutTree
	Summary json.RawMessage // small facts to show: {"rows": 500}
	Step    cas.Digest      // the fingerprint that made it; Do sets it
}

// Work does what a step is for.
type Work func(context.Context, *Step) (Artifact, error)

// StepError says which step failed.
type StepError struct {
	Name string
	Key  cas.Digest
	Err  error
}

// Error implements error.
func (e *StepError) Error() string {
	return fmt.Sprintf("%s (step %s): %v", e.Name, e.Key.Short(), e.Err)
}

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// Step is a Spec at work. Its methods are safe for use by many goroutines
// until the work returns.
type Step struct {
	run     *Run
	key     cas.Digest
	spec    Spec
	scratch string

	mu     sync.Mutex // guards what follows
	refs   []cas.Digest
	cost   float64
	device string
	told   time.Time // when the store last heard of progress
}

// Key returns the step's fingerprint.
func (s *Step) Key() cas.Digest { return s.key }

// Store returns the store, for the journal of paid answers and for reading artifacts.
func (s *Step) Store() *store.Store { return s.run.Store }

// Secret makes sure that value appears in no event and no record of the run.
func (s *Step) Secret(value string) { s.run.Secret(value) }

// Scratch returns a directory that outlives a kill, so that work can go on
// where it was. It goes away when the step is done.
func (s *Step) Scratch() string { return s.scratch }

// Create begins a blob.
func (s *Step) Create() (*cas.Writer, error) { return s.run.Store.Blobs.Create() }

// Put stores b as a blob.
func (s *Step) Put(b []byte) (cas.Digest, error) { return s.run.Store.Blobs.Put(b) }

// PutTree stores a directory of blobs that exist, and keeps them with the step.
func (s *Step) PutTree(t cas.Tree) (cas.Digest, error) {
	g, err := s.run.Store.Blobs.PutTree(t)
	if err != nil {
		return cas.Digest{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range t {
		s.refs = append(s.refs, e.Digest)
	}
	return g, nil
}

// Metric adds the point (x, v) to the series called name, and shows it.
func (s *Step) Metric(name string, x int64, v float64) {
	s.run.Store.Point(s.key, name, x, v)
	s.Show(name, x, v)
}

// Show tells whoever is watching a number that is not kept, because it is no
// function of the step's Spec: a speed.
func (s *Step) Show(name string, x int64, v float64) {
	if s.run.Sink != nil {
		s.run.Sink.Emit(event.Event{Run: s.run.ID, Step: s.key.String(), Time: time.Now(), Kind: event.Metric, Name: name, X: x, Value: v})
	}
}

// DropPoints removes the points with X >= from, before work goes on from a checkpoint.
func (s *Step) DropPoints(from int64) error { return s.run.Store.DropPoints(s.key, from) }

// progressEvery is how often the store hears how far a step is.
const progressEvery = time.Second

// Progress says how much is done, for whoever is watching.
func (s *Step) Progress(done, total int64, text string) {
	s.mu.Lock()
	due := time.Since(s.told) >= progressEvery
	if due {
		s.told = time.Now()
	}
	s.mu.Unlock()
	if due {
		_ = s.run.Store.SetProgress(s.key, store.Progress{Done: done, Total: total, Text: s.run.redact(text)}) // a page without a bar is no failure
	}
	s.emit(event.Event{Kind: event.Progress, X: done, Value: float64(total), Text: text})
}

// Log keeps a line that explains what the step decided.
func (s *Step) Log(text string) { s.emit(event.Event{Kind: event.Log, Text: text}) }

// Warn says what is wrong, and what to do.
func (s *Step) Warn(text string) { s.emit(event.Event{Kind: event.Warn, Text: text}) }

// Samples stores graded answers; a second one with the same index replaces the first.
func (s *Step) Samples(rows []store.Sample) error { return s.run.Store.PutSamples(s.key, rows) }

// Cost adds US dollars to what the step has cost.
func (s *Step) Cost(usd float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cost += usd
}

// Device records the kind of device that the result came from.
func (s *Step) Device(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.device = kind
}

func (s *Step) emit(e event.Event) { s.run.emitStep(s.key, s.spec, e) }

// guard runs work and turns a panic, which is our mistake, into an error, so
// that the run is closed properly and a sweep loses one point only.
func (s *Step) guard(ctx context.Context, work Work) (art Artifact, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			err = fmt.Errorf("internal error, please report it: %v", p)
		}
	}()
	return work(ctx, s)
}
