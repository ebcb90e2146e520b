package builtins

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/stats"
	"starbook/runtime/store"
)

type explainArgs struct {
	Before Handle         `arg:"before" kind:"scores" doc:"of eval.run"`
	After  Handle         `arg:"after" kind:"scores" doc:"of eval.run on the same items"`
	Grader starlark.Value `arg:"grader=None" doc:"that of after, if before had another one"`
	Items  Handle         `arg:"items=None" kind:"dataset" doc:"the rows, if that grader reads further columns"`
}

func evalExplain() Func {
	return plain("eval.explain", "Says what a change of the pass rate is made of.\n"+
		"Another grader, answers that are no longer (or now) cut off, empty, unparsable or refused, items that were trained on, and, what is left, more or fewer right answers. The parts add up.\n"+
		"Returns a struct with total, grader, format, leaked and right, each a difference of rates, and puts a table into the report.",
		func(ctx context.Context, c *Call, a explainArgs) (starlark.Value, error) {
			st := c.Run.Store
			before, err := samplesOf(st, a.Before)
			if err != nil {
				return nil, err
			}
			after, err := samplesOf(st, a.After)
			if err != nil {
				return nil, err
			}
			regraded := before
			if factsOf(a.Before).GraderVersion != factsOf(a.After).GraderVersion {
				if a.Grader == nil {
					return nil, fmt.Errorf("the evaluations have two graders, %s and %s: name that of after with grader=", factsOf(a.Before).Grader, factsOf(a.After).Grader)
				}
				v, err := do(ctx, c.Host, c.Run, c.Thread, "eval.regrade", 1, runtime.CPU, regradeOneArgs{a.Before, a.Grader, a.Items}, regradeOne)
				if err != nil {
					return nil, err
				}
				if factsOf(v.(Handle)).GraderVersion != factsOf(a.After).GraderVersion {
					return nil, errors.New("grader: it is not that of after")
				}
				if regraded, err = samplesOf(st, v.(Handle)); err != nil {
					return nil, err
				}
			}
			x, err := explain(before, regraded, after)
			if err != nil {
				return nil, err
			}
			if err := c.show(event.Table, "", x.table()); err != nil {
				return nil, err
			}
			out := starlark.StringDict{}
			for _, p := range append(x.parts, x.total) {
				out[p.key] = starlark.Float(p.diff)
			}
			return starlarkstruct.FromStringDict(starlark.String("explanation"), out), nil
		}).does("eval.regrade")
}

// part is one reason for a change.
type part struct {
	key, name string
	diff      float64
	interval  stats.Interval
	items     int // that changed
}

type explanation struct {
	items int
	parts []part
	total part
}

// badForm are the outcomes in which there was no answer to judge.
var badForm = map[string]bool{
	string(grade.Truncated): true, string(grade.Empty): true, string(grade.Unparsable): true, string(grade.Refused): true,
}

// explain splits the change from before to after; regraded is before under the
// grader of after. Each item's change counts under one reason, so that the parts
// add up to the whole.
func explain(before, regraded, after []store.Sample) (*explanation, error) {
	again := make(map[string]store.Sample, len(regraded))
	for _, s := range regraded {
		again[s.ID] = s
	}
	x := &explanation{
		parts: []part{
			{key: "grader", name: "another grader, on the same answers"},
			{key: "format", name: "answers cut off, empty, unparsable or refused, or no longer so"},
			{key: "leaked", name: "items that were trained on"},
			{key: "right", name: "right answers, on items that were not trained on"},
		},
		total: part{key: "total", name: "together"},
	}
	columns := make([][]float64, len(x.parts)+1) // difference of each item, by part
	var parents []string
	for _, p := range twinsOf(before, after) {
		mid := again[p.before.ID]
		if !counts(p.before) || !counts(mid) || !counts(p.after) {
			continue
		}
		var row [5]float64
		row[0] = score01(mid) - score01(p.before)
		change := score01(p.after) - score01(mid)
		switch {
		case p.leaked():
			row[2] = change
		case badForm[mid.Outcome] || badForm[p.after.Outcome]:
			row[1] = change
		default:
			row[3] = change
		}
		row[4] = row[0] + change
		for i, d := range row {
			columns[i] = append(columns[i], d)
		}
		parents = append(parents, p.before.Parent)
	}
	x.items = len(parents)
	if x.items == 0 {
		return nil, errors.New("the two evaluations have no graded item in common")
	}
	zero := make([]float64, x.items)
	for i := range columns {
		p := &x.total
		if i < len(x.parts) {
			p = &x.parts[i]
		}
		var err error
		p.diff, p.interval, err = stats.PairedDifference(zero, columns[i], bootstrapOf(parents, 0.95))
		if err != nil {
			return nil, err
		}
		for _, d := range columns[i] {
			if d != 0 {
				p.items++
			}
		}
	}
	return x, nil
}

func (x *explanation) table() event.TableData {
	t := event.TableData{
		Title: "What the change is made of", Columns: []string{"part", "points", "95 % interval", "items changed"},
		Note: fmt.Sprintf("Differences of the pass rate over %s that both evaluations graded, in percentage points; the intervals are bootstrapped.", plural(x.items, "items")),
	}
	for _, p := range append(x.parts, x.total) {
		t.Rows = append(t.Rows, []any{p.name, fmt.Sprintf("%+.1f", 100*p.diff), fmt.Sprintf("%+.1f to %+.1f", 100*p.interval.Lo, 100*p.interval.Hi), p.items})
	}
	return t
}
