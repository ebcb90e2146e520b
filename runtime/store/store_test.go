package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

// open returns a store in a new directory that is closed, and must close well, at the
// end of the test.
func open(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), ".starbook"))
}

func openAt(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func key(s string) cas.Digest { return cas.Sum([]byte(s)) }

func blob(t testing.TB, s *Store, text string) cas.Digest {
	t.Helper()
	g, err := s.Blobs.Put([]byte(text))
	must(t, err)
	return g
}

// sound fails the test if Check finds anything.
func sound(t testing.TB, s *Store) {
	t.Helper()
	found, err := s.Check(true)
	must(t, err)
	for _, f := range found {
		t.Error(f)
	}
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

func TestRunRoundTrip(t *testing.T) {
	s := open(t)
	lib := blob(t, s, "lib")
	r := Run{
		ID: "3f9a0c11", Notebook: "nb.star", Source: blob(t, s, "source"), Libraries: []cas.Entry{{Name: "lib.star", Digest: lib, Size: 3}},
		Params: json.RawMessage(`{"lr": {"value": 1e-5}}`), Argv: []string{"run", "nb.star"}, Started: noon,
		GitCommit: "abc", GitDirty: blob(t, s, "diff"), Env: map[string]string{"os": "linux"},
	}
	must(t, s.BeginRun(r))
	r.Status = Running
	got, err := s.Run("3f9a")
	must(t, err)
	if !reflect.DeepEqual(got, r) {
		t.Fatalf("got  %+v\nwant %+v", got, r)
	}
	must(t, s.SetRunParams(r.ID, json.RawMessage(`{"lr": {"value": 2}}`), nil))
	must(t, s.EndRun(r.ID, Failed, 1, "boom"))
	got, err = s.Run("@latest")
	must(t, err)
	if got.Status != Failed || got.Exit != 1 || got.Error != "boom" || got.Ended.IsZero() || string(got.Params) != `{"lr": {"value": 2}}` {
		t.Fatalf("after the end: %+v", got)
	}
	if err := s.EndRun("99", Done, 0, ""); !errors.Is(err, ErrNotFound) {
		t.Fatalf("end of a run that is not there: %v", err)
	}
	if err := s.BeginRun(r); err == nil {
		t.Fatal("the same run began twice")
	}
	if err := s.BeginRun(Run{ID: "00", Source: key("no such blob")}); !errors.Is(err, cas.ErrNotFound) {
		t.Fatalf("a run without its source: %v", err)
	}
	sound(t, s)
}

func TestRunReferences(t *testing.T) {
	s := open(t)
	scores := map[string]string{"aa00": `{"score": 0.5}`, "ab00": `{"score": 0.9}`, "ab11": `{"rows": 3}`, "cc00": `{"score": "high"}`}
	for _, id := range []string{"aa00", "ab00", "ab11", "cc00"} {
		// Every clock is earlier than the one before: order is that of beginning.
		must(t, s.BeginRun(Run{ID: id, Started: noon.Add(-time.Duration(len(scores)) * time.Hour)}))
		must(t, s.PutStep(Step{Key: key(id), Name: "eval.run", Kind: "scores", Output: blob(t, s, id), Summary: json.RawMessage(scores[id])}))
		must(t, s.PutUse(Use{Run: id, Seq: 1, Key: key(id), Name: "eval.run"}))
		must(t, s.EndRun(id, Done, 0, ""))
	}
	for ref, want := range map[string]string{"aa": "aa00", "ab1": "ab11", "@latest": "cc00", "@best": "ab00"} {
		if r, err := s.Run(ref); err != nil || r.ID != want {
			t.Errorf("%s: got %q, %v; want %s", ref, r.ID, err, want)
		}
	}
	if _, err := s.Run("a"); !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), "ab00") {
		t.Errorf("ambiguous: %v", err)
	}
	for _, ref := range []string{"ff", "", "@worst", "x'; drop table run"} {
		if _, err := s.Run(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	list, err := s.Runs(2)
	must(t, err)
	if len(list) != 2 || list[0].ID != "cc00" || list[1].ID != "ab11" {
		t.Errorf("newest two: %+v", list)
	}
}

func TestStatusIsComputed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	a, err := Open(dir)
	must(t, err)
	b := openAt(t, dir)
	must(t, a.BeginRun(Run{ID: "aa"}))
	if r, err := b.Run("aa"); err != nil || r.Status != Running {
		t.Fatalf("while its process lives: %v, %v", r.Status, err)
	}
	must(t, a.Close())
	if r, err := b.Run("aa"); err != nil || r.Status != Interrupted {
		t.Fatalf("after its process went: %v, %v", r.Status, err)
	}
}

func TestStepRoundTrip(t *testing.T) {
	s := open(t)
	st := Step{
		Key: key("step"), Name: "lora.train", Version: 2, Args: json.RawMessage(`{"lr":0.1}`), Inputs: []cas.Digest{key("in")},
		Kind: "adapter", Output: blob(t, s, "out"), Refs: []cas.Digest{blob(t, s, "ref")}, Summary: json.RawMessage(`{"rows":5}`),
		Seconds: 1.5, CostUSD: 0.25, Device: "cpu", Created: noon,
	}
	if _, err := s.Step(st.Key); !errors.Is(err, ErrNotFound) {
		t.Fatalf("before: %v", err)
	}
	must(t, s.PutStep(st))
	twin := st
	twin.Seconds = 99
	must(t, s.PutStep(twin))
	for name, find := range map[string]func() (Step, error){
		"Step":         func() (Step, error) { return s.Step(st.Key) },
		"FindStep":     func() (Step, error) { return s.FindStep(st.Key.Short()) },
		"StepByOutput": func() (Step, error) { return s.StepByOutput(st.Output) },
	} {
		if got, err := find(); err != nil || !reflect.DeepEqual(got, st) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	must(t, s.PutStep(Step{Key: key("later"), Output: st.Output, Kind: "adapter"}))
	if got, err := s.StepByOutput(st.Output); err != nil || got.Key != st.Key {
		t.Errorf("the oldest by output: %s, %v", got.Key.Short(), err)
	}
	if err := s.PutStep(Step{Key: key("bad"), Output: key("no blob")}); !errors.Is(err, cas.ErrNotFound) {
		t.Errorf("a step without its output: %v", err)
	}
	if err := s.PutStep(Step{Key: key("bad"), Summary: json.RawMessage(`{"nan": NaN}`)}); err == nil {
		t.Error("a summary that is not JSON was taken")
	}
	if _, err := s.FindStep("zz"); !errors.Is(err, ErrNotFound) {
		t.Errorf("FindStep(zz): %v", err)
	}
	sound(t, s)
}

func TestUses(t *testing.T) {
	s := open(t)
	first := Use{Run: "aa", Seq: 1, Key: key("1"), Name: "data.jsonl", Seconds: 2, Cell: 1, Line: 7}
	must(t, s.PutUse(Use{Run: "aa", Seq: 2, Key: key("2"), Name: "lora.train", Failed: "no GPU"}))
	must(t, s.PutUse(first))
	first.Hit = true
	must(t, s.PutUse(first))
	got, err := s.Uses("aa")
	must(t, err)
	if len(got) != 2 || got[0] != first || got[1].Failed != "no GPU" {
		t.Fatalf("got %+v", got)
	}
}

func TestEvents(t *testing.T) {
	s := open(t)
	plot := event.Event{
		Run: "aa", Step: key("s").String(), Time: noon, Kind: event.Plot, Name: "loss", Cell: 1, Line: 2,
		X: 3, Value: 0.5, Text: "t", Data: json.RawMessage(`{"a":1}`),
	}
	s.Emit(plot)
	s.Emit(event.Event{Run: "bb", Kind: event.Print, Text: "other run"})
	s.Emit(event.Event{Run: "aa", Kind: event.Progress, X: 1})
	s.Emit(event.Event{Run: "aa", Step: plot.Step, Kind: event.Metric, Name: "loss", X: 7, Value: 0.25})
	s.Emit(event.Event{Run: "aa", Kind: event.Bar, Name: "of no step", Value: math.NaN()})
	got, err := s.Events("aa", 0, 0)
	must(t, err)
	plot.ID = got[0].ID
	if len(got) != 2 || !reflect.DeepEqual(got[0], plot) || !math.IsNaN(got[1].Value) {
		t.Fatalf("got %+v", got)
	}
	if got, err := s.Events("aa", got[0].ID, 1); err != nil || len(got) != 1 || got[0].Name != "of no step" {
		t.Fatalf("after the first: %+v, %v", got, err)
	}
	if got, err := s.Events("", 0, 0); err != nil || len(got) != 3 {
		t.Fatalf("of all runs: %+v, %v", got, err)
	}
}

func TestSamples(t *testing.T) {
	s := open(t)
	rows := []Sample{
		{Index: 0, ID: "a", Parent: "p", Group: "g", Prompt: "2+2", Want: "4", Answer: "4", Outcome: "pass", Score: 1, Note: "n", Tokens: 3, LogProb: -0.5},
		{Index: 1, ID: "b", Outcome: "truncated", Score: 0},
	}
	must(t, s.PutSamples(key("e"), rows))
	rows[1].Outcome = "fail"
	must(t, s.PutSamples(key("e"), rows[1:]))
	must(t, s.PutSamples(key("other"), []Sample{{Score: math.NaN()}}))
	if got, err := s.Samples(key("e")); err != nil || !reflect.DeepEqual(got, rows) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got, err := s.Samples(key("other")); err != nil || !math.IsNaN(got[0].Score) {
		t.Fatalf("NaN became %+v, %v", got, err)
	}
}

func TestFileMemo(t *testing.T) {
	s := open(t)
	g, old, fresh := key("f"), time.Now().Add(-time.Hour), time.Now()
	must(t, s.PutFileDigest("a", 5, old, g))
	must(t, s.PutFileDigest("b", 5, fresh, g))
	for _, c := range []struct {
		path string
		size int64
		mod  time.Time
		want bool
	}{{"a", 5, old, true}, {"a", 6, old, false}, {"a", 5, old.Add(1), false}, {"b", 5, fresh, false}, {"c", 5, old, false}} {
		if got, ok, err := s.FileDigest(c.path, c.size, c.mod); err != nil || ok != c.want || ok && got != g {
			t.Errorf("%s, %d bytes: %v, %v, %v", c.path, c.size, got, ok, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%20c?d#e") // characters that mean something in a URI
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrNotFound) {
		t.Fatalf("where there is no store: %v", err)
	}
	w := openAt(t, dir)
	must(t, w.BeginRun(Run{ID: "aa"}))
	r, err := OpenReadOnly(dir)
	must(t, err)
	defer r.Close()
	if got, err := r.Run("aa"); err != nil || got.Status != Running {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, _, lockErr := r.LockStep(context.Background(), key("s"))
	_, askErr := r.BeginAsk(Ask{})
	_, gcErr := r.GC(GCOptions{Delete: true})
	for name, err := range map[string]error{
		"BeginRun": r.BeginRun(Run{ID: "bb"}), "EndRun": r.EndRun("aa", Done, 0, ""), "PutStep": r.PutStep(Step{}), "PutUse": r.PutUse(Use{}),
		"PutSamples": r.PutSamples(key("s"), nil), "PutAnswers": r.PutAnswers([]Answer{{}}), "DropPoints": r.DropPoints(key("s"), 0),
		"LockStep": lockErr, "BeginAsk": askErr, "GC": gcErr, "RemoveScratch": r.RemoveScratch(key("s")),
	} {
		if err == nil {
			t.Errorf("%s on a store opened for reading succeeded", name)
		}
	}
	r.Point(key("s"), "loss", 1, 1)
	r.Emit(event.Event{})
	must(t, w.Close()) // the log is gone: a reader must do without
	alone, err := OpenReadOnly(dir)
	must(t, err)
	defer alone.Close()
	if got, err := alone.Run("aa"); err != nil || got.Status != Interrupted {
		t.Errorf("after the writer: %+v, %v", got, err)
	}
}

func TestClosed(t *testing.T) {
	s := open(t)
	must(t, s.Close())
	must(t, s.Close())
	s.Point(key("s"), "loss", 1, 1)
	if err := s.PutUse(Use{}); !errors.Is(err, errClosed) {
		t.Fatalf("PutUse after Close: %v", err)
	}
}

// What was queued when Close was called is there when the store opens again.
func TestCloseKeepsWhatWasQueued(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	must(t, err)
	for i := range 100 {
		s.Point(key("s"), "loss", int64(i), float64(i))
		s.Emit(event.Event{Run: "aa", Kind: event.Print, Text: fmt.Sprint(i)})
	}
	must(t, s.Close())
	s = openAt(t, dir)
	points, err := s.Points(key("s"), "loss")
	must(t, err)
	events, err := s.Events("aa", 0, 0)
	must(t, err)
	if len(points) != 100 || len(events) != 100 {
		t.Fatalf("%d points and %d events of 100", len(points), len(events))
	}
}
