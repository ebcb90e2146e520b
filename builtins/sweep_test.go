package builtins

import (
	"encoding/json"
	"strings"
	"testing"

	"starbook/runtime/event"
)

// A sweep in a notebook: the trials share their steps, run on several threads, and a
// failed one does not end it.
func TestSweepInANotebook(t *testing.T) {
	b := newBench(t)
	const src = `
rows = data.rows([{"n": 1}, {"n": 2}])
tried = {"count": 0}
def trial(factor, shift):
    if factor == 3:
        fail("three is too many")
    d = data.map(rows, lambda r: {"n": r["n"] * factor})
    return data.read(d)[1]["n"] + shift
s = sweep.grid(trial, factor = [1, 2, 3], shift = [0, 10], jobs = 2, title = "Which factor?")
eq([t.value for t in s.trials], [2.0, 12.0, 4.0, 14.0, None, None])
eq((s.best.factor, s.best.shift, s.best.value), (2, 10, 14.0))
eq("three is too many" in s.trials[4].error, True)
low = sweep.grid(trial, factor = [1, 2], shift = [0], minimize = True)
eq(low.best.factor, 1)
r = sweep.random(lambda x: -(x - 3.0) * (x - 3.0), trials = 30, x = sweep.range(0, 10))
eq(len(r.trials), 30)
eq(abs(r.best.x - 3.0) < 1.0, True)
p = sweep.tpe(lambda x: -(x - 3.0) * (x - 3.0), trials = 40, x = sweep.range(0, 10))
eq(abs(p.best.x - 3.0) < 0.3, True)
`
	if _, err := b.run(src); err != nil {
		t.Fatal(err)
	}
	maps, sweeps := 0, []event.SweepData(nil)
	for _, e := range b.events {
		switch {
		case e.Kind == event.StepStart && e.Name == "data.map":
			maps++
		case e.Kind == event.Sweep:
			var d event.SweepData
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			sweeps = append(sweeps, d)
		}
	}
	if maps != 2 {
		t.Errorf("data.map worked %d times, want once for each factor that does not fail", maps)
	}
	if len(sweeps) != 4 || len(sweeps[0].Trials) != 6 || sweeps[0].Names[1] != "shift" || sweeps[0].Trials[5].Value != nil {
		t.Errorf("recorded %+v", sweeps)
	}
}

func TestSweepRefuses(t *testing.T) {
	for src, want := range map[string]string{
		`sweep.grid(lambda x: 1, x = sweep.range(0, 1))`:       "a grid needs lists",
		`sweep.grid(lambda: 1)`:                                "nothing to vary",
		`sweep.grid(lambda x: 1, x = 3)`:                       "x: got int, want a list",
		`sweep.grid(lambda x: 1, x = [{}])`:                    "x: {} cannot be a setting",
		`sweep.grid(lambda x: "high", x = [1, 2])`:             "all 2 trials failed; the first: fn returned a string",
		`sweep.random(lambda x: 1, x = sweep.range(2, 1))`:     "a range from 2 to 1",
		`sweep.tpe(lambda x: 1, x = sweep.range(0, 1, True))`:  "begins above 0",
		`sweep.grid(lambda x: 1, "grid", "of", 1, x = [1, 2])`: "minimize: got string",
	} {
		if _, err := newBench(t).run(src + "\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", src, err, want)
		}
	}
}
