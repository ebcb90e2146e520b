// Package store remembers runs, steps, metrics, samples and paid answers in
// one SQLite file beside a directory of blobs.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

var (
	ErrNotFound  = errors.New("not found")
	ErrAmbiguous = errors.New("more than one matches")
)

// Store is an open .starbook directory: DIR/store.db, DIR/blobs, DIR/scratch.
// It is also an event.Sink.
type Store struct{ Blobs *cas.Dir }

func Open(dir string) (*Store, error)            { panic("skeleton") } // creates and migrates
func OpenReadOnly(dir string) (*Store, error)    { panic("skeleton") }
func (s *Store) Dir() string                     { panic("skeleton") }
func (s *Store) Close() error                    { panic("skeleton") }
func (s *Store) Flush(ctx context.Context) error { panic("skeleton") } // all that was queued is durable, or why not

// Status of a run is computed: a run without an end whose process is gone is Interrupted.
type Status string

const (
	Running     Status = "running"
	Done        Status = "done"
	Failed      Status = "failed"
	Interrupted Status = "interrupted"
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
	GitCommit string            `json:"git_commit,omitempty"`
	GitDirty  cas.Digest        `json:"git_dirty,omitzero"` // blob of the diff against the commit
	Env       map[string]string `json:"env"`                // go, os, arch, cpu, device, host, starbook revision
}

func (s *Store) BeginRun(r Run) error { panic("skeleton") } // holds the liveness lock
func (s *Store) SetRunParams(id string, params json.RawMessage, libs []cas.Entry) error {
	panic("skeleton")
}
func (s *Store) EndRun(id string, st Status, exit int, msg string) error { panic("skeleton") }
func (s *Store) Run(ref string) (Run, error)                             { panic("skeleton") } // unique prefix, @latest, @best (highest summary score)
func (s *Store) Runs(limit int) ([]Run, error)                           { panic("skeleton") } // newest first; 0: all

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

func (s *Store) Step(key cas.Digest) (Step, error)         { panic("skeleton") } // ErrNotFound
func (s *Store) FindStep(prefix string) (Step, error)      { panic("skeleton") }
func (s *Store) PutStep(st Step) error                     { panic("skeleton") } // durable on return; flushes the step's points, samples first; a twin's row wins
func (s *Store) StepByOutput(out cas.Digest) (Step, error) { panic("skeleton") } // the oldest, for lineage

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

func (s *Store) PutUse(u Use) error             { panic("skeleton") } // upsert by run, seq
func (s *Store) Uses(run string) ([]Use, error) { panic("skeleton") }

func (s *Store) Emit(e event.Event)                                               { panic("skeleton") } // queued; Metric goes to the series of e.Step; Progress is dropped
func (s *Store) Events(run string, after int64, limit int) ([]event.Event, error) { panic("skeleton") }

// Point is one value of a series.
type Point struct {
	X int64   `json:"x"`
	V float64 `json:"v"`
}

// Bucket is a stretch of a long series, for drawing.
type Bucket struct {
	X0, X1         int64
	N              int64
	Min, Max, Last float64
}

// Series is the named curve of a step. It belongs to the step, so that a
// cached step brings its curves to every run that uses it.
type Series struct {
	Step cas.Digest `json:"step"`
	Name string     `json:"name"`
	N    int64      `json:"n"`
	Last float64    `json:"last"`
	Min  float64    `json:"min"`
	MinX int64      `json:"min_x"`
	Max  float64    `json:"max"`
	MaxX int64      `json:"max_x"`
}

func (s *Store) Point(step cas.Digest, name string, x int64, v float64)          { panic("skeleton") } // queued, group-committed; a second value at x replaces the first
func (s *Store) Series(step cas.Digest) ([]Series, error)                        { panic("skeleton") } // sorted by name
func (s *Store) Points(step cas.Digest, name string) ([]Point, error)            { panic("skeleton") } // sorted by X
func (s *Store) Buckets(step cas.Digest, name string, max int) ([]Bucket, error) { panic("skeleton") }
func (s *Store) DropPoints(step cas.Digest, from int64) error                    { panic("skeleton") } // points with X >= from of an unfinished step, before it goes on from a checkpoint

// Sample is one graded answer of an evaluation.
type Sample struct {
	Index   int     `json:"index"`
	ID      string  `json:"id"`
	Parent  string  `json:"parent,omitempty"`
	Group   string  `json:"group,omitempty"`
	Prompt  string  `json:"prompt"`
	Want    string  `json:"want"`
	Answer  string  `json:"answer"`
	Outcome string  `json:"outcome"` // pass, fail, truncated, empty, unparsable, refused, unscored
	Score   float64 `json:"score"`
	Note    string  `json:"note,omitempty"` // what the grader said
	Tokens  int     `json:"tokens"`
	LogProb float64 `json:"logprob"` // mean per token
}

func (s *Store) PutSamples(step cas.Digest, rows []Sample) error { panic("skeleton") } // upsert by index
func (s *Store) Samples(step cas.Digest) ([]Sample, error)       { panic("skeleton") } // by index

// Ask is a request that may cost money, journalled before it is sent.
type Ask struct {
	Key      cas.Digest // of the canonical request
	Provider string     // "openai"
	Model    string
	BaseURL  string     // scheme://host/path without userinfo or query
	Request  cas.Digest // blob of the canonical request
}

// Answer is a reply as it came.
type Answer struct {
	Key                                                      cas.Digest
	Attempt                                                  int64
	Status                                                   int             // HTTP
	Raw                                                      []byte          // body as received
	Headers                                                  json.RawMessage // the ones worth keeping
	Finish                                                   string
	InputTokens, CachedTokens, OutputTokens, ReasoningTokens int64
	CostUSD                                                  float64
	Created                                                  time.Time
	Error                                                    string // why the answer cannot be used; "" if it can
}

func (s *Store) BeginAsk(a Ask) (attempt int64, err error)        { panic("skeleton") } // durable (group commit) on return
func (s *Store) PutAnswer(a Answer) error                         { panic("skeleton") } // durable (group commit) on return
func (s *Store) Answer(key cas.Digest) (Answer, error)            { panic("skeleton") } // the usable one; ErrNotFound
func (s *Store) InDoubt() ([]Ask, error)                          { panic("skeleton") } // begun, never answered, process gone
func (s *Store) Spent(keys []cas.Digest) (usd float64, err error) { panic("skeleton") }

// FileDigest answers from the memo if path has this size and modification time.
func (s *Store) FileDigest(path string, size int64, mod time.Time) (cas.Digest, bool, error) {
	panic("skeleton")
}
func (s *Store) PutFileDigest(path string, size int64, mod time.Time, g cas.Digest) error {
	panic("skeleton")
}

// Rows is the answer to a read-only query.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

func (s *Store) Query(ctx context.Context, sql string, args ...any) (Rows, error) { panic("skeleton") }

// Garbage is what GC would remove or removed.
type Garbage struct {
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
	Scratch int   `json:"scratch"`
}

// GC finds blobs that no step, run or answer names (and that are older than a
// day), and scratch of steps that are done; delete removes them.
func (s *Store) GC(delete bool) (Garbage, error) { panic("skeleton") }

// LockStep takes the lock of a step's scratch directory across processes and
// returns the directory; unlock gives the lock back. It waits for another
// process at the same step.
func (s *Store) LockStep(ctx context.Context, key cas.Digest) (scratch string, unlock func(), err error) {
	panic("skeleton")
}

// RemoveScratch deletes the scratch of a finished step.
func (s *Store) RemoveScratch(key cas.Digest) error { panic("skeleton") }
