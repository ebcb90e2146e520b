package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"starbook/runtime/event"
)

// sweepView is a sweep of the notebook: what it found, every trial, and how the
// settings bear on the objective.
type sweepView struct {
	Title    string
	Sentence string
	Support  string
	Table    table  // of all trials
	Seeds    table  // mean and spread over seeds; no rows without a seed among the settings
	Few      string // what so few trials cannot tell
	Figures  []*figure
}

// sweepTrial is a trial that came to something, with its place in the sweep.
type sweepTrial struct {
	event.SweepTrial
	at    int
	value float64
	words []string // its values
}

// How much of a very long sweep a page shows.
const (
	sweepRows   = 200
	heatValues  = 12 // of a setting, in a heat map
	fewForShare = 8  // trials, below which no share of the spread is computed
)

// Long reports whether the table of trials is better folded away.
func (v sweepView) Long() bool { return len(v.Table.Rows) > 12 }

// sweepOf describes a sweep.
func sweepOf(d event.SweepData) sweepView {
	rates := d.Objective == "pass rate"
	v := sweepView{Title: d.Title}
	var trials []sweepTrial
	for i, t := range d.Trials {
		tr := sweepTrial{SweepTrial: t, at: i, value: math.NaN()}
		for k := range d.Names {
			word := ""
			if k < len(t.Values) {
				word = cellText(t.Values[k])
			}
			tr.words = append(tr.words, word)
		}
		if t.Value != nil {
			tr.value = *t.Value
		}
		trials = append(trials, tr)
	}
	v.Table = trialsTable(d, trials, rates)
	done := slices.DeleteFunc(slices.Clone(trials), func(t sweepTrial) bool { return !finite(t.value) })
	v.Sentence, v.Support = sweepVerdict(d, done, rates)
	v.Seeds = seedsTable(d, done, rates)
	if f := sweepHeat(d, done, rates); f != nil {
		v.Figures = append(v.Figures, f)
	}
	if f := parallelOf(d, done, rates); f != nil {
		v.Figures = append(v.Figures, f)
	}
	if f := effectsBars(d, done).figure(); f != nil {
		v.Figures = append(v.Figures, f)
	}
	if f := sweepTrace(d, done, rates); f != nil {
		v.Figures = append(v.Figures, f)
	}
	if len(done) < fewForShare && len(d.Names) > 1 {
		v.Few = fmt.Sprintf("%s are too few to tell how much each setting matters: it takes %d.", plural(int64(len(done)), "trial"), fewForShare)
	}
	return v
}

func sweepVerdict(d event.SweepData, done []sweepTrial, rates bool) (sentence, support string) {
	n, pruned := len(d.Trials), 0
	for _, t := range d.Trials {
		if t.Pruned != "" {
			pruned++
		}
	}
	if len(done) == 0 {
		return "None of " + plural(int64(n), "trial") + " came to its end.", ""
	}
	best := slices.MinFunc(done, func(a, b sweepTrial) int { return order(d, a.value, b.value) })
	sentence = "Best of " + plural(int64(n), "trial") + ": " + pointText(d.Names, best.words) + " with " + sweepText(best.value, rates)
	if best.N > 0 {
		low, high := wilson(best.Passed, best.N)
		sentence += fmt.Sprintf(" (95%s%% interval %s–%s, n%s%s)", nb, rate(low), rate(high), nb, count(int64(best.N)))
	}
	support = "It was picked on these very trials: expect a little less on new items and seeds."
	if pruned > 0 {
		support = plural(int64(pruned), "trial") + " pruned, for a validation loss that earlier trials had beaten. " + support
	}
	if failed := n - len(done) - pruned; failed > 0 {
		support = plural(int64(failed), "trial") + " failed. " + support
	}
	return sentence + ".", support
}

// pointText writes lr 0.001, patience 2.
func pointText(names, words []string) string {
	parts := make([]string, len(names))
	for k, name := range names {
		parts[k] = name + " " + words[k]
	}
	return strings.Join(parts, ", ")
}

func sweepText(v float64, rates bool) string {
	if rates {
		return percent(v)
	}
	return number(v)
}

// trialsTable lists the trials, best first, those without a value last.
func trialsTable(d event.SweepData, trials []sweepTrial, rates bool) table {
	sorted := slices.Clone(trials)
	slices.SortStableFunc(sorted, func(a, b sweepTrial) int {
		switch fa, fb := finite(a.value), finite(b.value); {
		case fa && fb:
			return order(d, a.value, b.value)
		case fa:
			return -1
		case fb:
			return 1
		}
		return 0
	})
	t := table{Columns: append(append([]string{"trial"}, d.Names...), d.Objective, "95"+nb+"% interval", "n", "no value because")}
	t.Num = slices.Repeat([]bool{true}, len(t.Columns))
	t.Num[len(t.Num)-1] = false
	for i, tr := range sorted {
		if i == sweepRows {
			t.Note = fmt.Sprintf("The best %d of %s.", sweepRows, plural(int64(len(sorted)), "trial"))
			break
		}
		row := append([]string{count(int64(tr.at + 1))}, tr.words...)
		interval, n, value := "", "", ""
		if finite(tr.value) {
			value = sweepText(tr.value, rates)
		}
		if tr.N > 0 {
			low, high := wilson(tr.Passed, tr.N)
			interval, n = rate(low)+"–"+rate(high), count(int64(tr.N))
		}
		why := clip(tr.Error, 200)
		if tr.Pruned != "" {
			why = "pruned at " + tr.Pruned
		}
		t.Rows = append(t.Rows, append(row, value, interval, n, why))
	}
	return t.dense()
}

// seedsTable joins the trials that differ in their seed only: mean and standard
// deviation. A difference smaller than that spread is none.
func seedsTable(d event.SweepData, done []sweepTrial, rates bool) table {
	seed := slices.IndexFunc(d.Names, func(n string) bool { return n == "seed" })
	if seed < 0 || len(d.Names) < 2 {
		return table{}
	}
	groups := map[string][]float64{}
	words := map[string][]string{}
	var keys []string
	for _, t := range done {
		rest := slices.Delete(slices.Clone(t.words), seed, seed+1)
		key := strings.Join(rest, "\x00")
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key], words[key] = append(groups[key], t.value), rest
	}
	slices.SortStableFunc(keys, func(a, b string) int { return order(d, mean(groups[a]), mean(groups[b])) })
	t := table{Title: "Mean over seeds, ± standard deviation", Columns: slices.Delete(slices.Clone(d.Names), seed, seed+1)}
	t.Columns = append(t.Columns, "mean "+d.Objective, "±", "seeds")
	t.Num = slices.Repeat([]bool{true}, len(t.Columns))
	for i, key := range keys {
		if i == sweepRows {
			break
		}
		sd := ""
		if len(groups[key]) > 1 {
			sd = sweepText(deviation(groups[key]), rates)
		}
		t.Rows = append(t.Rows, append(words[key], sweepText(mean(groups[key]), rates), sd, count(int64(len(groups[key])))))
	}
	return t
}

// effectsBars draws how much of the spread of the objective the value of each setting
// explains by itself: the sum of squares between its values over the whole one (eta
// squared). Few trials, or a setting that hardly repeats a value, say nothing.
func effectsBars(d event.SweepData, done []sweepTrial) bars {
	b := bars{Title: "Share of the spread that each setting explains by itself", Rates: true, Max: 1}
	if len(d.Names) < 2 || len(done) < fewForShare {
		return b
	}
	var all []float64
	for _, tr := range done {
		all = append(all, tr.value)
	}
	whole := squares(all, mean(all))
	if whole == 0 {
		return b
	}
	var silent []string
	for k, name := range d.Names {
		groups := map[string][]float64{}
		for _, tr := range done {
			groups[tr.words[k]] = append(groups[tr.words[k]], tr.value)
		}
		if 2*len(groups) > len(done) {
			silent = append(silent, name)
			continue
		}
		between := 0.0
		for _, value := range slices.Sorted(maps.Keys(groups)) {
			g := groups[value]
			between += float64(len(g)) * sq(mean(g)-mean(all))
		}
		b.Rows = append(b.Rows, barRow{name, []barValue{{Value: between / whole, Low: math.NaN(), High: math.NaN(), Note: plural(int64(len(groups)), "value")}}})
	}
	b.Note = "Settings that matter only together share nothing here. n" + nb + count(int64(len(done))) + "."
	if len(silent) > 0 {
		b.Note += " Too many values to tell: " + strings.Join(silent, ", ") + "."
	}
	return b
}

// sweepHeat maps the first two settings that have several values but not very many;
// trials that differ in others are averaged.
func sweepHeat(d event.SweepData, done []sweepTrial, rates bool) *figure {
	var dims []int
	values := make([][]string, len(d.Names))
	for k, name := range d.Names {
		if values[k] = distinct(done, k); name != "seed" && len(values[k]) >= 2 && len(values[k]) <= heatValues {
			dims = append(dims, k)
		}
	}
	if len(dims) < 2 {
		return nil
	}
	r, c := dims[0], dims[1]
	h := heatmap{
		Title: capital(d.Objective) + ": " + d.Names[r] + " × " + d.Names[c],
		Rows:  d.Names[r], Cols: d.Names[c], RowAt: values[r], ColAt: values[c], Rates: rates, Reverse: d.Minimize,
	}
	least, most := math.MaxInt, 0
	for _, row := range h.RowAt {
		cells := make([]heatCell, len(h.ColAt))
		for k, col := range h.ColAt {
			var vs []float64
			for _, t := range done {
				if t.words[r] == row && t.words[c] == col {
					vs = append(vs, t.value)
				}
			}
			if len(vs) > 0 {
				cells[k] = heatCell{mean(vs), len(vs)}
				least, most = min(least, len(vs)), max(most, len(vs))
			}
		}
		h.Cells = append(h.Cells, cells)
	}
	switch {
	case most == 1:
		h.Note = "One trial in each cell."
	case least == most:
		h.Note = fmt.Sprintf("Means of %d trials in each cell.", most)
	default:
		h.Note = fmt.Sprintf("Means of %d to %d trials in each cell.", least, most)
	}
	if rates {
		h.Note = "In percent. " + h.Note
	}
	return h.figure()
}

// distinct returns the values of setting k, numbers by size.
func distinct(done []sweepTrial, k int) []string {
	at := map[string]any{}
	for _, t := range done {
		if k < len(t.Values) {
			at[t.words[k]] = t.Values[k]
		}
	}
	words := slices.Sorted(maps.Keys(at))
	slices.SortStableFunc(words, func(a, b string) int {
		x, isX := at[a].(float64)
		y, isY := at[b].(float64)
		if isX && isY {
			return cmpFloat(x, y)
		}
		return 0
	})
	return words
}

// sweepTrace draws the objective in the order of the trials with the best one so far.
func sweepTrace(d event.SweepData, done []sweepTrial, rates bool) *figure {
	if len(done) < fewForShare {
		return nil
	}
	unit, factor := d.Objective, 1.0
	if rates {
		unit, factor = d.Objective+" (%)", 100
	}
	c := chart{Title: capital(unit) + " in the order of the trials", XLab: "trial"}
	each, best := curve{Name: "a trial", Ink: "c8", Dots: true, Bare: true}, curve{Name: "best so far", Ink: "c1"}
	top := done[0].value
	for _, t := range done {
		if order(d, t.value, top) < 0 {
			top = t.value
		}
		x := float64(t.at + 1)
		each.Xs, each.Ys = append(each.Xs, x), append(each.Ys, factor*t.value)
		best.Xs, best.Ys = append(best.Xs, x), append(best.Ys, factor*top)
	}
	c.Curves, c.LogY = []curve{each, best}, !rates && wideAxis(each.Ys)
	return c.figure()
}

// order sorts better values of the objective before worse ones.
func order(d event.SweepData, a, b float64) int {
	if d.Minimize {
		return cmpFloat(a, b)
	}
	return cmpFloat(b, a)
}

func mean(vs []float64) float64 {
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	return sum / float64(len(vs))
}

// deviation is the standard deviation of a sample.
func deviation(vs []float64) float64 { return math.Sqrt(squares(vs, mean(vs)) / float64(len(vs)-1)) }

func squares(vs []float64, around float64) float64 {
	sum := 0.0
	for _, v := range vs {
		sum += sq(v - around)
	}
	return sum
}

func sq(x float64) float64 { return x * x }
