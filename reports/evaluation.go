package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"starbook/runtime/store"
)

// evaluation is what a page shows of a graded set of answers.
type evaluation struct {
	Banner   string
	Sentence string
	Support  string
	Outcomes *figure
	Groups   *figure
	Browser  shelf
	Rendered excerpt // the first question as the model saw it
	Template string  // digest, short
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
	return &evaluation{
		Banner: s.banner(), Sentence: s.sentence(), Support: s.support(), Outcomes: outcomeBars(s), Groups: groupBars(s.counted(samples)),
		Browser: answersShelf(u.Key.Short(), samples), Rendered: cut(s.Rendered), Template: clip(s.Template, 9),
	}, nil
}

// sentence says what passed, of the items that count.
func (s scored) sentence() string {
	if s.N == 0 {
		return "No item counts: all were trained on, or could not be graded."
	}
	low, high := s.interval()
	return fmt.Sprintf("%s passed: %s of %s (95%s%% interval %s–%s).",
		percent(s.rate()), count(int64(s.Passed)), count(int64(s.N)), nb, rate(low), rate(high))
}

// banner says that items were trained on; "" if none was found.
func (s scored) banner() string {
	if s.Leaked == 0 {
		return ""
	}
	var by []string
	for _, how := range []string{"id", "parent", "exact", "13-gram", "near", "few-shot"} {
		if n := s.Leaks[how]; n > 0 {
			by = append(by, how+" "+count(int64(n)))
		}
	}
	text := fmt.Sprintf("%s of the items are, or nearly equal, training rows (found by %s).", count(int64(s.Leaked)), strings.Join(by, ", "))
	if s.Twins > 0 && s.Leaks["id"]+s.Leaks["parent"]+s.Leaks["exact"] == 0 {
		text += fmt.Sprintf(" For comparison: %s of the items are as near to another item of the test itself.", count(int64(s.Twins)))
	}
	if s.AllowLeak {
		text += " The script allows it (allow_leak = True): they count below, and say nothing about new items."
		if s.CleanN > 0 {
			low, high := wilson(s.CleanPassed, s.CleanN)
			text += fmt.Sprintf(" Without them: %s (%s–%s, n%s%s).", percent(float64(s.CleanPassed)/float64(s.CleanN)), rate(low), rate(high), nb, count(int64(s.CleanN)))
		}
		return text
	}
	text += " They do not count below."
	if s.Selected {
		text += " They were chosen by an evaluation of these very items: what is left is no fair sample either. Evaluate on other items."
	}
	if s.AllN > 0 {
		text += fmt.Sprintf(" With them the rate would be %s.", percent(float64(s.AllPassed)/float64(s.AllN)))
	}
	return text
}

// support says how fine the evaluation is, and what else was counted.
func (s scored) support() string {
	var parts []string
	if s.MDE > 0 {
		parts = append(parts, fmt.Sprintf("On as many items, paired, a true difference of %s points to another model is found in 80 of 100 cases (if the two disagree on 10%s%% of them).", rate(s.MDE), nb))
	}
	if s.Clusters > 0 {
		parts = append(parts, fmt.Sprintf("The answers belong to %s parents; the interval takes that into account.", count(int64(s.Clusters))))
	}
	if at := passAtList(s.PassAt); at != "" {
		parts = append(parts, "Of several answers to an item, at least one passes: "+at+".")
	}
	if s.AccNorm != nil {
		parts = append(parts, fmt.Sprintf("By log-likelihood per character (acc_norm): %s (%s–%s).", percent(*s.AccNorm), rate(s.AccNormLow), rate(s.AccNormHigh)))
	}
	if s.TrainedRows > 0 && s.Leaked == 0 {
		parts = append(parts, fmt.Sprintf("None of the items was found among the %s that the model was trained on.", plural(int64(s.TrainedRows), "row")))
	}
	return strings.Join(parts, " ")
}

// passAtList writes pass@k for the k that people ask for.
func passAtList(at map[string]float64) string {
	var ks []int
	for k := range at {
		if n, err := strconv.Atoi(k); err == nil {
			ks = append(ks, n)
		}
	}
	slices.Sort(ks)
	var parts []string
	for i, k := range ks {
		if k == 1 || k%5 == 0 && k <= 10 || k%100 == 0 || i == len(ks)-1 {
			parts = append(parts, fmt.Sprintf("pass@%d%s%s", k, nb, percent(at[strconv.Itoa(k)])))
		}
	}
	return strings.Join(parts, ", ")
}

// outcomeOrder is the order in which classes of answers are told.
var outcomeOrder = []string{"pass", "fail", "truncated", "empty", "unparsable", "refused", "unscored"}

// outcomeBars draws how many answers fell into each class; nil where all that
// is to say is pass and fail.
func outcomeBars(s scored) *figure {
	b := bars{Title: "What became of the answers", Rates: true, Max: 1}
	names := slices.Clone(outcomeOrder)
	var extra []string
	total := 0
	for k, n := range s.Outcomes {
		total += n
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
		b.Rows = append(b.Rows, barRow{k, []barValue{{Value: float64(n) / float64(total), Low: math.NaN(), High: math.NaN(), Note: count(int64(n))}}})
	}
	if !odd {
		return nil
	}
	return b.figure()
}

// group counts the answers of one group; after is what passed on the other side of
// a comparison.
type group struct{ n, passed, after int }

// counted returns the samples that count in the rate: graded, and not trained on
// unless that is allowed.
func (s scored) counted(samples []store.Sample) []store.Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(x store.Sample) bool {
		return x.Outcome == "unscored" || x.Leak != "" && !s.AllowLeak
	})
}

// groupsOf counts the samples by group.
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
