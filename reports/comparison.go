package reports

import (
	"fmt"
	"slices"
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
	Groups  *figure
	Flips   []shelf
}

// comparisonOf joins the samples of both sides.
func comparisonOf(st *store.Store, d event.CompareData) (*comparison, error) {
	c := &comparison{CompareData: d, Verdict: compared(d), Rates: rateBars(d)}
	before, err := sideSamples(st, d.A)
	if err != nil {
		return nil, err
	}
	after, err := sideSamples(st, d.B)
	if err != nil {
		return nil, err
	}
	c.Groups = pairedGroups(before, after, d)
	c.Flips = flips(before, after)
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

// pairedGroups draws both pass rates of each group.
func pairedGroups(before, after []store.Sample, d event.CompareData) *figure {
	names, a := groupsOf(before)
	_, z := groupsOf(after)
	names = slices.DeleteFunc(names, func(n string) bool { _, ok := z[n]; return !ok })
	if len(names) < 2 {
		return nil
	}
	b := bars{Title: "Pass rate by group", Rates: true, Max: 1, Names: []string{d.A.Label, d.B.Label}, Inks: sideInks}
	for _, name := range firstGroups(&b, names, a) {
		b.Rows = append(b.Rows, barRow{groupLabel(name), []barValue{
			rateValue(a[name].passed, a[name].n), rateValue(z[name].passed, z[name].n),
		}})
	}
	return b.figure()
}

// flips lists the items that only one side passed.
func flips(before, after []store.Sample) []shelf {
	byItem := map[string]store.Sample{}
	for _, s := range before {
		byItem[item(s)] = s
	}
	var fixed, broken []sampleRow
	for _, s := range after {
		was, ok := byItem[item(s)]
		if !ok || (was.Outcome == "pass") == (s.Outcome == "pass") {
			continue
		}
		row := sampleRow{
			ID: sampleID(s), Group: s.Group, Outcome: was.Outcome + " → " + s.Outcome,
			Prompt: cut(s.Prompt), Want: cut(s.Want), Before: cut(was.Answer), After: cut(s.Answer),
			Note: cut(strings.Trim(was.Note+" → "+s.Note, " →")),
		}
		if s.Outcome == "pass" {
			fixed = append(fixed, row)
			continue
		}
		broken = append(broken, row)
	}
	var out []shelf
	for _, x := range []struct {
		title string
		rows  []sampleRow
	}{{"Broken: passed before, not after", broken}, {"Fixed: passes now, did not before", fixed}} {
		if len(x.rows) == 0 {
			continue
		}
		s := shelf{Title: x.title + ": " + count(int64(len(x.rows))), Rows: x.rows}
		if s.Left = max(0, len(x.rows)-shownSamples); s.Left > 0 {
			s.Rows = x.rows[:shownSamples]
		}
		out = append(out, s)
	}
	return out
}

// item is what makes two samples the same question.
func item(s store.Sample) string {
	if s.ID != "" {
		return s.ID
	}
	return fmt.Sprintf("\x00%d", s.Index)
}
