package reports

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// comparePage is what the page of several runs shows.
type comparePage struct {
	Title    string
	Sweep    string           // that all runs are trials of
	Sought   *store.Objective // of that sweep
	Verdict  verdict
	Goal     goal
	Params   []string // that differ
	Same     int      // how many do not
	More     int      // how many more differ than are shown
	Board    []boardRow
	Left     int // runs that the board leaves out
	Tested   int // runs of the board that were tested against the leader
	Figures  []*figure
	Seeds    table  // see sweepView
	Few      string // see sweepView
	Matrix   matrix
	Texts    []codeDiff
	Env      table
	Rerun    string // the commands of the first runs
	Total    costs
	Failures int
	Pruned   int
	Loss     float64 // the lowest
	Linked   bool
}

// boardRow is a run on the leader board.
type boardRow struct {
	*run
	Values       []string // of the params that differ
	Passed, N    int
	Low, High    float64
	Loss         float64
	Value        float64 // by the board's goal; NaN: none
	Costs        costs
	Against      string // paired test against the leader
	scoresKey    string // the evaluation that the score comes from
	trainingKeys []cas.Digest
}

// How much of very many runs a page shows.
const (
	boardRuns   = 1000
	boardParams = 10
	pairedRuns  = 12
	matrixRuns  = 16
	matrixRows  = 80
	boldCurves  = 5
	allCurves   = 150
	ratedRuns   = 24
)

// compare renders the page of several runs.
func (b *builder) compare(refs []string) (Page, error) {
	var rows []boardRow
	seen := map[string]bool{}
	all, err := loadAll(b.st, refs)
	if err != nil {
		return Page{}, err
	}
	for _, r := range all {
		if !seen[r.ID] {
			seen[r.ID] = true
			rows = append(rows, newBoardRow(r))
		}
	}
	first := rows[0].run
	v := comparePage{Goal: goalOf(rows), Params: differing(rows), Loss: math.NaN(), Linked: b.linked}
	v.Same = len(first.Settings) - len(v.Params)
	if v.More = len(v.Params) - boardParams; v.More > 0 {
		v.Params = v.Params[:boardParams]
	}
	for i := range rows {
		rows[i].Values = valuesOf(rows[i].run, v.Params)
		v.Total = v.Total.plus(rows[i].Costs)
		switch rows[i].Status {
		case store.Failed:
			v.Failures++
		case store.Pruned:
			v.Pruned++
		}
		if l := rows[i].Loss; finite(l) && !(v.Loss <= l) {
			v.Loss = l
		}
	}
	byStart := slices.Clone(rows)
	v.Goal.rank(rows)
	if v.Verdict, err = b.leader(rows, v.Params, v.Goal); err != nil {
		return Page{}, err
	}
	for _, r := range rows {
		if r.Against != "" {
			v.Tested++
		}
	}
	if v.Figures, err = b.overlays(rows, v.Params, v.Goal); err != nil {
		return Page{}, err
	}
	s := sweepOf(boardSweep(rows, v.Params, v.Goal))
	v.Figures, v.Seeds, v.Few = append(s.Figures, v.Figures...), s.Seeds, s.Few
	if f := ganttOf(byStart); f != nil {
		v.Figures = append(v.Figures, f)
	}
	v.Title = compareTitle(rows)
	if !slices.ContainsFunc(rows, func(r boardRow) bool { return r.Sweep != first.Sweep }) {
		if v.Sweep = first.Sweep; v.Goal.Sought {
			v.Sought = &first.Objective
		}
	}
	v.Matrix = matrixOf(byStart)
	v.Env = environments(byStart)
	if v.Texts, err = b.codeDiffs(byStart); err != nil {
		return Page{}, err
	}
	v.Rerun = commands(byStart)
	v.Board, v.Left = rows[:min(len(rows), boardRuns)], max(0, len(rows)-boardRuns)
	body, err := b.render("compare", v)
	return Page{Title: v.Title, Body: body}, err
}

// newBoardRow reads off a run what the board shows.
func newBoardRow(r *run) boardRow {
	row := boardRow{run: r, Loss: r.bestLoss(), Costs: r.costs()}
	if passed, n, ok := r.score(); ok {
		row.Passed, row.N = passed, n
		row.Low, row.High = wilson(passed, n)
	}
	if s := r.scores(); len(s) > 0 {
		row.scoresKey = s[len(s)-1].Key
	}
	if t, _, ok := r.best(); ok {
		row.scoresKey = t.score.Key
	}
	if c := r.comparisons(); len(c) > 0 {
		row.scoresKey = c[len(c)-1].B.Step
	}
	for _, u := range r.Uses {
		if _, ok := u.trained(); ok || u.Cut {
			row.trainingKeys = append(row.trainingKeys, u.Key)
		}
	}
	return row
}

// Rate returns the pass rate, NaN without an evaluation.
func (r boardRow) Rate() float64 {
	if r.N == 0 {
		return math.NaN()
	}
	return float64(r.Passed) / float64(r.N)
}

// boardSweep sees ranked runs as trials of a sweep over the params that differ.
func boardSweep(rows []boardRow, params []string, g goal) event.SweepData {
	d := event.SweepData{Objective: g.Name, Minimize: g.Minimize, Names: params}
	byTrial := slices.Clone(rows)
	slices.SortStableFunc(byTrial, func(a, b boardRow) int { return a.Trial - b.Trial })
	for _, r := range byTrial {
		t := event.SweepTrial{N: r.N, Passed: r.Passed, Pruned: r.Pruned}
		for _, word := range r.Values {
			t.Values = append(t.Values, value(word))
		}
		if finite(r.Value) {
			t.Value = &r.Value
		}
		d.Trials = append(d.Trials, t)
	}
	return d
}

// value is a setting's value as a number, if it is one.
func value(word string) any {
	if x, err := strconv.ParseFloat(word, 64); err == nil && finite(x) {
		return x
	}
	return word
}

// plus adds two costs.
func (c costs) plus(d costs) costs {
	return costs{c.Seconds + d.Seconds, c.USD + d.USD, c.SavedSeconds + d.SavedSeconds, c.SavedUSD + d.SavedUSD, c.Hits + d.Hits, c.Steps + d.Steps}
}

// differing returns the names of the params that are not the same in all runs.
func differing(rows []boardRow) []string {
	values, runs := map[string]map[string]bool{}, map[string]int{}
	for _, r := range rows {
		for _, s := range r.Settings {
			if values[s.Name] == nil {
				values[s.Name] = map[string]bool{}
			}
			values[s.Name][s.Value] = true
			runs[s.Name]++
		}
	}
	var out []string
	for name, v := range values {
		if len(v) > 1 || runs[name] < len(rows) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// valuesOf returns the values of the named params.
func valuesOf(r *run, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		for _, s := range r.Settings {
			if s.Name == n {
				out[i] = clip(s.Value, 24)
			}
		}
	}
	return out
}

// compareTitle names the page after the notebook that the runs share.
func compareTitle(rows []boardRow) string {
	title := rows[0].title()
	for _, r := range rows {
		if r.title() != title {
			return count(int64(len(rows))) + " runs compared"
		}
	}
	return title + ": " + count(int64(len(rows))) + " runs"
}

// commands returns the commands that run the first runs again.
func commands(rows []boardRow) string {
	var out []string
	for _, r := range rows[:min(len(rows), matrixRuns)] {
		if c := rerun(r.run); c != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return strings.Join(out, "\n")
}
