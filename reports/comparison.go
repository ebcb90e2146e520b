package reports

import (
	"fmt"
	"math"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// comparison is two evaluations of the same items.
type comparison struct {
	event.CompareData
	Verdict verdict
	Rates   *figure
	Change  *figure
	Groups  *figure
	Table   *table // by category
	Flips   shelf
}

// comparisonOf joins the samples of both sides.
func comparisonOf(st *store.Store, d event.CompareData) (*comparison, error) {
	c := &comparison{CompareData: d, Verdict: compared(d), Rates: rateBars(d), Change: changeForest(d), Table: categoryTable(d)}
	before, err := sideSamples(st, d.A)
	if err != nil {
		return nil, err
	}
	after, err := sideSamples(st, d.B)
	if err != nil {
		return nil, err
	}
	c.Groups = pairedGroups(d)
	c.Flips = flipsShelf(clip(d.A.Step, 9)+"-"+clip(d.B.Step, 9)+clip(d.Title, 1), before, after)
	return c, nil
}

// sideSamples reads the samples behind one side; a side without a step has none.
func sideSamples(st *store.Store, s event.Side) ([]store.Sample, error) {
	if s.Step == "" {
		return nil, nil
	}
	key, err := cas.Parse(s.Step)
	if err != nil {
		return nil, fmt.Errorf("comparison: step %q: %w", s.Step, err)
	}
	samples, err := st.Samples(key)
	if err != nil {
		return nil, fmt.Errorf("samples of step %s: %w", key.Short(), err)
	}
	return samples, nil
}

// sideInks are the inks of the two sides of a comparison.
var sideInks = []ink{"c8", "c1"}

// rateBars draws both pass rates.
func rateBars(d event.CompareData) *figure {
	b := bars{Title: "Pass rate", Rates: true, Max: 1, Note: "Whiskers: 95" + nb + "% Wilson intervals."}
	for i, s := range []event.Side{d.A, d.B} {
		v := rateValue(s.Passed, s.N)
		if s.High > s.Low {
			v.Low, v.High = s.Low, s.High
		}
		v.Ink = sideInks[i]
		b.Rows = append(b.Rows, barRow{s.Label, []barValue{v}})
	}
	return b.figure()
}

// pairedGroups draws both pass rates of each category, of the items that count.
func pairedGroups(d event.CompareData) *figure {
	if len(d.Groups) == 0 {
		return nil
	}
	b := bars{Title: "Pass rate by group", Rates: true, Max: 1, Names: []string{d.A.Label, d.B.Label}, Inks: sideInks}
	by, names := map[string]group{}, []string(nil)
	for _, g := range d.Groups {
		names, by[g.Name] = append(names, g.Name), group{n: g.Items, passed: g.A, after: g.B}
	}
	for _, name := range firstGroups(&b, names, by) {
		g := by[name]
		b.Rows = append(b.Rows, barRow{groupLabel(name), []barValue{rateValue(g.passed, g.n), rateValue(g.after, g.n)}})
	}
	return b.figure()
}

// categoryTable is what a comparison says about each category.
func categoryTable(d event.CompareData) *table {
	if len(d.Groups) == 0 {
		return nil
	}
	t := &table{
		Title:   "By category",
		Columns: []string{"category", "n", "before", "after", "change", "fixed", "broken", "p", "p, adjusted"},
		Num:     []bool{false, true, true, true, true, true, true, true, true},
		Note: fmt.Sprintf("Exact McNemar within each of %d categories. The adjusted p (Holm) holds for all of them together: of %d tests at 5%s%%, one finds a difference by chance in up to %s of cases.",
			len(d.Groups), len(d.Groups), nb, percent(1-math.Pow(0.95, float64(len(d.Groups))))),
	}
	for _, g := range d.Groups {
		n := float64(g.Items)
		t.Rows = append(t.Rows, []string{
			groupLabel(g.Name), count(int64(g.Items)), percent(float64(g.A) / n), percent(float64(g.B) / n), signed(float64(g.B-g.A) / n),
			count(int64(g.Fixed)), count(int64(g.Broken)), strings.TrimPrefix(pvalue(g.P), "= "), strings.TrimPrefix(pvalue(g.PHolm), "= "),
		})
	}
	return t
}
