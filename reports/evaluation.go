package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// evaluation is what a page shows of a graded set of answers.
type evaluation struct {
	Sentence string
	Outcomes *figure
	Groups   *figure
	Browser  []shelf
}

// shelf is a stretch of samples of one sort.
type shelf struct {
	Title string
	Open  bool
	Rows  []sampleRow
	Left  int // that the page leaves out
}

// sampleRow is one graded answer, or with Before two of them.
type sampleRow struct {
	ID, Group, Outcome          string
	Prompt, Want, Before, After excerpt
	Note                        excerpt
	Tokens                      int
}

// shownSamples is how many samples of one sort a page holds, shownGroups how
// many groups.
const (
	shownSamples = 50
	shownGroups  = 24
)

// evaluationOf reads the samples of an evaluation.
func evaluationOf(st *store.Store, u use, s scored) (*evaluation, error) {
	samples, err := st.Samples(u.Key)
	if err != nil {
		return nil, fmt.Errorf("samples of step %s: %w", u.Key.Short(), err)
	}
	e := &evaluation{Sentence: s.sentence(), Outcomes: outcomeBars(s), Groups: groupBars(samples)}
	var passed, failed []store.Sample
	for _, x := range samples {
		if x.Outcome == "pass" {
			passed = append(passed, x)
			continue
		}
		failed = append(failed, x)
	}
	e.Browser = append(e.Browser, shelve("Not passed", failed), shelve("Passed", passed))
	e.Browser = slices.DeleteFunc(e.Browser, func(s shelf) bool { return len(s.Rows) == 0 })
	return e, nil
}

// sentence says what passed.
func (s scored) sentence() string {
	low, high := wilson(s.Passed, s.N)
	return fmt.Sprintf("%s passed: %s of %s (95%s%% interval %s–%s).",
		percent(s.rate()), count(int64(s.Passed)), count(int64(s.N)), nb, rate(low), rate(high))
}

// outcomeOrder is the order in which classes of answers are told.
var outcomeOrder = []string{"pass", "fail", "truncated", "empty", "unparsable", "refused", "unscored"}

// outcomeBars draws how many answers fell into each class; nil where all that
// is to say is pass and fail.
func outcomeBars(s scored) *figure {
	b := bars{Title: "What became of the answers", Rates: true, Max: 1}
	names := slices.Clone(outcomeOrder)
	var extra []string
	for k := range s.Outcomes {
		if !slices.Contains(names, k) {
			extra = append(extra, k)
		}
	}
	slices.Sort(extra)
	odd := false
	for _, k := range append(names, extra...) {
		n := s.Outcomes[k]
		if n == 0 {
			continue
		}
		odd = odd || k != "pass" && k != "fail"
		b.Rows = append(b.Rows, barRow{k, []barValue{{Value: float64(n) / float64(s.N), Low: math.NaN(), High: math.NaN(), Note: count(int64(n))}}})
	}
	if !odd {
		return nil
	}
	return b.figure()
}

// group counts the answers of one group.
type group struct{ n, passed int }

// groupsOf counts the samples by group; unscored ones count as not passed.
func groupsOf(samples []store.Sample) (names []string, by map[string]group) {
	by = map[string]group{}
	for _, s := range samples {
		g, ok := by[s.Group]
		if !ok {
			names = append(names, s.Group)
		}
		g.n++
		if s.Outcome == "pass" {
			g.passed++
		}
		by[s.Group] = g
	}
	slices.Sort(names)
	return names, by
}

// groupBars draws the pass rate of each group, if there are several.
func groupBars(samples []store.Sample) *figure {
	names, by := groupsOf(samples)
	if len(names) < 2 {
		return nil
	}
	b := bars{Title: "Pass rate by group", Rates: true, Max: 1}
	for _, name := range firstGroups(&b, names, by) {
		b.Rows = append(b.Rows, barRow{groupLabel(name), []barValue{rateValue(by[name].passed, by[name].n)}})
	}
	return b.figure()
}

// firstGroups keeps the largest groups where they are too many to draw, and
// says so in the note of b.
func firstGroups(b *bars, names []string, by map[string]group) []string {
	b.Note = "Whiskers: 95" + nb + "% Wilson intervals."
	if len(names) <= shownGroups {
		return names
	}
	b.Note += fmt.Sprintf(" The %d largest of %s.", shownGroups, plural(int64(len(names)), "group"))
	names = slices.Clone(names)
	slices.SortStableFunc(names, func(x, y string) int { return by[y].n - by[x].n })
	return names[:shownGroups]
}

// groupLabel names the group of samples without one.
func groupLabel(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// shelve cuts samples to what a page holds.
func shelve(title string, samples []store.Sample) shelf {
	s := shelf{Title: title + ": " + count(int64(len(samples)))}
	if s.Left = len(samples) - shownSamples; s.Left > 0 {
		samples = samples[:shownSamples]
	} else {
		s.Left = 0
	}
	for _, x := range samples {
		s.Rows = append(s.Rows, sampleRow{
			ID: sampleID(x), Group: x.Group, Outcome: x.Outcome, Tokens: x.Tokens,
			Prompt: cut(x.Prompt), Want: cut(x.Want), After: cut(x.Answer), Note: cut(x.Note),
		})
	}
	return s
}

// sampleID names a sample for people.
func sampleID(s store.Sample) string {
	if s.ID != "" {
		return s.ID
	}
	return "#" + count(int64(s.Index))
}

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
