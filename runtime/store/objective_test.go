package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestObjectiveFindsItsFact(t *testing.T) {
	o := Objective{Fact: "eval.pass_rate"}
	for _, c := range []struct {
		step, summary string
		value         float64
		ok            bool
	}{
		{"eval.run", `{"pass_rate": 0.5, "n": 4}`, 0.5, true},
		{"eval", `{"pass_rate": 1}`, 1, true},
		{"evaluate.run", `{"pass_rate": 0.5}`, 0, false},
		{"eval.run", `{"pass_rate": null}`, 0, false},
		{"eval.run", `{"n": 4}`, 0, false},
		{"eval.run", ``, 0, false},
	} {
		if value, ok := o.Of(c.step, json.RawMessage(c.summary)); value != c.value || ok != c.ok {
			t.Errorf("%s %s: %v, %v", c.step, c.summary, value, ok)
		}
	}
	if _, ok := (Objective{}).Of("eval.run", json.RawMessage(`{"": 1}`)); ok {
		t.Error("no objective finds a fact")
	}
	for _, word := range []string{"loss", ".loss", "lora."} {
		if (Objective{Fact: word}).Check() == nil {
			t.Errorf("%q passes", word)
		}
	}
}

// A store of the schema before keeps its runs, which have no objective, and takes new ones that have.
func TestObjectiveInAnOlderStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".starbook")
	must(t, os.MkdirAll(dir, 0o777))
	c, err := openForWriting(dir)
	must(t, err)
	must(t, migrate(c, dir, schemas[:3]))
	must(t, c.script("INSERT INTO run (id, notebook, argv, started, sweep, trial, env) VALUES ('aa', 'n.star', '[]', 5, '5eed', 1, '{}')"))
	must(t, c.close())

	s := openAt(t, dir)
	must(t, s.BeginRun(Run{ID: "bb", Sweep: "5eed", Trial: 2, Objective: Objective{"lora.train.best_eval_loss", true}}))
	list, err := s.SweepRuns("5eed")
	must(t, err)
	if len(list) != 2 || list[0].Objective != (Objective{}) || list[1].Objective != (Objective{"lora.train.best_eval_loss", true}) {
		t.Errorf("the runs are %+v", list)
	}
	rows, err := s.Query(t.Context(), "SELECT objective, direction FROM runs ORDER BY id")
	must(t, err)
	if got := rows.Rows; len(got) != 2 || got[0][1] != nil || got[1][0] != "lora.train.best_eval_loss" || got[1][1] != "minimize" {
		t.Errorf("the view says %v", got)
	}
	sound(t, s)
}

// Drawing a long curve reads none of its points.
func TestHeadsComeFromTheirIndex(t *testing.T) {
	rows, err := open(t).Query(t.Context(), "EXPLAIN QUERY PLAN "+strings.Replace(headsQuery, "?", "1", 1))
	must(t, err)
	if !slices.ContainsFunc(rows.Rows, func(r []any) bool { return strings.Contains(r[len(r)-1].(string), "COVERING INDEX chunk_head") }) || len(rows.Rows) != 1 {
		t.Errorf("the plan is %v", rows.Rows)
	}
}
