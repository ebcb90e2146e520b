package store

import (
	"encoding/json"
	"math"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"starbook/runtime/event"
)

// filled is a store with two runs that share a step.
func filled(t *testing.T, ids ...string) *Store {
	t.Helper()
	s := open(t)
	for _, id := range ids {
		source := blob(t, s, "notebook of "+id)
		must(t, s.BeginRun(Run{
			ID: id, Notebook: "n.star", Source: source, Params: json.RawMessage(`{}`), Started: noon,
			Sweep: "5eed", Trial: 2, Objective: Objective{"lora.train.best_eval_loss", true},
		}))
		for i, name := range []string{"shared", "own " + id} {
			k := key(name)
			if _, err := s.Step(k); err != nil {
				for x := range 1000 {
					s.Point(k, "loss", int64(x), math.Sin(float64(x)))
				}
				s.Point(k, "loss", 1000, math.NaN())
				must(t, s.PutSamples(k, []Sample{{ID: "a", Outcome: "pass", Score: math.NaN(), LogProb: -1}}))
				must(t, s.PutStep(Step{Key: k, Name: "data.rows", Kind: "dataset", Output: blob(t, s, name), Summary: json.RawMessage(`{"score":0.5}`), Created: noon}))
			}
			must(t, s.PutUse(Use{Run: id, Seq: i + 1, Key: k, Name: "data.rows", Hit: i == 0}))
		}
		s.Emit(event.Event{Run: id, Kind: event.Print, Text: "hello", Time: noon})
		must(t, s.AddNote(id, "good"))
		must(t, s.Tag(id, "kept-"+id))
		must(t, s.EndRun(id, Done, 0, ""))
	}
	return s
}

// content is what two stores must agree on.
func content(t *testing.T, s *Store, ids ...string) string {
	t.Helper()
	b, err := s.Bundle(ids)
	must(t, err)
	text, err := json.Marshal(b)
	must(t, err)
	return string(text)
}

func send(t *testing.T, from, to *Store, ids ...string) Adopted {
	t.Helper()
	b, err := from.Bundle(ids)
	must(t, err)
	raw, err := json.Marshal(b)
	must(t, err)
	var there Bundle
	must(t, json.Unmarshal(raw, &there))
	for _, g := range there.Blobs() {
		bytes, err := from.Blobs.ReadAll(g)
		must(t, err)
		_, err = to.Blobs.Put(bytes)
		must(t, err)
	}
	a, err := to.Adopt(&there)
	must(t, err)
	return a
}

// TestAdoptIsAUnion: two stores that got each other's runs hold the same, in whichever order and however often.
func TestAdoptIsAUnion(t *testing.T) {
	a, b := filled(t, "aa", "ab"), filled(t, "ba")
	if got := send(t, a, b, "aa", "ab"); got != (Adopted{Runs: 2, Steps: 2}) {
		t.Errorf("b took %+v, want two runs and the two steps that it had not", got)
	}
	if got := send(t, b, a, "ba"); got != (Adopted{Runs: 1, Steps: 1}) {
		t.Errorf("a took %+v", got)
	}
	if got := send(t, a, b, "aa", "ab"); got != (Adopted{}) {
		t.Errorf("the second time b took %+v", got)
	}
	ids := []string{"aa", "ab", "ba"}
	if x, y := content(t, a, ids...), content(t, b, ids...); x != y {
		t.Errorf("they differ:\n%.600s\n%.600s", x, y)
	}
	if found, err := b.Check(true); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
}

func TestAdoptWantsBytesFirst(t *testing.T) {
	from, to := filled(t, "aa"), open(t)
	b, err := from.Bundle([]string{"aa"})
	must(t, err)
	if _, err := to.Adopt(b); err == nil {
		t.Error("rows were taken whose bytes are not there")
	}
	if runs, err := to.Runs(0); err != nil || len(runs) > 0 {
		t.Error(runs, err)
	}
}

// TestSchema1IsBroughtUpToDate opens a store as version 1 wrote it: what was in it is there, and a copy of the file.
func TestSchema1IsBroughtUpToDate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".starbook")
	must(t, makeDirs(dir))
	c, err := openForWriting(dir)
	must(t, err)
	must(t, migrate(c, dir, schemas[:1]))
	_, err = c.exec("INSERT INTO run (id, notebook, started, status) VALUES ('aa', 'n.star', 1, 'done')")
	must(t, err)
	_, err = c.exec("INSERT INTO step (key, name, version, kind, seconds, cost_usd, created) VALUES (?, 'data.rows', 1, 'value', 1, 0, 1)", key("s").String())
	must(t, err)
	must(t, c.close())

	s := openAt(t, dir)
	must(t, s.Tag("aa", "paper"))
	r, err := s.Run("@paper")
	must(t, err)
	if r.ID != "aa" || !reflect.DeepEqual(r.Tags, []string{"paper"}) {
		t.Errorf("got %+v", r)
	}
	if st, err := s.Step(key("s")); err != nil || st.Name != "data.rows" {
		t.Error(st, err)
	}
	if have, err := filepath.Glob(filepath.Join(dir, "*.v1.bak")); err != nil || len(have) != 1 {
		t.Errorf("no copy of the old file: %v, %v", have, err)
	}
}

// TestShrink gives up what was unused longest, but not what a run with a tag used.
func TestShrink(t *testing.T) {
	s := filled(t, "aa", "ab", "ac")
	must(t, s.Untag("ab", "kept-ab"))
	must(t, s.Untag("ac", "kept-ac"))
	all, err := s.Shrink(Quota{Tagged: true})
	must(t, err)
	var went []string
	for _, g := range all.Steps {
		went = append(went, g.Run)
	}
	if !reflect.DeepEqual(went, []string{"ab", "ac"}) {
		t.Errorf("the artifacts last used by %v would go, want ab's own, then ac's", went)
	}
	one, err := s.Shrink(Quota{Tagged: true, Max: all.Before - 1, Delete: true})
	must(t, err)
	if len(one.Steps) != 1 || one.Steps[0].Run != "ab" || one.After != one.Before-int64(len("own ab")) {
		t.Errorf("gave up %+v", one)
	}
	st, err := s.Step(key("own ab"))
	must(t, err) // the row stays
	if s.Blobs.Has(st.Output) {
		t.Error("its bytes are there still")
	}
	if p, err := s.Points(st.Key, "loss"); err != nil || len(p) != 1001 {
		t.Errorf("%d points, %v: curves stay", len(p), err)
	}
	if found, err := s.Check(true); err != nil || len(found) > 0 {
		t.Errorf("damaged: %v, %v", found, err)
	}
	must(t, s.BeginRun(Run{ID: "ad", Started: time.Now()}))
	if _, err := s.Shrink(Quota{Delete: true}); err == nil {
		t.Error("artifacts were removed under a run")
	}
}

// A pruned run stays one, with its reason, where a bundle takes it.
func TestPrunedRunTravels(t *testing.T) {
	a, b := filled(t, "aa"), open(t)
	must(t, a.BeginRun(Run{ID: "ac", Notebook: "n.star", Source: blob(t, a, "notebook of aa"), Started: noon}))
	must(t, a.EndRun("ac", Pruned, 0, "eval 3: 1.5200 > median 1.3100 of 8 trials"))
	send(t, a, b, "aa", "ac")
	for name, s := range map[string]*Store{"here": a, "there": b} {
		r, err := s.Run("ac")
		if err != nil || r.Status != Pruned || r.Pruned != "eval 3: 1.5200 > median 1.3100 of 8 trials" || r.Error != "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		rows, err := s.Query(t.Context(), "SELECT id, status, pruned IS NOT NULL FROM runs ORDER BY id")
		must(t, err)
		if want := [][]any{{"aa", "done", int64(0)}, {"ac", "pruned", int64(1)}}; !reflect.DeepEqual(rows.Rows, want) {
			t.Errorf("%s: the view says %v", name, rows.Rows)
		}
	}
}
