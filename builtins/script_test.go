package builtins

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.starlark.net/starlark"

	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// bench is a directory with a store, in which scripts run.
type bench struct {
	t     testing.TB
	dir   string
	store *store.Store
	host  *Host

	mu     sync.Mutex // events
	events []event.Event
}

// Emit implements event.Sink.
func (b *bench) Emit(e event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
}

func newBench(t testing.TB) *bench {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(filepath.Join(dir, ".starbook"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	env := map[string]string{"STARBOOK_TEST_KEY": "sk-very-secret"}
	return &bench{t: t, dir: dir, store: st, host: &Host{Dir: dir, Getenv: func(k string) string { return env[k] }}}
}

// run executes src as the notebook test.star. Each option may change the run.
func (b *bench) run(src string, options ...func(*runtime.Run)) (*runtime.Run, error) {
	b.t.Helper()
	return b.runIn(context.Background(), src, options...)
}

// runIn is run in a context that may end.
func (b *bench) runIn(ctx context.Context, src string, options ...func(*runtime.Run)) (*runtime.Run, error) {
	b.t.Helper()
	nb, err := runtime.NewNotebook(filepath.Join(b.dir, "test.star"), []byte(src))
	if err != nil {
		b.t.Fatal(err)
	}
	b.events = nil
	r := &runtime.Run{Notebook: nb, Store: b.store, Sink: b}
	for _, o := range options {
		o(r)
	}
	names := b.host.Predeclared()
	names["eq"] = starlark.NewBuiltin("eq", equal)
	return r, r.Exec(ctx, names)
}

// watched has a sink of the test's own see a run's events.
func watched(s event.Sink) func(*runtime.Run) { return func(r *runtime.Run) { r.Sink = s } }

// equal is the tests' own built-in: eq(got, want).
func equal(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	if len(args) != 2 {
		return nil, errors.New("eq: want two arguments")
	}
	same, err := starlark.Equal(args[0], args[1])
	if err == nil && !same {
		err = fmt.Errorf("eq: got %s, want %s", args[0], args[1])
	}
	return starlark.None, err
}

// count returns how many events of a kind there were, of the built-in name if it is not "".
func (b *bench) count(kind event.Kind, name string) (n int) {
	for _, e := range b.events {
		if e.Kind == kind && (name == "" || e.Name == name) {
			n++
		}
	}
	return n
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// zip makes name.gz of name.
func (b *bench) zip(name string) {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		b.t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.write(name+".gz", out.String())
}

// TestScripts runs the chunks of testdata/*.star, which "---" separates. A
// chunk fails if it says so: ### "regexp" stands on the failing line.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t)
			b.write("rows.jsonl", `{"id":"a","prompt":"one","completion":"1","n":1}`+"\n"+
				`{"id":"b","prompt":"two","completion":"2","n":2}`+"\n"+`{"id":"c","prompt":"three","completion":"3","n":3}`+"\n")
			b.write("rows.csv", "prompt,completion\n\"a,b\",1\nc,2\n")
			b.write("rows.tsv", "x\ty\n1\t2\n")
			b.write("en.txt", "one\ntwo\n")
			b.write("de.txt", "eins\nzwei\n")
			b.write("failures.jsonl", `{"id":1,"category":"math","instruction":"2+2","reference_answer":"4","previous_output":"5"}`+"\n"+
				`{"id":2,"category":"math","instruction":"3+3","reference_answer":"6","model_output":"7"}`+"\n")
			b.write("ambiguous.jsonl", `{"prompt":"a"}`+"\n"+`{"prompt":"a","query":"b"}`+"\n")
			b.write("bad.jsonl", "{}\n{\n")
			b.zip("rows.jsonl")
			line := 0
			for chunk := range strings.SplitSeq(string(src), "\n---\n") {
				// Blank lines in front keep the line numbers of the file.
				b.expect(strings.Repeat("\n", line)+chunk, file)
				line += strings.Count(chunk, "\n") + 2
			}
		})
	}
}

var expectation = regexp.MustCompile(`###\s*"((?:[^"\\]|\\.)*)"`)

func (b *bench) expect(src, file string) {
	b.t.Helper()
	wantLine, want := 0, ""
	for i, l := range strings.Split(src, "\n") {
		if m := expectation.FindStringSubmatch(l); m != nil {
			wantLine = i + 1
			if err := json.Unmarshal([]byte(`"`+m[1]+`"`), &want); err != nil {
				b.t.Fatalf("%s:%d: %v", file, i+1, err)
			}
		}
	}
	_, err := b.run(src)
	if wantLine == 0 {
		if err != nil {
			b.t.Errorf("%s: %v", file, err)
		}
		return
	}
	var se *runtime.ScriptError
	switch {
	case !errors.As(err, &se):
		b.t.Errorf("%s:%d: got error %v, want one that matches %q", file, wantLine, err, want)
	case se.Line != wantLine:
		b.t.Errorf("%s:%d: the error is in line %d: %v", file, wantLine, se.Line, err)
	case !regexp.MustCompile(want).MatchString(se.Cause.Error()):
		b.t.Errorf("%s:%d: got error %q, want one that matches %q", file, wantLine, se.Cause, want)
	}
}
