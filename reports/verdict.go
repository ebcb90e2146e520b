package reports

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"starbook/runtime/event"
)

// verdict is the answer to the question that a run asked: a sentence, what it
// rests on, and what weakens it.
type verdict struct {
	Subject  string // who the sentence is about; its first word
	Sentence string
	Support  string
	Banner   string // over the sentence: what makes its numbers worth less
	Warnings []string
}

// alpha is the error that we accept when we say that one model is better.
const alpha = 0.05

// compared says what a paired comparison showed.
func compared(d event.CompareData) verdict {
	b := fmt.Sprintf("passes %s (95%s%% interval %s, n%s%s)", percent(share(d.B)), nb, interval(d.B), nb, count(int64(d.B.N)))
	a := fmt.Sprintf("%s %s (%s", d.A.Label, percent(share(d.A)), interval(d.A))
	if d.A.N != d.B.N {
		a += ", n" + nb + count(int64(d.A.N))
	}
	v := verdict{Subject: d.B.Label, Sentence: b + ", " + a + ").", Banner: d.Banner, Warnings: d.Warnings}
	v.Support = fmt.Sprintf("On the same %s: %s (95%s%% interval %s to %s), %s fixed, %s broken; %s p%s%s.",
		plural(int64(d.Items), "item"), points(d.Diff), nb, signed(d.DiffLow), signed(d.DiffHigh),
		count(int64(d.Fixed)), count(int64(d.Broken)), testOf(d), nb, pvalue(d.P))
	switch {
	case d.Margin > 0:
		v.Support += " " + forgetting(d)
	case !(d.P < alpha):
		v.Support += " No difference is shown."
		if d.MDE > 0 {
			v.Support += fmt.Sprintf(" A true one of %s points would have been found in 80 of 100 such comparisons.", rate(d.MDE))
		}
	}
	if o := d.Other; o != nil && o.Items > 0 {
		how := "With them"
		if d.Allowed {
			how = "Without what was trained on"
		}
		v.Support += fmt.Sprintf(" %s, over %s: %s before, %s after.", how, plural(int64(o.Items), "item"), percent(o.A), percent(o.B))
	}
	return v
}

// testOf names the test behind a p-value.
func testOf(d event.CompareData) string {
	if d.Test == "" {
		return "exact McNemar"
	}
	return fmt.Sprintf("%s (%s of them)", d.Test, count(int64(d.Clusters)))
}

// forgetting answers a question about forgetting: whether a loss beyond the margin
// is ruled out.
func forgetting(d event.CompareData) string {
	verdict := "is not ruled out"
	if d.PMargin < alpha {
		verdict = "is ruled out"
	}
	return fmt.Sprintf("Forgetting more than %s points %s (non-inferiority, one-sided p%s%s).", rate(d.Margin), verdict, nb, pvalue(d.PMargin))
}

// share returns the pass rate of a side, NaN without items.
func share(s event.Side) float64 {
	if s.N <= 0 {
		return math.NaN()
	}
	return float64(s.Passed) / float64(s.N)
}

// interval writes the interval of a side in percent: 85.5–89.2.
func interval(s event.Side) string {
	low, high := s.Low, s.High
	if !(high > low) {
		low, high = wilson(s.Passed, max(s.N, 0))
	}
	return rate(low) + "–" + rate(high)
}

// signed writes a difference of rates in percent with its sign: +19.2.
func signed(v float64) string {
	if 100*v >= 0.05 {
		return "+" + rate(v)
	}
	return rate(v)
}

// verdict returns what the run showed: its last comparison, or else what its last sweep found,
// or else its best training of several, or else its last evaluation, or else its training, or else that it ran.
func (r *run) verdict() verdict {
	if c := r.comparisons(); len(c) > 0 {
		return compared(c[len(c)-1])
	}
	if d, ok := r.sweep(); ok {
		s := sweepOf(d)
		return verdict{Sentence: s.Sentence, Support: s.Support}
	}
	if t, of, ok := r.best(); ok {
		low, high := wilson(t.score.Passed, t.score.N)
		return verdict{
			Subject:  t.Key.Short(),
			Sentence: fmt.Sprintf("is the best of %d trials: it passes %s (95%s%% interval %s–%s, n%s%s).", of, percent(t.score.rate()), nb, rate(low), rate(high), nb, count(int64(t.score.N))),
			Support:  "It was picked on these very items: expect a little less on new ones.",
		}
	}
	if s := r.scores(); len(s) > 0 {
		last := s[len(s)-1]
		low, high := last.interval()
		name := last.Model
		if name == "" {
			name = "The model"
		}
		if last.N == 0 {
			return verdict{Subject: name, Sentence: "was evaluated, and no item counts.", Banner: last.banner()}
		}
		return verdict{
			Subject: name, Banner: last.banner(),
			Sentence: fmt.Sprintf("passes %s (95%s%% interval %s–%s, n%s%s).", percent(last.rate()), nb, rate(low), rate(high), nb, count(int64(last.N))),
			Support:  "Nothing was compared: report.compare(before, after) would say whether this is better.",
		}
	}
	for i := len(r.Uses) - 1; i >= 0; i-- {
		if t, ok := r.Uses[i].trained(); ok {
			return verdict{Sentence: t.sentence(), Support: "Nothing was evaluated: a loss is no pass rate."}
		}
	}
	c := r.costs()
	return verdict{Sentence: fmt.Sprintf("%s, %d of them found done.", plural(int64(c.Steps), "step"), c.Hits)}
}

// sweep returns the last sweep that the run's notebook made.
func (r *run) sweep() (d event.SweepData, ok bool) {
	for _, e := range slices.Backward(r.Events) {
		if e.Kind == event.Sweep && json.Unmarshal(e.Data, &d) == nil && d.Objective != "" && len(d.Trials) > 0 {
			return d, true
		}
	}
	return d, false
}

// score returns the pass rate that stands for the run, as verdict has it.
func (r *run) score() (passed, n int, ok bool) {
	if c := r.comparisons(); len(c) > 0 && c[len(c)-1].B.N > 0 {
		b := c[len(c)-1].B
		return b.Passed, b.N, true
	}
	if t, _, ok := r.best(); ok {
		return t.score.Passed, t.score.N, true
	}
	if s := r.scores(); len(s) > 0 && s[len(s)-1].N > 0 {
		return s[len(s)-1].Passed, s[len(s)-1].N, true
	}
	return 0, 0, false
}

// tile is a figure to take in at a glance.
type tile struct{ Name, Value, Note string }

// tiles returns the run's figures.
func (r *run) tiles() []tile {
	var out []tile
	if passed, n, ok := r.score(); ok {
		low, high := wilson(passed, n)
		out = append(out, tile{"pass rate", percent(float64(passed) / float64(n)), rate(low) + "–" + rate(high) + ", n" + nb + count(int64(n))})
	}
	if b := r.bestLoss(); finite(b) {
		out = append(out, tile{"eval loss", number(b), "perplexity " + number(math.Exp(b))})
	}
	c := r.costs()
	out = append(out,
		tile{"paid", dollars(c.USD), "in this run"},
		tile{"computed", seconds(c.Seconds), plural(int64(c.Steps-c.Hits), "step") + " run"})
	if c.Hits > 0 {
		out = append(out, tile{"saved", seconds(c.SavedSeconds), dollars(c.SavedUSD) + " by " + plural(int64(c.Hits), "hit")})
	}
	return out
}
