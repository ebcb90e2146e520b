package builtins

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/builtins/dataset"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/stats"
	"starbook/runtime/store"
)

type regradeArgs struct {
	Scores  Handle         `arg:"scores" kind:"scores" doc:"whose answers are graded again"`
	Graders starlark.Value `arg:"graders" doc:"list of graders"`
	Items   Handle         `arg:"items=None" kind:"dataset" doc:"the rows, for graders that read other columns than prompt and reference"`
	Title   string         `arg:"title=" doc:"of the tables in the report"`
}

func evalRegrade() Func {
	return plain("eval.regrade", "Grades the answers of an evaluation again, without asking the model: each grader is a step of its own.\n"+
		"Puts into the report how far the graders agree, and where they do not. Returns a struct with scores (a list, one for each\n"+
		"grader), names, agreement and kappa (Cohen's; lists of lists, the first row and column being the scores as they were),\n"+
		"and disagreements (ids).",
		func(ctx context.Context, c *Call, a regradeArgs) (starlark.Value, error) {
			list, ok := a.Graders.(starlark.Iterable)
			if !ok {
				return nil, fmt.Errorf("graders: got %s, want a list", a.Graders.Type())
			}
			first, err := samplesOf(c.Run.Store, a.Scores)
			if err != nil {
				return nil, err
			}
			l := lab{title: a.Title, names: []string{factsOf(a.Scores).Grader + " (as it was)"}, samples: [][]store.Sample{first}}
			var handles []starlark.Value
			versions := []string{factsOf(a.Scores).GraderVersion}
			for g := range starlark.Elements(list) {
				v, err := do(ctx, c.Host, c.Run, c.Thread, "eval.regrade", 1, runtime.CPU, regradeOneArgs{a.Scores, g, a.Items}, regradeOne)
				if err != nil {
					return nil, err
				}
				h := v.(Handle)
				again, err := samplesOf(c.Run.Store, h)
				if err != nil {
					return nil, err
				}
				l.names, l.samples = append(l.names, factsOf(h).Grader), append(l.samples, again)
				handles, versions = append(handles, h), append(versions, factsOf(h).GraderVersion)
			}
			if len(handles) == 0 {
				return nil, errors.New("graders: the list is empty")
			}
			l.names = unambiguous(l.names, versions)
			return l.publish(c, handles)
		}).does("eval.regrade")
}

type regradeOneArgs struct {
	Scores Handle         `arg:"scores" kind:"scores" doc:"whose answers"`
	Grader starlark.Value `arg:"grader" doc:"who judges"`
	Items  Handle         `arg:"items=None" kind:"dataset" doc:"the rows"`
}

// regradeOne is the step eval.regrade: the same answers under another grader.
func regradeOne(ctx context.Context, h *Host, s *runtime.Step, a regradeOneArgs) (runtime.Artifact, error) {
	lines, err := linesOf(s.Store(), a.Scores)
	if err != nil {
		return runtime.Artifact{}, err
	}
	byID := map[string]Row{}
	if !a.Items.Digest.IsZero() {
		rows, err := ReadRows(s.Store(), a.Items)
		if err != nil {
			return runtime.Artifact{}, err
		}
		for _, r := range rows {
			byID[dataset.ID(r)] = r
		}
	}
	e := evaluation{step: s}
	for i, l := range lines {
		x := l.sample()
		row, ok := byID[itemID(x)]
		if !ok && len(byID) > 0 {
			return runtime.Artifact{}, fmt.Errorf("items: there is no row %s", itemID(x))
		}
		if !ok {
			row = Row{"id": x.ID, "prompt": x.Prompt, "answer": x.Want}
		}
		e.rows = append(e.rows, row)
		e.answers = append(e.answers, answer{Index: i, Text: x.Answer, Tokens: x.Tokens, Truncated: l.Truncated, Refused: l.Refused, Failed: l.Failed, Mean: l.LogProb})
		x.Outcome, x.Note, x.Score = "", "", math.NaN()
		e.samples = append(e.samples, x)
	}
	if err := e.grade(ctx, h, a.Grader); err != nil {
		return runtime.Artifact{}, err
	}
	was, err := decodeObject(a.Scores.Summary)
	if err != nil {
		return runtime.Artifact{}, err
	}
	facts := Facts{}
	for _, k := range []string{"model", "allow_leak", "leaked", "leaks", "selected", "trained_rows", "template", "rendered"} {
		if v, ok := was[k]; ok {
			facts[k] = v
		}
	}
	allow, _ := was["allow_leak"].(bool)
	return e.artifact(facts, allow)
}

// lab is the same answers under several graders.
type lab struct {
	title   string
	names   []string
	samples [][]store.Sample // by grader
}

// unambiguous puts the version, which holds the options, behind names that several graders share.
func unambiguous(names, versions []string) []string {
	count := map[string]int{}
	for _, n := range names {
		count[n]++
	}
	out := make([]string, len(names))
	for i, n := range names {
		if out[i] = n; count[n] > 1 {
			out[i] += " " + versions[i]
		}
	}
	return out
}

// both are the verdicts of two graders on the answers that both could judge.
func (l *lab) both(i, j int) (a, b []bool) {
	for k, x := range l.samples[i] {
		if y := l.samples[j][k]; counts(x) && counts(y) {
			a, b = append(a, passed(x)), append(b, passed(y))
		}
	}
	return a, b
}

// labRows is how many disagreements the report lists.
const labRows = 50

// publish puts the tables into the report and returns what the script gets.
func (l *lab) publish(c *Call, handles []starlark.Value) (starlark.Value, error) {
	title := l.title
	if title == "" {
		title = "Graders"
	}
	n := len(l.names)
	agreement, kappa := make([][]float64, n), make([][]float64, n)
	for i := range n {
		for j := range n {
			a, b := l.both(i, j)
			if len(a) == 0 {
				return nil, fmt.Errorf("%s and %s could judge no answer in common", l.names[i], l.names[j])
			}
			agreement[i], kappa[i] = append(agreement[i], stats.Agreement(a, b)), append(kappa[i], stats.Kappa(a, b))
		}
	}
	rates := event.TableData{
		Title: title + ": pass rates", Columns: []string{"grader", "passed", "of", "rate, %", "95 % interval", "flips to pass", "flips from pass"},
		Note: fmt.Sprintf("The same %s under each grader. Answers that a grader could not judge do not count.", plural(len(l.samples[0]), "answers")),
	}
	matrix := event.TableData{
		Title: title + ": agreement", Columns: append([]string{""}, l.names...),
		Note: "Share of answers judged alike, and Cohen's kappa behind it.",
	}
	for i, name := range l.names {
		rates.Rows = append(rates.Rows, l.rateRow(i, name))
		row := []any{name}
		for j := range n {
			row = append(row, fmt.Sprintf("%.1f %%, κ %.2f", 100*agreement[i][j], kappa[i][j]))
		}
		matrix.Rows = append(matrix.Rows, row)
	}
	list, ids := l.disagreements(title)
	for _, t := range []event.TableData{rates, matrix, list} {
		if err := c.show(event.Table, "", t); err != nil {
			return nil, err
		}
	}
	return starlarkstruct.FromStringDict(starlark.String("regraded"), starlark.StringDict{
		"scores": starlark.NewList(handles), "names": stringList(l.names), "agreement": floatRows(agreement), "kappa": floatRows(kappa),
		"disagreements": stringList(ids),
	}), nil
}

func (l *lab) rateRow(i int, name string) []any {
	var t tally
	toPass, fromPass := 0, 0
	for k, s := range l.samples[i] {
		if counts(s) {
			t.add(s)
		}
		switch was := l.samples[0][k]; {
		case passed(s) && !passed(was):
			toPass++
		case !passed(s) && passed(was):
			fromPass++
		}
	}
	iv := t.interval()
	return []any{name, t.passed, t.n, fmt.Sprintf("%.1f", 100*t.rate()), fmt.Sprintf("%.1f to %.1f", 100*iv.Lo, 100*iv.Hi), toPass, fromPass}
}

// disagreements are the answers that not all graders judge alike.
func (l *lab) disagreements(title string) (event.TableData, []string) {
	t := event.TableData{Title: title + ": disagreements", Columns: append([]string{"item"}, append(l.names, "reference", "answer")...)}
	var ids []string
	for k, s := range l.samples[0] {
		same := true
		for _, other := range l.samples[1:] {
			same = same && passed(other[k]) == passed(s)
		}
		if same {
			continue
		}
		ids = append(ids, s.ID)
		if len(t.Rows) == labRows {
			continue
		}
		row := []any{s.ID}
		for _, by := range l.samples {
			row = append(row, by[k].Outcome)
		}
		t.Rows = append(t.Rows, append(row, clipText(s.Want, 80), clipText(s.Answer, 200)))
	}
	t.Note = fmt.Sprintf("%s of %d answers are judged differently by some graders.", plural(len(ids), "answers"), len(l.samples[0]))
	if len(ids) > len(t.Rows) {
		t.Note += fmt.Sprintf(" The first %d.", len(t.Rows))
	}
	return t, ids
}

func stringList(words []string) *starlark.List {
	out := make([]starlark.Value, len(words))
	for i, w := range words {
		out[i] = starlark.String(w)
	}
	return starlark.NewList(out)
}

func floatRows(rows [][]float64) *starlark.List {
	var out []starlark.Value
	for _, r := range rows {
		var row []starlark.Value
		for _, x := range r {
			row = append(row, starlark.Float(x))
		}
		out = append(out, starlark.NewList(row))
	}
	return starlark.NewList(out)
}
