package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"starbook/runtime/event"
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
	return plain("report.compare", "Compares two evaluations as eval.compare does, and puts the comparison into the report.",
		func(_ context.Context, c *Call, a compareArgs) (starlark.Value, error) {
			data, pairs, err := compareScores(c.Run.Store, a.Before, a.After)
			if err != nil {
				return nil, err
			}
			data.Title = a.Title
			if err := c.show(event.Compare, compareText(data), data); err != nil {
				return nil, err
			}
			return comparisonValue(data, pairs)
		})
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
