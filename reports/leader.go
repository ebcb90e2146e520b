package reports

import (
	"fmt"
	"slices"

	"starbook/runtime/event"
	"starbook/runtime/stats"
)

// leader says who leads and, of pass rates, whether that is more than luck.
func (b *builder) leader(rows []boardRow, params []string, g goal) (verdict, error) {
	top := rows[0]
	tests, err := b.pairings(rows)
	switch {
	case err != nil:
		return verdict{}, err
	case !finite(top.Value) && g.Sought:
		return verdict{Sentence: plural(int64(len(rows)), "run") + ", none of them has come to " + g.Name + "."}, nil
	case !finite(top.Value):
		return verdict{Sentence: plural(int64(len(rows)), "run") + ", none of them evaluated.", Support: "A loss is no pass rate."}, nil
	case !g.Rates:
		return leaderByNumber(rows, params, g), nil
	}
	v := verdict{Subject: top.inWords(params), Sentence: fmt.Sprintf("leads with %s (95%s%% interval %s–%s, n%s%s).", percent(top.Rate()), nb, rate(top.Low), rate(top.High), nb, count(int64(top.N)))}
	if len(tests) == 0 {
		return v, nil
	}
	twins := slices.IndexFunc(tests, func(t pairing) bool { return t.fixed+t.broken > 0 })
	if twins > 0 {
		v.Support = plural(int64(twins), "other run") + " passed exactly the same items. "
	}
	t := tests[max(twins, 0)]
	v.Support += fmt.Sprintf("Against %s on the same %s: %s, %s fixed, %s broken; exact McNemar p%s%s", rows[t.row].inWords(params), plural(int64(t.items), "item"),
		points(float64(t.fixed-t.broken)/float64(t.items)), count(int64(t.fixed)), count(int64(t.broken)), nb, pvalue(t.p))
	if len(tests) > 1 {
		v.Support += fmt.Sprintf(", corrected for %d comparisons", len(tests))
	}
	v.Support += "."
	if t.p >= alpha {
		v.Support += " No difference between the two is shown."
	}
	v.Support += " The leader was picked on these very items: expect a little less on new ones."
	return v, nil
}

// leaderByNumber says who leads where a run comes to a single number.
func leaderByNumber(rows []boardRow, params []string, g goal) verdict {
	top := rows[0]
	v := verdict{Subject: top.inWords(params), Sentence: fmt.Sprintf("has the %s %s of %s: %s.", g.superlative(), g.Name, plural(int64(len(rows)), "run"), g.text(top.Value))}
	same := 1
	for same < len(rows) && rows[same].Value == top.Value {
		same++
	}
	if same > 1 {
		v.Support = plural(int64(same-1), "other run") + " came to the same. "
	}
	if same < len(rows) && finite(rows[same].Value) {
		v.Support += "The next is " + rows[same].inWords(params) + " with " + g.text(rows[same].Value) + ". "
	}
	v.Support += "A number has no interval: whether the lead is more than luck, only other seeds tell."
	if !g.Sought {
		v.Support += " Nothing was evaluated, and a loss is no pass rate."
	}
	return v
}

// pairings tests the leader against each of the next runs on the items that both answered, corrects
// the p-values for their number (Holm), and notes the results in the rows.
func (b *builder) pairings(rows []boardRow) ([]pairing, error) {
	mine, err := b.passes(rows[0])
	if err != nil {
		return nil, err
	}
	var tests []pairing
	for i := 1; i < min(len(rows), pairedRuns); i++ {
		theirs, err := b.passes(rows[i])
		if err != nil {
			return nil, err
		}
		if p := pair(theirs, mine); p.items > 0 {
			p.row = i
			tests = append(tests, p)
		}
	}
	holm(tests)
	for _, t := range tests {
		rows[t.row].Against = fmt.Sprintf("%s, p%s%s", points(float64(t.broken-t.fixed)/float64(t.items)), nb, pvalue(t.p))
	}
	return tests, nil
}

// inWords names a run by the params that set it apart, and its id.
func (r boardRow) inWords(params []string) string {
	if len(params) == 0 || len(r.Values) != len(params) {
		return r.ID
	}
	return pointText(params, r.Values) + " (run" + nb + r.ID + ")"
}

// passes returns which items the run's evaluation passed.
func (b *builder) passes(r boardRow) (map[string]bool, error) {
	samples, err := sideSamples(b.st, event.Side{Step: r.scoresKey})
	if err != nil {
		return nil, fmt.Errorf("reports: run %s: %w", r.ID, err)
	}
	out := make(map[string]bool, len(samples))
	for _, s := range samples {
		out[item(s)] = s.Outcome == "pass"
	}
	return out, nil
}

// pairing is two runs on the same items.
type pairing struct {
	row, items, fixed, broken int
	p                         float64
}

// pair counts the items that only one of both passed.
func pair(before, after map[string]bool) pairing {
	var p pairing
	for k, was := range before {
		is, ok := after[k]
		if !ok {
			continue
		}
		p.items++
		if is && !was {
			p.fixed++
		}
		if was && !is {
			p.broken++
		}
	}
	p.p = stats.McNemar(p.broken, p.fixed)
	return p
}

// holm corrects the p-values of several tests at once.
func holm(tests []pairing) {
	p := make([]float64, len(tests))
	for i, t := range tests {
		p[i] = t.p
	}
	for i, adjusted := range stats.Holm(p) {
		tests[i].p = adjusted
	}
}
