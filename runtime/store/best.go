package store

import (
	"encoding/json"
	"fmt"
	"math"
)

// outcome is what a run came to.
type outcome struct {
	id, notebook string
	objective    Objective
	score        float64 // the highest of its steps; NaN: none
	sought       float64 // what its sweep looks for; NaN: nothing, or it did not come to its end
}

// of returns what the run came to by an objective, by its score if that is none; NaN if that is not known.
func (o outcome) of(goal Objective) float64 {
	switch goal {
	case Objective{}:
		return o.score
	case o.objective:
		return o.sought
	}
	return math.NaN()
}

// outcomes returns the runs that came to something, in the order of their beginning.
// A run that was pruned came to nothing.
func (s *Store) outcomes() ([]outcome, error) {
	type found struct {
		outcome
		done    bool
		step    string
		summary json.RawMessage
	}
	list, err := lookup(s, func(f *found) []any {
		return []any{
			&f.id, &f.notebook, words{&f.objective.Fact}, &f.objective.Minimize, &f.done, real{&f.score}, &f.step, rawJSON{&f.summary},
		}
	}, `SELECT r.id, r.notebook, r.objective, coalesce(r.minimize, 0), r.status IS 'done',
			iif(json_type(s.summary, '$.score') IN ('real', 'integer'), json_extract(s.summary, '$.score'), NULL) AS score, s.name, s.summary
		FROM run AS r JOIN run_step AS u ON u.run = r.id JOIN step AS s ON s.key = u.key
		WHERE r.pruned IS NULL AND (score IS NOT NULL OR r.objective IS NOT NULL) ORDER BY r.seq, u.seq`)
	var out []outcome
	for _, f := range list {
		if len(out) == 0 || out[len(out)-1].id != f.id {
			f.sought = math.NaN()
			out = append(out, f.outcome)
		}
		o := &out[len(out)-1]
		if f.score > o.score || math.IsNaN(o.score) {
			o.score = f.score
		}
		if x, ok := f.objective.Of(f.step, f.summary); ok && f.done {
			o.sought = x
		}
	}
	return out, err
}

// best returns the best of some runs, of equals the first, by what the last of them that came
// to something looks for: its sweep's objective, or the score. "" if none came to anything.
func best(list []outcome) (id string) {
	var goal Objective
	for _, o := range list {
		if !math.IsNaN(o.of(o.objective)) {
			goal = o.objective
		}
	}
	top := math.Inf(-1)
	for _, o := range list {
		value := o.of(goal)
		if goal.Minimize {
			value = -value
		}
		if value > top {
			id, top = o.id, value
		}
	}
	return id
}

// bestRun is what @best means.
func (s *Store) bestRun() (string, error) {
	list, err := s.outcomes()
	id := best(list)
	if err == nil && id == "" {
		err = fmt.Errorf("store: no run has a score yet (%w): evaluate a model, or run a sweep with an objective", ErrNotFound)
	}
	return id, err
}

// bestRuns returns the best run of each notebook.
func (s *Store) bestRuns() ([]string, error) {
	list, err := s.outcomes()
	of := map[string][]outcome{}
	for _, o := range list {
		of[o.notebook] = append(of[o.notebook], o)
	}
	ids := make([]string, 0, len(of))
	for _, runs := range of {
		if id := best(runs); id != "" {
			ids = append(ids, id)
		}
	}
	return ids, err
}
