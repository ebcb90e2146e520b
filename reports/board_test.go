package reports

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// TestBoardFollows: what a step logs is in an event file while it works; a step that goes on says from where, and one that is
// found has all its points.
func TestBoardFollows(t *testing.T) {
	st, err := store.Open(filepath.Join(t.TempDir(), ".starbook"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	dir := t.TempDir()
	b := NewBoard(dir, st)
	key := cas.Sum([]byte("step"))
	say := func(e event.Event) {
		e.Run, e.Step, e.Time = "aa", key.String(), time.Unix(100, 0)
		b.Emit(e)
	}
	say(event.Event{Kind: event.StepStart, Name: "lora.train"})
	say(event.Event{Kind: event.Metric, Name: "loss", X: 7, Value: 0.5})
	say(event.Event{Kind: event.Metric, Name: "loss", X: 8, Value: 0.25})
	count := func(run string) (records [][]byte) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, run, "lora.train-"+key.String()[:8], "events.out.tfevents.*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("event files: %v, %v", files, err)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		records, err = readRecords(raw)
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	if n := len(count("aa")); n < 3 { // the first flush: the version, the start and a point
		t.Errorf("%d records while the step works", n)
	}
	say(event.Event{Kind: event.StepDone})
	records := count("aa")
	if len(records) != 4 {
		t.Fatalf("%d records, want the version, the start and two points", len(records))
	}
	if start := string(records[1]); !strings.HasSuffix(start, "\x10\x07\x3a\x02\x08\x01") { // step 7, session_log START
		t.Errorf("the second record is %q", start)
	}

	st.Point(key, "loss", 1, 0.5)
	g, err := st.Blobs.Put([]byte("x"))
	if err == nil {
		err = st.PutStep(store.Step{Key: key, Name: "lora.train", Output: g, Created: time.Unix(100, 0)})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Emit(event.Event{Run: "bb", Step: key.String(), Kind: event.StepHit, Name: "lora.train"})
	if n := len(count("bb")); n != 2 {
		t.Errorf("%d records of a step that was found", n)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
