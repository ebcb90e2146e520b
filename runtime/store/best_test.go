package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// ran puts a run with one training and one evaluation.
func ran(t *testing.T, s *Store, r Run, end Status, loss, score float64) {
	t.Helper()
	must(t, s.BeginRun(r))
	for i, st := range []Step{
		{Name: "lora.train", Kind: "adapter", Summary: json.RawMessage(fmt.Sprintf(`{"best_eval_loss": %g}`, loss))},
		{Name: "eval.run", Kind: "scores", Summary: json.RawMessage(fmt.Sprintf(`{"score": %g, "pass_rate": %g}`, score, score))},
	} {
		of := st.Name + " " + r.ID
		st.Key, st.Output = key(of), blob(t, s, of)
		must(t, s.PutStep(st))
		must(t, s.PutUse(Use{Run: r.ID, Seq: i + 1, Key: st.Key, Name: st.Name}))
	}
	must(t, s.EndRun(r.ID, end, 0, "why"))
}

// The best run is that which the last run's sweep would call so.
func TestBestGoesByWhatIsSought(t *testing.T) {
	s := open(t)
	is := func(want string) {
		t.Helper()
		if r, err := s.Run("@best"); err != nil || r.ID != want {
			t.Errorf("@best is %q (%v), want %s", r.ID, err, want)
		}
	}
	if _, err := s.Run("@best"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "no run has a score yet") {
		t.Errorf("of none: %v", err)
	}
	least := Objective{"lora.train.best_eval_loss", true}
	ran(t, s, Run{ID: "a1", Notebook: "a.star"}, Done, 2, 0.9)
	is("a1")
	ran(t, s, Run{ID: "b1", Notebook: "b.star", Sweep: "5eed", Trial: 1, Objective: least}, Done, 1.5, 0.8)
	ran(t, s, Run{ID: "b2", Notebook: "b.star", Sweep: "5eed", Trial: 2, Objective: least}, Done, 1.2, 0.3)
	ran(t, s, Run{ID: "b3", Notebook: "b.star", Sweep: "5eed", Trial: 3, Objective: least}, Done, 1.2, 0.4)
	ran(t, s, Run{ID: "b4", Notebook: "b.star", Sweep: "5eed", Trial: 4, Objective: least}, Failed, 0.1, 0.1)
	ran(t, s, Run{ID: "b5", Notebook: "b.star", Sweep: "5eed", Trial: 5, Objective: least}, Pruned, 0.1, 0.1)
	is("b2")
	must(t, s.BeginRun(Run{ID: "a2", Notebook: "a.star"})) // came to nothing, so that it says nothing
	must(t, s.EndRun("a2", Failed, 1, "why"))
	is("b2")
	if best, err := s.bestRuns(); err != nil || !slices.Contains(best, "a1") || !slices.Contains(best, "b2") || len(best) != 2 {
		t.Errorf("the best of each notebook are %v (%v), want a1 and b2", best, err)
	}
	shrunk, err := s.Shrink(Quota{Best: true})
	must(t, err)
	var went []string
	for _, g := range shrunk.Steps {
		if !slices.Contains(went, g.Run) {
			went = append(went, g.Run)
		}
	}
	if !reflect.DeepEqual(went, []string{"b1", "b3", "b4", "b5"}) {
		t.Errorf("the artifacts of %v would go", went)
	}
	ran(t, s, Run{ID: "a3", Notebook: "a.star"}, Done, 1, 0.5) // no sweep: by the score, of all
	is("a1")
}
