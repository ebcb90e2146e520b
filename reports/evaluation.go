package reports

import (
	"fmt"
	"math"
	"slices"

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
