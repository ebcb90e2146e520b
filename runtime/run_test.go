package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.starlark.net/starlark"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// lab is a folder with a store, in which notebooks run.
type lab struct {
	t     *testing.T
	dir   string
	store *store.Store

	mu     sync.Mutex // guards what follows
	events []event.Event
	worked []string // names of steps that worked, in order
}

// Emit implements event.Sink.
func (l *lab) Emit(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	var err error
	if l.store, err = store.Open(filepath.Join(l.dir, ".starbook")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) notebook(src string) *Run {
	l.t.Helper()
	l.write("n.star", src)
	nb, err := ReadNotebook(filepath.Join(l.dir, "n.star"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.events, l.worked = nil, nil
	return &Run{Notebook: nb, Store: l.store, Sink: l}
}

// exec runs r with two built-ins: make(name, text) is a step that stores text,
// and fails if text is "boom"; param(name) declares one.
func (l *lab) exec(ctx context.Context, r *Run) error {
	builtin := func(name string, f func(*starlark.Thread, []string) (starlark.Value, error)) *starlark.Builtin {
		return starlark.NewBuiltin(name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			var words []string
			for _, a := range args {
				s, _ := starlark.AsString(a)
				words = append(words, s)
			}
			return f(t, words)
		})
	}
	return r.Exec(ctx, starlark.StringDict{
		"make": builtin("make", func(t *starlark.Thread, w []string) (starlark.Value, error) {
			run, ctx, err := From(t)
			if err != nil {
				return nil, err
			}
			spec := l.spec(w[0], w[1])
			spec.Cell, spec.Line = run.Place(t)
			a, err := run.Do(ctx, spec, l.work(w[0], w[1]))
			return starlark.String(a.Digest.Short()), err
		}),
		"param": builtin("param", func(t *starlark.Thread, w []string) (starlark.Value, error) {
			run, _, _ := From(t)
			return starlark.None, run.Declare(w[0], Param{Value: 1, Default: 1})
		}),
		"key": builtin("key", func(t *starlark.Thread, w []string) (starlark.Value, error) {
			run, _, _ := From(t)
			run.Secret(w[0])
			return starlark.None, nil
		}),
	})
}

func (l *lab) spec(name, text string) Spec {
	args, _ := json.Marshal(map[string]string{"text": text})
	return Spec{Name: name, Version: 1, Args: args, Needs: CPU}
}

func (l *lab) work(name, text string) Work {
	return func(_ context.Context, s *Step) (Artifact, error) {
		l.mu.Lock()
		l.worked = append(l.worked, name)
		l.mu.Unlock()
		switch text {
		case "boom":
			return Artifact{}, errors.New("the cause")
		case "panic":
			panic("oops")
		}
		s.Metric("length", 1, float64(len(text)))
		s.Cost(0.5)
		g, err := s.Put([]byte(text))
		return Artifact{Kind: "value", Digest: g, Summary: json.RawMessage(`{"n":1}`)}, err
	}
}

func (l *lab) count(k event.Kind) (n int) {
	for _, e := range l.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

const twoSteps = `
# %% One
a = make("s.one", "hello")
# %% Two
def again(x):
    print("again", x)
    return make("s.two", x)

b = again(a)
c = make("s.one", "hello")
`

func TestRunAgainIsHits(t *testing.T) {
	l := newLab(t)
	r := l.notebook(twoSteps)
	l.must(l.exec(t.Context(), r))
	if want := []string{"s.one", "s.two"}; !slices.Equal(l.worked, want) {
		t.Fatalf("worked %v, want %v", l.worked, want)
	}
	uses, err := l.store.Uses(r.ID)
	l.must(err)
	if len(uses) != 2 || uses[0].Cell != 1 || uses[0].Line != 3 || uses[1].Cell != 2 || uses[1].Line != 9 || uses[1].Hit {
		t.Errorf("uses: %+v", uses)
	}
	r2 := l.notebook("\n" + twoSteps)
	l.must(l.exec(t.Context(), r2))
	if len(l.worked) != 0 || l.count(event.StepHit) != 2 {
		t.Errorf("second run: worked %v, %d hits", l.worked, l.count(event.StepHit))
	}
	uses, err = l.store.Uses(r2.ID)
	l.must(err)
	if len(uses) != 2 || !uses[0].Hit || uses[1].Line != 10 {
		t.Errorf("uses of the second run: %+v", uses)
	}
	points, err := l.store.Points(uses[0].Key, "length")
	if err != nil || len(points) != 1 || points[0].V != 5 {
		t.Errorf("the cached step's curve: %v, %v", points, err)
	}
	got, err := l.store.Run(r2.ID)
	if err != nil || got.Status != store.Done || got.Source != r2.Notebook.Digest || got.Env["go"] == "" {
		t.Errorf("the record: %+v, %v", got, err)
	}
}

func TestPrintBelongsToTheCellThatCalls(t *testing.T) {
	l := newLab(t)
	l.must(l.exec(t.Context(), l.notebook(twoSteps)))
	for _, e := range l.events {
		if e.Kind == event.Print && (e.Cell != 2 || e.Line != 9 || !strings.HasPrefix(e.Text, "again ")) {
			t.Errorf("print is %+v", e)
		}
	}
	if l.count(event.Print) != 1 {
		t.Errorf("%d prints", l.count(event.Print))
	}
}

func TestFreshAndCollected(t *testing.T) {
	l := newLab(t)
	l.must(l.exec(t.Context(), l.notebook(twoSteps)))
	r := l.notebook(twoSteps)
	r.Fresh = []string{"s.one"}
	l.must(l.exec(t.Context(), r))
	if want := []string{"s.one"}; !slices.Equal(l.worked, want) {
		t.Errorf("fresh s.one: worked %v", l.worked)
	}
	l.must(l.store.Blobs.Remove(cas.Sum([]byte("hello"))))
	l.must(l.exec(t.Context(), l.notebook(twoSteps)))
	if want := []string{"s.one"}; !slices.Equal(l.worked, want) {
		t.Errorf("after its blob was collected: worked %v", l.worked)
	}
	r = l.notebook(twoSteps)
	r.Fresh = []string{"all"}
	l.must(l.exec(t.Context(), r))
	if want := []string{"s.one", "s.two"}; !slices.Equal(l.worked, want) {
		t.Errorf("fresh all: worked %v", l.worked)
	}
}

// Twins in flight are joined: one works, the others get its result.
func TestTwinsJoin(t *testing.T) {
	l := newLab(t)
	r := l.notebook("")
	l.must(r.begin(t.Context()))
	r.Pool = NewPool(map[Resource]int{CPU: 2})
	spec := l.spec("s", "x")
	started, proceed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	got := make([]Artifact, 8)
	run := func(i int, work Work) {
		a, err := r.Do(t.Context(), spec, work)
		if err != nil {
			t.Error(err)
		}
		got[i] = a
	}
	wg.Go(func() {
		run(0, func(ctx context.Context, s *Step) (Artifact, error) {
			close(started)
			<-proceed
			return l.work("s", "x")(ctx, s)
		})
	})
	<-started
	for i := 1; i < len(got); i++ {
		wg.Go(func() { run(i, l.work("s", "x")) })
	}
	close(proceed)
	wg.Wait()
	l.must(r.end(nil))
	if len(l.worked) != 1 {
		t.Errorf("worked %v, want once", l.worked)
	}
	for _, a := range got {
		if a.Digest != got[0].Digest || a.Step != spec.Fingerprint() {
			t.Errorf("got %v, want %v", a, got[0])
		}
	}
}

// A twin of a call that was given up does the work itself.
func TestTwinOfTheGivenUp(t *testing.T) {
	l := newLab(t)
	r := l.notebook("")
	l.must(r.begin(t.Context()))
	spec := l.spec("s", "x")
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := r.Do(ctx, spec, func(ctx context.Context, _ *Step) (Artifact, error) {
			close(started)
			<-ctx.Done()
			return Artifact{}, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
	})
	<-started
	wg.Go(func() {
		if _, err := r.Do(t.Context(), spec, l.work("s", "x")); err != nil {
			t.Errorf("its twin got %v", err)
		}
	})
	cancel()
	wg.Wait()
	l.must(r.end(nil))
}

func TestScriptError(t *testing.T) {
	l := newLab(t)
	l.write("lib/l.star", "def twice(f, x):\n    return f(f(x))\n")
	src := "load(\"lib/l.star\", \"twice\")\n# %% Train it\ndef go(x):\n\treturn make(\"lora.train\", \"boom\")\n\ny = twice(go, 1)\n"
	err := l.exec(t.Context(), l.notebook(src))
	var se *ScriptError
	var step *StepError
	if !errors.As(err, &se) || !errors.As(err, &step) {
		t.Fatalf("got %v", err)
	}
	file := filepath.Join(l.dir, "n.star")
	lib := filepath.Join(l.dir, "lib", "l.star")
	want := fmt.Sprintf(`cell 2 "Train it" · %s:4:13
    	return make("lora.train", "boom")
    	       ^^^^
lora.train (step %s): the cause
  called from %s:2:15 in twice
  called from %s:6:10 in <toplevel>`, file, step.Key.Short(), lib, file)
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	if ExitCode(err) != 1 || l.count(event.StepFail) != 1 {
		t.Errorf("exit %d, %d failures", ExitCode(err), l.count(event.StepFail))
	}
	run, rerr := l.store.Run("@latest")
	if rerr != nil || run.Status != store.Failed || run.Exit != 1 || len(run.Libraries) != 1 || run.Libraries[0].Name != "lib/l.star" {
		t.Errorf("the record: %+v, %v", run, rerr)
	}
	uses, uerr := l.store.Uses(run.ID)
	if uerr != nil || len(uses) != 1 || !strings.Contains(uses[0].Failed, "the cause") {
		t.Errorf("uses: %+v, %v", uses, uerr)
	}
}

// What a forked thread does belongs to where it was forked, and its error
// names both threads' places.
func TestFork(t *testing.T) {
	l := newLab(t)
	r := l.notebook("def point(x):\n    print(x)\n    fail(\"no\")\n# %% Sweep\nfork(point)\n")
	fork := starlark.NewBuiltin("fork", func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		run, ctx, err := From(t)
		if err != nil {
			return nil, err
		}
		child, stop := run.Fork(ctx, t, "point")
		defer stop()
		if _, err := starlark.Call(child, args[0], starlark.Tuple{starlark.String("hi")}, nil); err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		return starlark.None, nil
	})
	err := r.Exec(t.Context(), starlark.StringDict{"fork": fork})
	var se *ScriptError
	if !errors.As(err, &se) || se.Cell != 2 || se.Line != 3 || se.Cause.Error() != "sweep: fail: no" || len(se.Frames) != 2 || se.Frames[0].Line != 5 {
		t.Errorf("got %+v", err)
	}
	for _, e := range l.events {
		if e.Kind == event.Print && (e.Cell != 2 || e.Line != 5 || e.Text != "hi") {
			t.Errorf("print: %+v", e)
		}
	}
}

func TestPool(t *testing.T) {
	p := NewPool(map[Resource]int{GPU: 1})
	release, err := p.Acquire(t.Context(), GPU)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Resource{None, Net} {
		free, err := p.Acquire(t.Context(), r)
		if err != nil {
			t.Errorf("%q: %v", r, err)
		}
		free()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Acquire(ctx, GPU); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for a gpu slot") {
		t.Errorf("got %v", err)
	}
	release()
	release, err = p.Acquire(t.Context(), GPU)
	if err != nil {
		t.Errorf("after a release: %v", err)
	}
	release()
}

func TestErrorsSay(t *testing.T) {
	l := newLab(t)
	l.write("a.star", "load(\"b.star\", \"x\")\n")
	l.write("b.star", "load(\"a.star\", \"x\")\n")
	l.write("syntax.star", "x = (\n")
	l.must(os.Symlink(os.TempDir(), filepath.Join(l.dir, "out")))
	for _, c := range []struct{ src, want string }{
		{"x = = 1", "n.star:1:5\n    x = = 1\n        ^\ngot '='"},
		{"x = 1\nx = 2", "a name means one thing"},
		{"print(nope)", "undefined: nope"},
		{"load(\"a.star\", \"x\")", "load cycle: a.star → b.star → a.star"},
		{"load(\"n.star\", \"x\")", "load cycle"},
		{"load(\"../x.star\", \"x\")", "outside the notebook's folder"},
		{"load(\"/x.star\", \"x\")", "outside the notebook's folder"},
		{"load(\"out/x.star\", \"x\")", "escapes"},
		{"load(\"x.py\", \"x\")", "libraries end in .star"},
		{"load(\"syntax.star\", \"x\")", "syntax.star:"},
		{"while True: pass", "is there a loop without an end?"},
		{"def f(): f()\nf()", "called recursively"},
		{"make(\"s\", \"panic\")", "internal error, please report it: oops"},
		{"x = [1]\nx.apend(2)", "did you mean .append?"},
	} {
		r := l.notebook(c.src)
		r.MaxSteps = 1000
		if err := l.exec(t.Context(), r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.src, err, c.want)
		}
	}
}

func TestHeapLimit(t *testing.T) {
	l := newLab(t)
	r := l.notebook("x = []\nwhile True: x.append(\"y\" * 100000 + str(len(x)))")
	r.MaxHeap = 32 << 20
	if err := l.exec(t.Context(), r); err == nil || !strings.Contains(err.Error(), "more than 32 MiB of memory") {
		t.Errorf("got %v", err)
	}
}

func TestInterrupt(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := l.notebook("while True: pass")
	err := l.exec(ctx, r)
	if !errors.Is(err, ErrInterrupted) || ExitCode(err) != 3 {
		t.Errorf("got %v", err)
	}
	if run, err := l.store.Run(r.ID); err != nil || run.Status != store.Interrupted || run.Exit != 3 {
		t.Errorf("the record: %+v, %v", run, err)
	}
}

// A misspelt -p is found before anything is spent.
func TestUnknownParam(t *testing.T) {
	l := newLab(t)
	for _, src := range []string{"param(\"patience\")\nmake(\"s\", \"x\")", "param(\"patience\")"} {
		r := l.notebook(src)
		r.Params = map[string]string{"pateince": "3"}
		err := l.exec(t.Context(), r)
		if !errors.Is(err, ErrUsage) || ExitCode(err) != 2 || !strings.Contains(err.Error(), "did you mean patience?") {
			t.Errorf("got %v", err)
		}
		if len(l.worked) != 0 {
			t.Errorf("worked %v", l.worked)
		}
	}
}

func TestSecretsAreKept(t *testing.T) {
	l := newLab(t)
	r := l.notebook("key(\"sk-123456\")\nprint(\"it is sk-123456\")\nfail(\"with sk-123456\")")
	if err := l.exec(t.Context(), r); err == nil {
		t.Fatal("no error")
	}
	events, err := l.store.Events(r.ID, 0, 100)
	l.must(err)
	run, err := l.store.Run(r.ID)
	l.must(err)
	b, err := json.Marshal(map[string]any{"events": events, "run": run})
	l.must(err)
	if strings.Contains(string(b), "sk-123456") || !strings.Contains(string(b), "it is [secret]") {
		t.Errorf("the record: %s", b)
	}
}

// The dirty diff brings a clean checkout to what ran.
func TestGitState(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	l := newLab(t)
	repo := filepath.Join(l.dir, "repo")
	git := func(dir string, args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	l.write("repo/sub/n.star", "x = 1\n")
	git(repo, "init", "-q")
	git(repo, "add", "-A")
	git(repo, "commit", "-q", "-m", "m")
	commit, dirty := gitState(t.Context(), filepath.Join(repo, "sub"), l.store.Blobs)
	if len(commit) != 40 || !dirty.IsZero() {
		t.Fatalf("clean: %q, %v", commit, dirty)
	}
	l.write("repo/sub/n.star", "x = 2\n")
	l.write("repo/new.star", "y = 1\nz = 2")
	l.write("repo/empty.py", "")
	l.write("repo/.env", "KEY=secret")
	_, dirty = gitState(t.Context(), filepath.Join(repo, "sub"), l.store.Blobs)
	diff, err := l.store.Blobs.ReadAll(dirty)
	l.must(err)
	if strings.Contains(string(diff), "secret") {
		t.Errorf("the diff has .env: %s", diff)
	}
	l.write("diff", string(diff))
	clean := filepath.Join(l.dir, "clean")
	git(l.dir, "clone", "-q", repo, clean)
	git(clean, "apply", filepath.Join(l.dir, "diff"))
	for name, want := range map[string]string{"sub/n.star": "x = 2\n", "new.star": "y = 1\nz = 2", "empty.py": ""} {
		if got, err := os.ReadFile(filepath.Join(clean, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"learning_rate", "patience", "lr"}
	for name, want := range map[string]string{"learningrate": "learning_rate", "patiense": "patience", "LR": "lr", "zzz": "", "": ""} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
