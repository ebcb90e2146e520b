package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// Limits on a script itself; what its steps do is not counted.
const (
	DefaultMaxSteps = 1_000_000_000 // operations of the interpreter, some half a minute
	DefaultMaxHeap  = 4 << 30       // bytes by which the heap may grow
)

// Run is one execution of one notebook. Set the exported fields, then call
// Exec once. It is safe for use by the many threads of a script.
type Run struct {
	ID        string // 8 hex digits; Exec makes one up if it is empty
	Notebook  *Notebook
	Store     *store.Store
	Sink      event.Sink        // sees every event after the store has; may be nil
	Pool      *Pool             // nil: every step runs at once
	Params    map[string]string // what -p said
	Fresh     []string          // names of steps to do again; "all" for every step
	Argv      []string
	Sweep     string          // 8 hex digits, if the run is a trial of a sweep
	Trial     int             // its number there, from 1
	Objective store.Objective // of the sweep
	MaxSteps  uint64          // 0: DefaultMaxSteps
	MaxHeap   uint64          // 0: DefaultMaxHeap; best effort, looked at ten times a second

	working atomic.Int64 // steps at work
	plan    *Plan        // nil: the run works

	mu      sync.Mutex // guards what follows
	seq     int
	calls   map[cas.Digest]*call
	renewed map[cas.Digest]bool // what was shared and has been forgotten
	params  params
	bars    struct{ all, failed int }
	secrets []string
	files   map[string]*syntax.File // resolved, by the name positions have
	sources map[string][]byte
	libs    []cas.Entry
}

// local is the key of the one thread-local: a *scope.
const local = "starbook"

// scope ties a thread to what it runs for.
type scope struct {
	run        *Run
	ctx        context.Context
	cell, line int // where the thread was forked; 0 on the main thread
}

// From returns the run that a thread works for and the context of its work.
// Functions that a built-in calls for every row have neither.
func From(t *starlark.Thread) (*Run, context.Context, error) {
	if s, ok := t.Local(local).(*scope); ok {
		return s.run, s.ctx, nil
	}
	return nil, nil, errors.New("not possible here: call it from the notebook, and pass its result in")
}

// Exec executes the notebook, to its end or to a Finished, and closes the record
// of the run, whatever happens. The error is nil, a *ScriptError, or wraps ErrBar,
// ErrInterrupted, ErrUsage or a *Pruned; ExitCode tells them apart.
func (r *Run) Exec(ctx context.Context, predeclared starlark.StringDict) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	ctx, stop := r.whileStored(ctx)
	defer stop()
	ctx, stop = r.whileWanted(ctx)
	defer stop()
	err := r.finished(r.script(ctx, predeclared))
	if err == nil {
		err = r.paramsKnown()
	}
	if err == nil && r.bars.failed > 0 {
		err = fmt.Errorf("%w (%d of %d)", ErrBar, r.bars.failed, r.bars.all)
	}
	if end := r.end(err); end != nil {
		return errors.Join(err, end)
	}
	return err
}

// finished is err, or nil if a built-in ended the notebook early. Then it says so.
func (r *Run) finished(err error) error {
	var f *Finished
	var at *ScriptError
	if !errors.As(err, &f) || !errors.As(err, &at) {
		return err
	}
	r.emit(event.Event{Kind: event.Print, Text: f.Text, Cell: at.Cell, Line: at.Line})
	return nil
}

// prepare makes what every execution needs, be it for a plan.
func (r *Run) prepare() {
	r.calls = map[cas.Digest]*call{}
	r.files = map[string]*syntax.File{}
	r.sources = map[string][]byte{r.Notebook.Path: r.Notebook.Source}
}

func (r *Run) begin(ctx context.Context) error {
	r.prepare()
	if r.ID == "" {
		var b [4]byte
		rand.Read(b[:]) // never fails
		r.ID = hex.EncodeToString(b[:])
	}
	source, err := r.Store.Blobs.Put(r.Notebook.Source)
	if err != nil {
		return fmt.Errorf("run: keeping %s: %w", r.Notebook.Path, err)
	}
	commit, dirty := gitState(ctx, filepath.Dir(r.Notebook.Path), r.Store.Blobs)
	err = r.Store.BeginRun(store.Run{
		ID: r.ID, Notebook: r.Notebook.Path, Source: source, Params: json.RawMessage("{}"), Argv: r.Argv,
		Started: time.Now().UTC(), Status: store.Running, GitCommit: commit, GitDirty: dirty, Env: environment(),
		Sweep: r.Sweep, Trial: r.Trial, Objective: r.Objective,
	})
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	r.emit(event.Event{Kind: event.RunStart, Text: r.Notebook.Path})
	return nil
}

// whileStored returns a context that ends when the store can no longer
// remember what happens, as on a full disk: to go on would be for nothing.
func (r *Run) whileStored(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-r.Store.Failed():
			cancel(r.Store.Err())
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(nil); wg.Wait() }
}

// stopPoll is how often a run looks whether it was asked to stop.
const stopPoll = 200 * time.Millisecond

// whileWanted returns a context that ends when another process asks the run to stop.
func (r *Run) whileWanted(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticks := time.NewTicker(stopPoll)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if r.Store.StopRequested(r.ID) {
				r.emit(event.Event{Kind: event.Warn, Text: "asked to stop: stopping at the next safe point"})
				cancel()
				return
			}
		}
	})
	return ctx, func() { cancel(); wg.Wait() }
}

// end closes the record. It works even if the context is gone.
func (r *Run) end(err error) error {
	st, msg := store.Done, ""
	var pruned *Pruned
	switch {
	case errors.As(err, &pruned):
		st, err = store.Pruned, nil
	case errors.Is(err, ErrInterrupted):
		st = store.Interrupted
	case err != nil && !errors.Is(err, ErrBar):
		st = store.Failed
	}
	if err != nil {
		msg = r.redact(err.Error())
	} else if pruned != nil {
		msg = pruned.Why
	}
	r.emit(event.Event{Kind: event.RunDone, Text: msg})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(r.recordParams(), r.Store.Flush(ctx), r.Store.EndRun(r.ID, st, ExitCode(err), msg))
}

// script runs the file on a thread of its own.
func (r *Run) script(ctx context.Context, predeclared starlark.StringDict) (err error) {
	t, stop := r.thread(ctx, &scope{run: r, ctx: ctx}, r.Notebook.Path)
	defer stop()
	heap := watchHeap(orDefault(r.MaxHeap, DefaultMaxHeap), func() bool { return r.working.Load() == 0 }, t.Cancel)
	defer heap()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("run: internal error, please report it: %v", p)
		}
	}()
	l, err := newLoader(r, predeclared)
	if err != nil {
		return err
	}
	defer l.close()
	t.Load = l.load
	_, err = l.exec(t, r.Notebook.Path, r.Notebook.Source)
	return r.scriptError(ctx, err)
}

// Fork returns a thread on which a built-in can call a function of the script
// while parent waits: a point of a sweep. What it does is attributed to the
// place where parent stands. stop gives the thread back.
func (r *Run) Fork(ctx context.Context, parent *starlark.Thread, name string) (t *starlark.Thread, stop func()) {
	cell, line := r.Place(parent)
	return r.thread(ctx, &scope{run: r, ctx: ctx, cell: cell, line: line}, name)
}

func (r *Run) thread(ctx context.Context, s *scope, name string) (*starlark.Thread, func()) {
	t := &starlark.Thread{Name: name, Print: func(t *starlark.Thread, msg string) {
		r.Emit(t, event.Event{Kind: event.Print, Text: msg})
	}}
	t.SetLocal(local, s)
	if r.plan != nil {
		r.plan.watch(t)
	}
	limit := orDefault(r.MaxSteps, DefaultMaxSteps)
	t.SetMaxExecutionSteps(limit)
	t.OnMaxSteps = func(t *starlark.Thread) {
		t.Cancel(fmt.Sprintf("the script ran for more than %d operations: is there a loop without an end?", limit))
	}
	stop := context.AfterFunc(ctx, func() { t.Cancel(ErrInterrupted.Error()) })
	return t, func() { stop() }
}

// Place returns the cell and the line of the notebook to which what t does
// belongs: those of its outermost call there.
func (r *Run) Place(t *starlark.Thread) (cell, line int) {
	if s, ok := t.Local(local).(*scope); ok && s.line > 0 {
		return s.cell, s.line
	}
	for depth := t.CallStackDepth() - 1; depth >= 0; depth-- {
		if pos := t.CallFrame(depth).Pos; pos.Filename() == r.Notebook.Path {
			return r.Notebook.Cell(int(pos.Line)), int(pos.Line)
		}
	}
	return 0, 0
}

// Emit sends e on its way, attributed to the place where t stands.
func (r *Run) Emit(t *starlark.Thread, e event.Event) {
	e.Cell, e.Line = r.Place(t)
	r.emit(e)
}

// Syntax returns the resolved syntax tree of a file of this run, by the name
// that positions in it carry, or nil. Functions are fingerprinted by it.
func (r *Run) Syntax(file string) *syntax.File {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files[file]
}

func orDefault(v, def uint64) uint64 {
	if v == 0 {
		return def
	}
	return v
}
