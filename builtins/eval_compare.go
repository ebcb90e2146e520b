package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/builtins/grade"
	"starbook/runtime/event"
	"starbook/runtime/stats"
	"starbook/runtime/store"
)

type evalCompareArgs struct {
	Before Handle `arg:"before" kind:"scores" doc:"of eval.run"`
	After  Handle `arg:"after" kind:"scores" doc:"of eval.run on the same items"`
}

func evalCompare() Func {
	return plain("eval.compare", "Compares two evaluations item by item.\n"+
		"Exact McNemar (p) and its mid-p, and the difference with its 95 % paired bootstrap interval. Only items that both answered and could grade count, and none that either model was trained on. Items of\n"+
		"one parent are drawn together, and p is then that of sign flips by parent.\n"+
		"Returns a struct with items, fixed, broken, p, p_mid, diff, low, high, mde, leaked, fixed_ids, broken_ids and groups\n"+
		"(by category, with p adjusted by Holm's method).",
		func(_ context.Context, c *Call, a evalCompareArgs) (starlark.Value, error) {
			data, pairs, err := compareScores(c.Run.Store, a.Before, a.After)
			if err != nil {
				return nil, err
			}
			return comparisonValue(data, pairs)
		})
}

// twin is one item in two evaluations.
type twin struct{ before, after store.Sample }

func (p twin) leaked() bool { return p.before.Leak != "" || p.after.Leak != "" }

// diff is 1 if the item was fixed, -1 if it was broken.
func (p twin) diff() float64 { return score01(p.after) - score01(p.before) }

func score01(s store.Sample) float64 {
	if passed(s) {
		return 1
	}
	return 0
}

// twinsOf pairs two evaluations by item; only the same question with the same
// reference is the same item.
func twinsOf(before, after []store.Sample) []twin {
	second := make(map[string]store.Sample, len(after))
	for _, s := range after {
		second[s.ID] = s
	}
	var out []twin
	for _, s := range before {
		if t, ok := second[s.ID]; ok && t.Prompt == s.Prompt && t.Want == s.Want {
			out = append(out, twin{s, t})
			delete(second, s.ID) // an id that occurs twice is paired once
		}
	}
	return out
}

// scoresFacts are what is read of a summary of scores.
type scoresFacts struct {
	Model, Grader, Template string
	GraderVersion           string `json:"grader_version"`
	AllowLeak               bool   `json:"allow_leak"`
	Selected                bool
	Twins                   int
	Leaks                   map[string]int
	Outcomes                map[string]int
	N, Passed               int
	Items, Leaked           int
	Rate                    float64 `json:"pass_rate"`
	Low, High               float64
}

func factsOf(h Handle) (f scoresFacts) {
	_ = json.Unmarshal(h.Summary, &f) // a summary of ours
	return f
}

// compareScores compares two evaluations; the pairs are those that count.
func compareScores(st *store.Store, a, b Handle) (event.CompareData, []twin, error) {
	before, err := samplesOf(st, a)
	if err != nil {
		return event.CompareData{}, nil, err
	}
	after, err := samplesOf(st, b)
	if err != nil {
		return event.CompareData{}, nil, err
	}
	fa, fb := factsOf(a), factsOf(b)
	data := event.CompareData{}
	all := twinsOf(before, after)
	if len(all) == 0 {
		return data, nil, errors.New("the two evaluations have no item in common")
	}
	common := len(all)
	if n := max(len(before), len(after)); common < n {
		data.Warnings = append(data.Warnings, fmt.Sprintf("only %d of %d items are in both", common, n))
	}
	all = slices.DeleteFunc(all, func(p twin) bool { return !counts(p.before) || !counts(p.after) })
	if n := common - len(all); n > 0 {
		data.Warnings = append(data.Warnings, fmt.Sprintf("%d of %d items could not be graded on one side at least and do not count", n, common))
	}
	pairs := slices.Clone(all)
	allowed := fa.AllowLeak || fb.AllowLeak
	if !allowed {
		pairs = slices.DeleteFunc(pairs, twin.leaked)
	}
	for _, p := range all {
		if p.leaked() {
			data.Leaked++
		}
	}
	if data.Leaked > 0 {
		data.Banner = leakBanner(data.Leaked, len(all), allowed, fa, fb)
		other := all
		if allowed {
			other = slices.DeleteFunc(slices.Clone(all), twin.leaked)
		}
		both := bothOf(other)
		data.Allowed, data.Other = allowed, &both
	}
	if len(pairs) == 0 {
		return data, nil, fmt.Errorf("no item is left to compare: %s", data.Banner)
	}
	data.A, data.B = sideOf(a, fa, pairs, false), sideOf(b, fb, pairs, true)
	data.Warnings = append(data.Warnings, differences(fa, fb)...)
	if err := fillComparison(&data, pairs); err != nil {
		return data, nil, err
	}
	return data, pairs, nil
}

// leakBanner says what was found, and what it means for the numbers below it.
func leakBanner(leaked, of int, allowed bool, a, b scoresFacts) string {
	text := fmt.Sprintf("%d of %d items are, or nearly equal, training rows", leaked, of)
	by, twins := map[string]int{}, 0
	for _, f := range []scoresFacts{a, b} {
		twins = max(twins, f.Twins)
		for how, n := range f.Leaks {
			by[how] = max(by[how], n)
		}
	}
	if len(by) > 0 {
		text += " (found by " + counted(by) + ")"
	}
	if twins > 0 && by["id"]+by["parent"]+by["exact"] == 0 {
		text += fmt.Sprintf("; for comparison, %d items are as near to another item of the test itself", twins)
	}
	if allowed {
		return text + ". The script allows it (allow_leak = True): they count below, and say nothing about new items."
	}
	text += ". They do not count below."
	if a.Selected || b.Selected {
		text += " They were chosen by an evaluation of these very items: those that are left are the ones that were right before, and no fair sample either. Evaluate on other items."
	}
	return text
}

// differences are what makes two evaluations hard to compare.
func differences(a, b scoresFacts) (warnings []string) {
	if a.GraderVersion != b.GraderVersion {
		warnings = append(warnings, fmt.Sprintf("two graders judged: %s before, %s after; eval.regrade puts both under one, eval.explain tells what that changes", a.Grader, b.Grader))
	}
	if a.Template != b.Template {
		warnings = append(warnings, "the questions were put in two ways: system, examples or prompt differ")
	}
	for _, f := range []struct {
		facts scoresFacts
		when  string
	}{{a, "before"}, {b, "after"}} {
		total := 0
		for _, n := range f.facts.Outcomes {
			total += n
		}
		if n := f.facts.Outcomes[string(grade.Truncated)]; n*50 > total {
			warnings = append(warnings, fmt.Sprintf("%d of %d answers of %s (%s) were cut off: raise max_new_tokens", n, total, f.facts.Model, f.when))
		}
	}
	return warnings
}

func bothOf(pairs []twin) event.Both {
	b := event.Both{Items: len(pairs)}
	for _, p := range pairs {
		b.A, b.B = b.A+score01(p.before)/float64(len(pairs)), b.B+score01(p.after)/float64(len(pairs))
	}
	return b
}

// sideOf is one side of the pairs that count.
func sideOf(h Handle, f scoresFacts, pairs []twin, second bool) event.Side {
	var t tally
	for _, p := range pairs {
		if second {
			t.add(p.after)
		} else {
			t.add(p.before)
		}
	}
	iv := t.interval()
	return event.Side{Step: h.Step.String(), Label: f.Model, N: t.n, Passed: t.passed, Low: iv.Lo, High: iv.Hi}
}

// side is one evaluation as its summary tells it.
func side(h Handle) event.Side {
	f := factsOf(h)
	return event.Side{Step: h.Step.String(), Label: f.Model, N: f.N, Passed: f.Passed, Low: f.Low, High: f.High}
}

// bootstrapSeed makes every interval the same in every run.
const bootstrapSeed = 1

// bootstrapOf draws 10,000 times, and of more than 2,000 items so often that it
// stays within some 20 million draws.
func bootstrapOf(parents []string, level float64) stats.Bootstrap {
	rounds := min(10_000, max(1000, 20_000_000/max(1, len(parents))))
	return stats.Bootstrap{Rounds: rounds, Level: level, Seed: bootstrapSeed, Cluster: parents}
}

// signFlips is the test of clustered items, as reports name it.
const signFlips = "sign flips by parent"

// contrast is two evaluations in numbers.
type contrast struct {
	fixed, broken, clusters int
	before, after           []float64
	parents                 []string
}

func contrastOf(pairs []twin) (c contrast) {
	seen := map[string]bool{}
	for _, p := range pairs {
		c.before, c.after = append(c.before, score01(p.before)), append(c.after, score01(p.after))
		c.parents = append(c.parents, p.before.Parent)
		seen[p.before.Parent] = true
		switch d := p.diff(); {
		case d > 0:
			c.fixed++
		case d < 0:
			c.broken++
		}
	}
	c.clusters = len(seen)
	return c
}

// interval is the mean difference and its bootstrap interval at a level.
func (c contrast) interval(level float64) (float64, stats.Interval, error) {
	return stats.PairedDifference(c.before, c.after, bootstrapOf(c.parents, level))
}

// fillComparison computes the numbers of a comparison from its pairs.
func fillComparison(data *event.CompareData, pairs []twin) error {
	c := contrastOf(pairs)
	data.Items, data.Fixed, data.Broken = len(pairs), c.fixed, c.broken
	data.P, data.PMid = stats.McNemar(c.broken, c.fixed), stats.MidP(c.broken, c.fixed)
	if c.clusters < len(pairs) {
		data.Clusters, data.Test = c.clusters, signFlips
		data.P = stats.SignFlip(c.before, c.after, c.parents, 9999, bootstrapSeed)
	}
	if d := float64(c.fixed+c.broken) / float64(len(pairs)); d > 0 {
		data.MDE = stats.PairedMDE(c.clusters, d, 0.05, 0.8)
	}
	diff, iv, err := c.interval(0.95)
	data.Diff, data.DiffLow, data.DiffHigh = diff, iv.Lo, iv.Hi
	data.Groups = groupsOf(pairs)
	return err
}

// groupsOf compares within each category, if there are several.
func groupsOf(pairs []twin) []event.GroupData {
	by := map[string][]twin{}
	for _, p := range pairs {
		by[p.before.Group] = append(by[p.before.Group], p)
	}
	if len(by) < 2 {
		return nil
	}
	var out []event.GroupData
	var ps []float64
	for _, name := range sortedKeys(by) {
		g := event.GroupData{Name: name, Items: len(by[name])}
		for _, p := range by[name] {
			g.A, g.B = g.A+int(score01(p.before)), g.B+int(score01(p.after))
		}
		c := contrastOf(by[name])
		g.Fixed, g.Broken, g.P = c.fixed, c.broken, stats.McNemar(c.broken, c.fixed)
		out, ps = append(out, g), append(ps, g.P)
	}
	for i, p := range stats.Holm(ps) {
		out[i].PHolm = p
	}
	return out
}

// compareText is a comparison in a line.
func compareText(d event.CompareData) string {
	test := d.Test
	if test == "" {
		test = "exact McNemar"
	}
	text := fmt.Sprintf("%s → %s: %+.1f points (95 %% interval %+.1f to %+.1f), %d fixed, %d broken of %d, %s p = %.2g",
		d.A.Label, d.B.Label, 100*d.Diff, 100*d.DiffLow, 100*d.DiffHigh, d.Fixed, d.Broken, d.Items, test, d.P)
	if d.Banner != "" {
		return "LEAK: " + d.Banner + "\n" + text
	}
	return text
}

// comparisonValue is a comparison as a script sees it.
func comparisonValue(d event.CompareData, pairs []twin) (starlark.Value, error) {
	var fixed, broken []starlark.Value
	for _, p := range pairs {
		switch x := p.diff(); {
		case x > 0:
			fixed = append(fixed, starlark.String(p.after.ID))
		case x < 0:
			broken = append(broken, starlark.String(p.after.ID))
		}
	}
	var groups []starlark.Value
	for _, g := range d.Groups {
		groups = append(groups, starlarkstruct.FromStringDict(starlark.String("group"), starlark.StringDict{
			"name": starlark.String(g.Name), "items": starlark.MakeInt(g.Items), "before": starlark.MakeInt(g.A), "after": starlark.MakeInt(g.B),
			"fixed": starlark.MakeInt(g.Fixed), "broken": starlark.MakeInt(g.Broken), "p": starlark.Float(g.P), "p_holm": starlark.Float(g.PHolm),
		}))
	}
	return starlarkstruct.FromStringDict(starlark.String("comparison"), starlark.StringDict{
		"items": starlark.MakeInt(d.Items), "fixed": starlark.MakeInt(d.Fixed), "broken": starlark.MakeInt(d.Broken),
		"p": starlark.Float(d.P), "p_mid": starlark.Float(d.PMid), "mde": starlark.Float(d.MDE),
		"diff": starlark.Float(d.Diff), "low": starlark.Float(d.DiffLow), "high": starlark.Float(d.DiffHigh),
		"leaked": starlark.MakeInt(d.Leaked), "fixed_ids": starlark.NewList(fixed), "broken_ids": starlark.NewList(broken),
		"groups": starlark.NewList(groups),
	}), nil
}
