package reports

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"starbook/runtime/cas"
)

// trials sets the trainings of one run side by side: a sweep inside a notebook.
type trials struct {
	Goal    goal // by which they are sorted
	Table   table
	Figures []*figure
}

// trialRow is one training with the arguments that set it apart and the
// evaluation that rests on it alone.
type trialRow struct {
	use
	training trained
	args     map[string]string
	score    scored
}

// fewTrials is how many trainings a run needs for a section of their own.
const fewTrials = 3

// trialRows returns the trainings of the run with their evaluations, best
// first; nil if they are few.
func (r *run) trialRows() []trialRow {
	var rows []trialRow
	for _, u := range r.Uses {
		if t, ok := u.trained(); ok {
			rows = append(rows, trialRow{use: u, training: t, args: flatten(u.Step.Args)})
		}
	}
	if len(rows) < fewTrials {
		return nil
	}
	r.attach(rows)
	g := goalOf(boards(rows))
	slices.SortStableFunc(rows, func(a, b trialRow) int { return g.compare(g.valued(a.board()), g.valued(b.board())) })
	return rows
}

// boards returns the rows as those of a leader board.
func boards(rows []trialRow) []boardRow {
	out := make([]boardRow, len(rows))
	for i, r := range rows {
		out[i] = r.board()
	}
	return out
}

// best returns the best evaluated trial of a run that is a sweep.
func (r *run) best() (t trialRow, of int, ok bool) {
	rows := r.trialRows()
	if len(rows) == 0 || rows[0].score.N == 0 {
		return trialRow{}, 0, false
	}
	return rows[0], len(rows), true
}

// trialsOf sets the trainings of a run side by side; nil if they are few.
func (b *builder) trialsOf(r *run) (*trials, error) {
	rows := r.trialRows()
	if rows == nil {
		return nil, nil
	}
	names := differingArgs(rows)
	board := boards(rows)
	for i, row := range rows {
		for _, n := range names {
			board[i].Values = append(board[i].Values, row.args[n])
		}
	}
	g := goalOf(board)
	g.rank(board)
	out := &trials{Goal: g, Table: trialTable(rows, names)}
	figures, err := b.overlays(board, names, g)
	out.Figures = figures
	return out, err
}

// board returns the row as one of a leader board, under the step's fingerprint.
func (t trialRow) board() boardRow {
	row := boardRow{run: &run{}, Passed: t.score.Passed, N: t.score.N, Loss: t.loss(), trainingKeys: []cas.Digest{t.Key}}
	row.run.ID = t.Key.Short()
	row.Low, row.High = wilson(row.Passed, row.N)
	return row
}

// loss returns the best evaluation loss, NaN without one.
func (t trialRow) loss() float64 {
	r := run{Uses: []use{t.use}}
	return r.bestLoss()
}

// attach gives each training the last evaluation that rests on its adapter and
// no other. Trainings whose adapters are the same, or make the same of the base, share it.
func (r *run) attach(rows []trialRow) {
	byAdapter := map[cas.Digest][]int{}
	for i, row := range rows {
		byAdapter[row.Step.Output] = append(byAdapter[row.Step.Output], i)
	}
	from := map[cas.Digest]map[cas.Digest]bool{} // output → adapters that it rests on
	twins := map[cas.Digest][]cas.Digest{}       // adapter → others that make the same model of the base
	type evaluated struct {
		scored
		adapter cas.Digest
	}
	var all []evaluated
	for _, u := range r.Uses { // in order of first call, so inputs come first
		rests := map[cas.Digest]bool{}
		if byAdapter[u.Step.Output] != nil {
			rests[u.Step.Output] = true
		}
		for _, g := range u.Step.Inputs {
			maps.Copy(rests, from[g])
		}
		if from[u.Step.Output] == nil {
			from[u.Step.Output] = rests
		} else if one, other := sole(from[u.Step.Output]), sole(rests); u.Step.Kind == "model" && one != other && !one.IsZero() && !other.IsZero() {
			twins[one] = append(twins[one], other)
		}
		if s, ok := u.scored(); ok && !sole(rests).IsZero() {
			all = append(all, evaluated{s, sole(rests)})
		}
	}
	for _, e := range all {
		for _, adapter := range append(twins[e.adapter], e.adapter) {
			for _, i := range byAdapter[adapter] {
				rows[i].score = e.scored
			}
		}
	}
}

// sole returns the only element of a set, zero if there are none or several.
func sole(set map[cas.Digest]bool) cas.Digest {
	for g := range set {
		if len(set) == 1 {
			return g
		}
	}
	return cas.Digest{}
}

// flatten returns the scalars of canonical arguments by dotted name.
func flatten(raw json.RawMessage) map[string]string {
	out := map[string]string{}
	var walk func(name string, raw json.RawMessage)
	walk = func(name string, raw json.RawMessage) {
		var m map[string]json.RawMessage
		if json.Unmarshal(raw, &m) == nil && m != nil {
			for k, v := range m {
				walk(strings.TrimPrefix(name+"."+k, "."), v)
			}
			return
		}
		out[name] = clip(plainJSON(raw), 24)
	}
	walk("", raw)
	return out
}

// differingArgs returns the arguments that are not the same in all trials, the
// first eight by name. Digests are left out: they stand for what came before.
func differingArgs(rows []trialRow) []string {
	values := map[string]map[string]int{}
	for _, r := range rows {
		for k, v := range r.args {
			if values[k] == nil {
				values[k] = map[string]int{}
			}
			values[k][v]++
		}
	}
	var out []string
	for k, vs := range values {
		digests, total := true, 0
		for v, n := range vs {
			total += n
			digests = digests && len(v) == 24 && strings.HasSuffix(v, "…")
		}
		if !digests && (len(vs) > 1 || total < len(rows)) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 8)]
}

// trialTable lists the trials, best first.
func trialTable(rows []trialRow, names []string) table {
	const shown = 200
	t := table{Columns: append([]string{"step"}, names...), Num: slices.Repeat([]bool{true}, len(names)+7)}
	t.Columns = append(t.Columns, "pass rate", "95"+nb+"% interval", "n", "eval loss", "best at", "stopped at")
	t.Num[0], t.Num[len(names)+2] = false, false
	for i, r := range rows {
		if i == shown {
			t.Note = fmt.Sprintf("The best %d of %s.", shown, plural(int64(len(rows)), "training"))
			break
		}
		words := []string{r.Key.Short()}
		for _, n := range names {
			words = append(words, r.args[n])
		}
		if r.score.N > 0 {
			low, high := wilson(r.score.Passed, r.score.N)
			words = append(words, percent(r.score.rate()), rate(low)+"–"+rate(high), count(int64(r.score.N)))
		} else {
			words = append(words, "", "", "")
		}
		words = append(words, optional(r.training.BestEvalLoss), optional(r.training.BestStep), optional(r.training.StoppedStep))
		t.Rows = append(t.Rows, words)
	}
	return t.dense()
}

// optional writes a number that may be absent.
func optional(v *float64) string {
	if v == nil {
		return ""
	}
	return number(*v)
}
