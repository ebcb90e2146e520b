package builtins

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

func dataModule() Module {
	return Module{
		Name: "data",
		Doc:  "Datasets: rows of named fields. Reading, changing, choosing and checking them.",
		Funcs: []Func{
			dataExamples(), dataJSONL(), dataCSV(), dataParquet(), dataText(), dataRows(),
			dataMap(), dataFilter(), dataCombine(), dataJoin(), dataExclude(), dataDedup(),
			dataSplit(), dataSample(), dataHead(), dataSort(), dataTop(),
			dataCheck(), dataValidate(), dataRedact(), dataRead(), dataCount(), dataPreview(), dataWrite(), dataHub(),
		},
	}
}

func datasetKind() KindDoc {
	return KindDoc{
		Name: "dataset",
		Doc:  "Rows of named fields.",
		Facts: []Fact{
			{"rows", "number of rows"},
			{"columns", "names of the fields that occur"},
			{"counts", "rows by where they come from, or of which kind they are"},
			{"clashes", "pairs of different rows with one id, in what data.combine made"},
			{"dropped", "rows left out, by reason"},
			{"accepted", "share of a teacher's samples that the grader accepted"},
		},
		Note: func(facts Row) string { return fmt.Sprint(facts["rows"], " rows") },
	}
}

type rowsArgs struct {
	Rows starlark.Value `arg:"rows" doc:"list of dicts with string keys"`
}

func dataRows() Func {
	return step("data.rows", 1, runtime.None, "Makes a dataset of rows written in the notebook.",
		func(_ context.Context, _ *Host, s *runtime.Step, a rowsArgs) (runtime.Artifact, error) {
			rows, err := rowsFrom(a.Rows)
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, rows, nil)
		})
}

// rowsFrom converts a list of dicts, or one dict.
func rowsFrom(v starlark.Value) ([]Row, error) {
	if d, ok := v.(*starlark.Dict); ok {
		v = starlark.NewList([]starlark.Value{d})
	}
	seq, ok := v.(starlark.Sequence)
	if !ok {
		return nil, fmt.Errorf("got %s, want a dict or a list of dicts", v.Type())
	}
	var rows []Row
	for x := range starlark.Elements(seq) {
		j, err := toJSON(x)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		r, ok := j.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("row %d: got %s, want a dict", len(rows)+1, x.Type())
		}
		rows = append(rows, r)
	}
	return rows, nil
}

type mapArgs struct {
	Data    Handle            `arg:"data" kind:"dataset" doc:"rows to change"`
	Fn      starlark.Callable `arg:"fn" doc:"called with a row as a dict; returns the new row, or a list of rows"`
	Workers int               `arg:"workers=0" hash:"-" doc:"rows at a time; 0: one for each CPU"`
}

func dataMap() Func {
	return step("data.map", 1, runtime.CPU, "Makes a new row, or several, of every row. The order is kept.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a mapArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			made := make([][]Row, len(rows))
			err = each(ctx, s, a.Fn, rows, a.Workers, func(i int, v starlark.Value) (err error) {
				if v == starlark.None {
					return errors.New("fn returned None: return the row (to leave rows out, use data.filter or return [])")
				}
				made[i], err = rowsFrom(v)
				return err
			})
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, slices.Concat(made...), nil)
		})
}

type filterArgs struct {
	Data    Handle            `arg:"data" kind:"dataset" doc:"rows to choose from"`
	Fn      starlark.Callable `arg:"fn" doc:"called with a row as a dict; says whether it stays"`
	Workers int               `arg:"workers=0" hash:"-" doc:"rows at a time; 0: one for each CPU"`
}

func dataFilter() Func {
	return step("data.filter", 1, runtime.CPU, "Keeps the rows for which a function says True.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a filterArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			gone := make([]bool, len(rows))
			err = each(ctx, s, a.Fn, rows, a.Workers, func(i int, v starlark.Value) error {
				b, ok := v.(starlark.Bool)
				if !ok {
					return fmt.Errorf("fn returned a %s, want True or False", v.Type())
				}
				gone[i] = !bool(b)
				return nil
			})
			if err != nil {
				return runtime.Artifact{}, err
			}
			kept := without(rows, gone)
			return WriteRows(s, kept, Facts{"dropped": map[string]int{"filtered": len(rows) - len(kept)}})
		})
}

func without(rows []Row, gone []bool) []Row {
	var kept []Row
	for i, r := range rows {
		if !gone[i] {
			kept = append(kept, r)
		}
	}
	return kept
}
