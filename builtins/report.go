package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/builtins/grade"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

func reportModule() Module {
	return Module{
		Name:  "report",
		Doc:   "What a notebook puts into its report, beside what its steps put there by themselves.",
		Funcs: []Func{reportNote(), reportTable(), reportPlot(), reportCompare()},
	}
}

type noteArgs struct {
	Text string `arg:"text" doc:"Markdown"`
}

func reportNote() Func {
	return plain("report.note", "Puts a paragraph into the report.", func(_ context.Context, c *Call, a noteArgs) (starlark.Value, error) {
		c.Run.Emit(c.Thread, event.Event{Kind: event.Note, Text: a.Text})
		return starlark.None, nil
	})
}

type tableArgs struct {
	Title   string         `arg:"title" doc:"above the table"`
	Columns []string       `arg:"columns" doc:"names of the columns"`
	Rows    starlark.Value `arg:"rows" doc:"list of lists of text and numbers"`
	Note    string         `arg:"note=" doc:"a line under the table"`
}

func reportTable() Func {
	return plain("report.table", "Puts a table into the report.", func(_ context.Context, c *Call, a tableArgs) (starlark.Value, error) {
		v, err := toJSON(a.Rows)
		if err != nil {
			return nil, err
		}
		list, ok := v.([]any)
		if !ok {
			return nil, errors.New("rows: want a list of lists")
		}
		data := event.TableData{Title: a.Title, Columns: a.Columns, Note: a.Note}
		for i, x := range list {
			row, ok := x.([]any)
			if !ok || len(row) != len(a.Columns) {
				return nil, fmt.Errorf("rows: row %d is no list of %d values", i+1, len(a.Columns))
			}
			data.Rows = append(data.Rows, row)
		}
		return starlark.None, c.show(event.Table, "", data)
	})
}

type plotArgs struct {
	Title  string         `arg:"title" doc:"above the plot"`
	Series starlark.Value `arg:"series" doc:"dict of name to list of (x, y), or for bars of name to y"`
	Kind   string         `arg:"kind=line" doc:"line, scatter or bar"`
	XLabel string         `arg:"x=" doc:"what x is, with its unit"`
	YLabel string         `arg:"y=" doc:"what y is, with its unit"`
	LogX   bool           `arg:"log_x=false" doc:"logarithmic x"`
	LogY   bool           `arg:"log_y=false" doc:"logarithmic y"`
}

func (a *plotArgs) check() error {
	if a.Kind != "line" && a.Kind != "scatter" && a.Kind != "bar" {
		return fmt.Errorf("kind: got %q, want line, scatter or bar", a.Kind)
	}
	return nil
}

func reportPlot() Func {
	return plain("report.plot", "Puts a plot into the report.", func(_ context.Context, c *Call, a plotArgs) (starlark.Value, error) {
		d, ok := a.Series.(*starlark.Dict)
		if !ok {
			return nil, errors.New("series: want a dict")
		}
		data := event.PlotData{Title: a.Title, Kind: a.Kind, XLabel: a.XLabel, YLabel: a.YLabel, LogX: a.LogX, LogY: a.LogY}
		bars := event.Curve{}
		for _, item := range d.Items() {
			name, ok := starlark.AsString(item[0])
			if !ok {
				return nil, errors.New("series: names are strings")
			}
			if a.Kind == "bar" {
				y, ok := starlark.AsFloat(item[1])
				if !ok {
					return nil, fmt.Errorf("series: %s is not a number", name)
				}
				data.Categories, bars.Y = append(data.Categories, name), append(bars.Y, y)
				continue
			}
			curve, err := curveOf(name, item[1])
			if err != nil {
				return nil, fmt.Errorf("series: %s: %w", name, err)
			}
			data.Series = append(data.Series, curve)
		}
		if a.Kind == "bar" {
			data.Series = []event.Curve{bars}
		}
		return starlark.None, c.show(event.Plot, "", data)
	})
}

func curveOf(name string, points starlark.Value) (event.Curve, error) {
	curve := event.Curve{Name: name}
	list, ok := points.(starlark.Iterable)
	if !ok {
		return curve, errors.New("want a list of (x, y)")
	}
	for p := range starlark.Elements(list) {
		pair, ok := p.(starlark.Indexable)
		if !ok || pair.Len() != 2 {
			return curve, errors.New("want a list of (x, y)")
		}
		x, okX := starlark.AsFloat(pair.Index(0))
		y, okY := starlark.AsFloat(pair.Index(1))
		if !okX || !okY {
			return curve, fmt.Errorf("%s is no pair of numbers", p)
		}
		curve.X, curve.Y = append(curve.X, x), append(curve.Y, y)
	}
	return curve, nil
}

type compareArgs struct {
	Before Handle `arg:"before" kind:"scores" doc:"of eval.run"`
	After  Handle `arg:"after" kind:"scores" doc:"of eval.run on the same items"`
	Title  string `arg:"title=" doc:"the question"`
}

func reportCompare() Func {
	return plain("report.compare", "Compares two evaluations item by item: exact McNemar, and the difference with its 95 % paired bootstrap interval.\n"+
		"Returns a struct with fixed, broken, p, diff, low and high.",
		func(_ context.Context, c *Call, a compareArgs) (starlark.Value, error) {
			data, err := compareScores(c.Run.Store, a)
			if err != nil {
				return nil, err
			}
			text := fmt.Sprintf("%s → %s: %+.1f points (95 %% interval %+.1f to %+.1f), %d fixed, %d broken of %d, exact McNemar p = %.2g",
				data.A.Label, data.B.Label, 100*data.Diff, 100*data.DiffLow, 100*data.DiffHigh, data.Fixed, data.Broken, data.Items, data.P)
			if err := c.show(event.Compare, text, data); err != nil {
				return nil, err
			}
			return starlarkstruct.FromStringDict(starlark.String("comparison"), starlark.StringDict{
				"fixed": starlark.MakeInt(data.Fixed), "broken": starlark.MakeInt(data.Broken), "p": starlark.Float(data.P),
				"diff": starlark.Float(data.Diff), "low": starlark.Float(data.DiffLow), "high": starlark.Float(data.DiffHigh),
			}), nil
		})
}

func compareScores(st *store.Store, a compareArgs) (event.CompareData, error) {
	before, err := samplesOf(st, a.Before)
	if err != nil {
		return event.CompareData{}, err
	}
	after, err := samplesOf(st, a.After)
	if err != nil {
		return event.CompareData{}, err
	}
	data := event.CompareData{Title: a.Title, A: side(a.Before), B: side(a.After)}
	second := make(map[string]store.Sample, len(after))
	for _, s := range after {
		second[s.ID] = s
	}
	var x, y []float64
	var parents []string
	for _, s := range before {
		t, ok := second[s.ID]
		if !ok || t.Prompt != s.Prompt || t.Want != s.Want {
			continue
		}
		p, q := passed(s), passed(t)
		x, y, parents = append(x, p), append(y, q), append(parents, s.Parent)
		switch {
		case q > p:
			data.Fixed++
		case q < p:
			data.Broken++
		}
	}
	data.Items = len(x)
	if data.Items == 0 {
		return data, errors.New("the two evaluations have no item in common")
	}
	if n := max(len(before), len(after)); data.Items < n {
		data.Warnings = append(data.Warnings, fmt.Sprintf("only %d of %d items are in both", data.Items, n))
	}
	data.P = grade.McNemar(data.Broken, data.Fixed)
	diff, interval, err := grade.PairedDifference(x, y, grade.Bootstrap{Rounds: 2000, Level: 0.95, Seed: 1, Cluster: parents})
	data.Diff, data.DiffLow, data.DiffHigh = diff, interval.Lo, interval.Hi
	return data, err
}

func passed(s store.Sample) float64 {
	if s.Outcome == string(grade.Pass) {
		return 1
	}
	return 0
}

// side is one evaluation as its summary tells it.
func side(h Handle) event.Side {
	var f struct {
		N, Passed int
		Low, High float64
		Model     string
	}
	_ = json.Unmarshal(h.Summary, &f) // a summary of ours
	return event.Side{Step: h.Step.String(), Label: f.Model, N: f.N, Passed: f.Passed, Low: f.Low, High: f.High}
}

// show sends an event with data.
func (c *Call) show(kind event.Kind, text string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	c.Run.Emit(c.Thread, event.Event{Kind: kind, Text: text, Data: b})
	return nil
}
