package builtins

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

type readArgs struct {
	Data  Handle `arg:"data" kind:"dataset" doc:"rows"`
	Limit int    `arg:"limit=1000" doc:"at most so many; 0: all"`
}

func dataRead() Func {
	return plain("data.read", "Returns the first rows as a list of dicts, for the script itself to look at.",
		func(_ context.Context, c *Call, a readArgs) (starlark.Value, error) {
			rows, err := ReadRows(c.Run.Store, a.Data)
			if err != nil {
				return nil, err
			}
			if a.Limit > 0 {
				rows = rows[:min(a.Limit, len(rows))]
			}
			out := make([]starlark.Value, len(rows))
			for i, r := range rows {
				if out[i], err = dictFromJSON(r); err != nil {
					return nil, err
				}
			}
			return starlark.NewList(out), nil
		})
}

type countArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows"`
	By   string `arg:"by" doc:"field"`
}

func dataCount() Func {
	return plain("data.count", "Returns a dict: how many rows have each value of a field, the most frequent first.\n"+
		"Values that are no text appear as JSON. Rows without the field count under None.",
		func(_ context.Context, c *Call, a countArgs) (starlark.Value, error) {
			rows, err := ReadRows(c.Run.Store, a.Data)
			if err != nil {
				return nil, err
			}
			groups, missing := dataset.CountBy(rows, a.By)
			d := starlark.NewDict(len(groups) + 1)
			for _, g := range groups {
				if err := d.SetKey(starlark.String(g.Key), starlark.MakeInt(g.N)); err != nil {
					return nil, err
				}
			}
			if missing > 0 {
				if err := d.SetKey(starlark.None, starlark.MakeInt(missing)); err != nil {
					return nil, err
				}
			}
			return d, nil
		})
}

type previewArgs struct {
	Data  Handle `arg:"data" kind:"dataset" doc:"rows"`
	N     int    `arg:"n=3" doc:"how many"`
	Title string `arg:"title=" doc:"above the table"`
}

func (a *previewArgs) check() error { return atLeastOne(a.N) }

func dataPreview() Func {
	return plain("data.preview", "Shows the first rows as a table, here and in the report. It does so in every run: a look is not a step.",
		func(_ context.Context, c *Call, a previewArgs) (starlark.Value, error) {
			if a.Title == "" {
				a.Title = a.Data.String()
			}
			return starlark.None, c.showRows(a.Data, a.N, a.Title)
		})
}

// showRows puts the first n rows of a dataset into the report.
func (c *Call) showRows(d Handle, n int, title string) error {
	rows, err := ReadRows(c.Run.Store, d)
	if err != nil {
		return err
	}
	rows = rows[:min(n, len(rows))]
	t := event.TableData{Title: title, Columns: columnsOf(rows), Rows: [][]any{}}
	for _, r := range rows {
		cells := make([]any, len(t.Columns))
		for i, k := range t.Columns {
			cells[i] = cell(r[k])
		}
		t.Rows = append(t.Rows, cells)
	}
	return c.show(event.Table, "", t)
}

// cell writes what has no place in a table as JSON.
func cell(v any) any {
	switch v.(type) {
	case map[string]any, []any:
		return encode(v)
	}
	return v
}

type writeArgs struct {
	Data   Handle `arg:"data" kind:"dataset" doc:"rows"`
	Path   string `arg:"path" doc:"a .jsonl file in the notebook's folder"`
	Format string `arg:"format=rows" doc:"rows: as they are; or for other programs alpaca, sharegpt, messages, prompt_completion, with all other columns in meta"`
}

func (a *writeArgs) check() error {
	if filepath.Ext(a.Path) != ".jsonl" || !filepath.IsLocal(a.Path) {
		return fmt.Errorf("path: %s: want a .jsonl file in the notebook's folder", a.Path)
	}
	if !slices.Contains(dataset.Shapes, dataset.Shape(a.Format)) {
		return fmt.Errorf("format: %q is none of %v", a.Format, dataset.Shapes)
	}
	return nil
}

func dataWrite() Func {
	return plain("data.write", "Writes a dataset to a JSONL file, whole or not at all. An existing file is replaced.\n"+
		"data.examples reads every format back as the rows it was written from; a row for which that would not hold is an error.",
		func(_ context.Context, c *Call, a writeArgs) (starlark.Value, error) {
			b, err := a.bytes(c.Run.Store)
			if err != nil {
				return nil, err
			}
			if old, err := os.ReadFile(c.Host.path(a.Path)); err == nil && bytes.Equal(old, b) {
				return starlark.None, nil // left alone
			}
			if err := c.Host.place(a.Path, bytes.NewReader(b)); err != nil {
				return nil, fmt.Errorf("%s: %w", a.Path, err)
			}
			return starlark.None, nil
		}).acts()
}

func (a *writeArgs) bytes(st *store.Store) ([]byte, error) {
	if dataset.Shape(a.Format) == dataset.Rows {
		return st.Blobs.ReadAll(a.Data.Digest)
	}
	rows, err := ReadRows(st, a.Data)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		if rows[i], err = dataset.As(r, dataset.Shape(a.Format)); err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
	}
	var out bytes.Buffer
	err = dataset.Write(&out, rows)
	return out.Bytes(), err
}
