package store

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

// TestManyIsEach: what is asked of many runs at once is what each would say.
func TestManyIsEach(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	must(t, err)
	defer s.Close()
	var runs []string
	var keys []cas.Digest
	for i := range 5 {
		id := fmt.Sprintf("%08x", i)
		must(t, s.BeginRun(Run{ID: id, Notebook: "n.star"}))
		for k := range i {
			key := key(fmt.Sprint("step", k))
			keys = append(keys, key)
			if k != 2 { // which never ends
				must(t, s.PutStep(Step{Key: key, Name: "make", Kind: "value", Inputs: keys[:k], Refs: []cas.Digest{}, Seconds: 1.5}))
			}
			s.Point(key, "loss", int64(i), float64(k))
			s.Emit(event.Event{Run: id, Step: key.String(), Kind: event.StepStart, Name: "make"})
			s.Emit(event.Event{Run: id, Kind: event.Print, Text: "hello"})
			must(t, s.PutUse(Use{Run: id, Seq: k + 1, Key: key, Name: "make", Seconds: 2}))
		}
		runs = append(runs, id)
	}
	uses, err := s.UsesOf(runs)
	must(t, err)
	events, err := s.EventsOf(runs[1:], event.StepStart)
	must(t, err)
	series, err := s.SeriesOf(keys)
	must(t, err)
	for i, id := range runs {
		want, err := s.Uses(id)
		must(t, err)
		if len(uses[id]) != len(want) {
			t.Fatalf("run %s: %d uses, want %d", id, len(uses[id]), len(want))
		}
		for k, u := range uses[id] {
			step, err := s.Step(u.Key)
			if !reflect.DeepEqual(u.Use, want[k]) || u.Done() != (err == nil) || u.Done() && !reflect.DeepEqual(u.Step, step) {
				t.Errorf("run %s, use %d: got %+v, want %+v of %+v (%v)", id, k, u, want[k], step, err)
			}
		}
		if len(events[id]) != i {
			t.Errorf("run %s: %d events, want %d", id, len(events[id]), i)
		}
	}
	for _, key := range keys {
		want, err := s.Series(key)
		must(t, err)
		if !reflect.DeepEqual(series[key], want) {
			t.Errorf("series %v, want %v", series[key], want)
		}
	}
}

func TestWatchSeesOtherWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir)
	must(t, err)
	defer s.Close()
	r, err := OpenReadOnly(dir)
	must(t, err)
	defer r.Close()
	w, err := r.Watch(context.Background())
	must(t, err)
	defer w.Close()
	version := func() int64 {
		v, err := w.Version(context.Background())
		must(t, err)
		return v
	}
	first := version()
	if again := version(); again != first {
		t.Errorf("nothing was written, and %d became %d", first, again)
	}
	must(t, s.BeginRun(Run{ID: "0a", Notebook: "n.star"}))
	if version() == first {
		t.Error("a write was not seen")
	}
	alive, err := r.Alive()
	must(t, err)
	if !reflect.DeepEqual(alive, []string{"0a"}) {
		t.Errorf("alive are %v", alive)
	}
	must(t, s.EndRun("0a", Done, 0, ""))
	if alive, err = r.Alive(); err != nil || len(alive) != 0 {
		t.Errorf("alive are %v, %v", alive, err)
	}
}
