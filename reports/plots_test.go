package reports

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

// TestStretches: what a run did when, from its events.
func TestStretches(t *testing.T) {
	at := func(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }
	r := &run{Run: store.Run{Started: at(10), Ended: at(100)}}
	add := func(s float64, kind event.Kind, step string) {
		r.Events = append(r.Events, event.Event{Time: at(s), Kind: kind, Step: step, Name: step, Value: 5})
	}
	add(12, event.StepHit, "a")
	add(30, event.StepHit, "b") // another run was at it for 18 seconds
	add(31, event.StepStart, "c")
	add(32, event.StepStart, "d") // at the same time
	add(50, event.StepDone, "c")
	add(60, event.StepFail, "d")
	add(70, event.StepDone, "e") // whose start is not on record
	add(80, event.StepStart, "f")
	want := []ganttBar{
		{"a, b", 10, 30, "hit"}, {"c", 31, 50, "run"}, {"d", 32, 60, "failed"}, {"e", 65, 70, "run"}, {"f", 80, 100, "unfinished"},
	}
	if got := stretches(r, noon); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	f := ganttOf([]boardRow{{run: r}})
	if f == nil || !strings.Contains(string(f.SVG), ">✗</text>") || f.Table.Rows[0][2] != "hit" {
		t.Errorf("the figure is %+v", f)
	}
	if still := ganttOf([]boardRow{{run: &run{Run: store.Run{Started: noon}}}}); still != nil {
		t.Error("no time has passed, and there is a figure of it")
	}
}

func TestBand(t *testing.T) {
	b := bandOf([]curve{{Xs: []float64{0, 100}, Ys: []float64{0, 10}}, {Xs: []float64{0, 50}, Ys: []float64{5, 5}}})
	for i, x := range b.Xs {
		low, high := min(x/10, 5), max(x/10, 5)
		if x > 50 {
			low, high = x/10, x/10 // one of them has ended
		}
		if math.Abs(b.Low[i]-low) > 1e-9 || math.Abs(b.High[i]-high) > 1e-9 {
			t.Errorf("at %g: %g to %g, want %g to %g", x, b.Low[i], b.High[i], low, high)
		}
	}
}

// TestSweepFigures: what few trials cannot tell is said instead of drawn.
func TestSweepFigures(t *testing.T) {
	d := event.SweepData{Objective: "loss", Minimize: true, Names: []string{"lr", "order"}}
	for i := range 12 {
		v := float64(i%3) + 1
		d.Trials = append(d.Trials, event.SweepTrial{Values: []any{math.Pow(10, -float64(i%3)), []string{"a", "b"}[i%2]}, Value: &v})
	}
	titles := func(v sweepView) string {
		var out []string
		for _, f := range v.Figures {
			out = append(out, f.Title)
		}
		return strings.Join(out, "; ")
	}
	v := sweepOf(d)
	for _, want := range []string{"line through its settings", "Share of the spread"} {
		if !strings.Contains(titles(v), want) {
			t.Errorf("figures %s, without %q", titles(v), want)
		}
	}
	shares := effectsBars(d, trialsOfData(d))
	if got := fmt.Sprintf("%.3f %.3f", shares.Rows[0].Bars[0].Value, shares.Rows[1].Bars[0].Value); got != "1.000 0.000" {
		t.Errorf("shares %s: lr explains everything", got)
	}
	d.Trials = d.Trials[:4]
	if v = sweepOf(d); strings.Contains(titles(v), "through its settings") || !strings.Contains(v.Few, "4 trials are too few") {
		t.Errorf("of 4 trials: figures %s, %q", titles(v), v.Few)
	}
}

// trialsOfData makes the trials of a sweep in which all came to something.
func trialsOfData(d event.SweepData) []sweepTrial {
	var out []sweepTrial
	for i, tr := range d.Trials {
		out = append(out, sweepTrial{SweepTrial: tr, at: i, value: *tr.Value, words: []string{cellText(tr.Values[0]), cellText(tr.Values[1])}})
	}
	return out
}

// TestUnfinishedStep: of a run whose process died the step that it was at is shown, with
// its curve.
func TestUnfinishedStep(t *testing.T) {
	f := newFixture(t)
	source, err := f.st.Blobs.Put([]byte(script))
	f.ok(err)
	f.ok(f.st.BeginRun(store.Run{ID: "0abcdef0", Notebook: "nb.star", Source: source, Started: noon}))
	st := f.step("data.jsonl", "dataset", "rows", 0.1, 0, map[string]any{"rows": 500})
	key := st.Output // any digest
	f.st.Emit(event.Event{Run: "0abcdef0", Step: key.String(), Time: noon, Kind: event.StepStart, Name: "lora.train", Line: at("lora.train")})
	for x := range 30 {
		f.st.Point(key, "train/loss", int64(x), 1)
	}
	page := f.page("0abcdef0")
	for _, want := range []string{"at work", "At update 29: train loss 1.", "Loss (nats per token)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	f.ok(f.st.EndRun("0abcdef0", store.Interrupted, 3, "interrupted"))
	if page = f.page("0abcdef0"); !strings.Contains(page, ">unfinished<") || strings.Contains(page, "at work") {
		t.Error("of a run that has ended a step is at work")
	}
}
