package reports

import (
	"cmp"
	"math"
	"slices"

	"starbook/runtime/store"
)

// goal is what a board ranks runs by.
type goal struct {
	Name     string // pass rate, eval loss, or the fact that the runs' sweep looks for
	Minimize bool
	Rates    bool // it is a pass rate, which has an interval
	Sought   bool // by the sweep; else it is what there is to rank by
	Own      bool // it is neither pass rate nor evaluation loss, which every board shows
}

// goalOf returns what the sweep of the runs looks for, if all are of sweeps that look for the same; else the
// pass rate, or where nothing was evaluated the evaluation loss.
func goalOf(rows []boardRow) goal {
	o := rows[0].Objective
	switch {
	case o.Fact != "" && !slices.ContainsFunc(rows, func(r boardRow) bool { return r.Objective != o }):
		g := goal{Name: o.Fact, Minimize: o.Minimize, Sought: true}
		switch o.Key() {
		case "pass_rate":
			g.Name, g.Rates = "pass rate", true
		case "best_eval_loss":
			g.Name = "eval loss"
		default:
			g.Own = true
		}
		return g
	case slices.ContainsFunc(rows, func(r boardRow) bool { return r.N > 0 }):
		return goal{Name: "pass rate", Rates: true}
	}
	return goal{Name: "eval loss", Minimize: true}
}

// LossAside reports whether the evaluation loss has a column though it is not what counts.
func (g goal) LossAside() bool { return g.Rates || g.Own }

// String says how the board is sorted.
func (g goal) String() string { return g.Name + ", " + g.superlative() + " first" }

func (g goal) superlative() string {
	if g.Minimize {
		return "least"
	}
	return "greatest"
}

// text writes a value.
func (g goal) text(v float64) string { return sweepText(v, g.Rates) }

// Tile shows the value that leads the board; nil if that has a tile anyway.
func (g goal) Tile(v float64) *tile {
	switch {
	case !finite(v):
		return nil
	case g.Rates:
		return &tile{Name: "best " + g.Name, Value: g.text(v)}
	case g.Own:
		return &tile{Name: g.superlative() + " " + g.Name, Value: g.text(v)}
	}
	return nil
}

// rank values the rows and sorts them.
func (g goal) rank(rows []boardRow) {
	for i, r := range rows {
		rows[i] = g.valued(r)
	}
	slices.SortStableFunc(rows, g.compare)
}

// compare sorts valued rows: those without a value behind the others, those that were pruned last.
// Of equals in what a sweep looks for the first trial leads, as in the sweep's own words.
func (g goal) compare(a, b boardRow) int {
	place := func(r boardRow) (pruned int, value, loss float64) {
		if r.Status == store.Pruned {
			pruned = 1
		}
		value = r.Value
		if !g.Minimize {
			value = -value
		}
		if !g.Sought {
			loss = orLast(r.Loss)
		}
		return pruned, orLast(value), loss
	}
	prunedA, valueA, lossA := place(a)
	prunedB, valueB, lossB := place(b)
	return cmp.Or(prunedA-prunedB, cmp.Compare(valueA, valueB), cmp.Compare(lossA, lossB), a.Trial-b.Trial, cmp.Compare(a.ID, b.ID))
}

// valued returns the row with what its run came to, NaN if that is not known. A pass rate or a loss that is
// sought becomes the one that the row shows.
func (g goal) valued(r boardRow) boardRow {
	switch {
	case r.Status == store.Pruned, g.Sought && r.Status != store.Done: // what it has by now may be the base's
		r.Value = math.NaN()
	case g.Sought:
		r.Value = math.NaN()
		if u, x, ok := r.sought(); ok {
			r.Value = x
			switch s, evaluated := u.scored(); {
			case g.Own:
			case !g.Rates:
				r.Loss = x
			case evaluated:
				r.Passed, r.N, r.scoresKey = s.Passed, s.N, s.Key
				r.Low, r.High = s.interval()
			}
		}
	case g.Rates:
		r.Value = r.Rate()
	default:
		r.Value = r.Loss
	}
	return r
}

// sought returns the step that has the fact which the run's sweep looks for, and the fact.
func (r *run) sought() (u use, value float64, ok bool) {
	for _, u := range slices.Backward(r.Uses) {
		if x, ok := r.Objective.Of(u.Name, u.Step.Summary); ok {
			return u, x, true
		}
	}
	return use{}, 0, false
}

// orLast makes NaN the greatest of all.
func orLast(v float64) float64 {
	if math.IsNaN(v) {
		return math.Inf(1)
	}
	return v
}
