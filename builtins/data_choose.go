package builtins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

// splitPart is one part of data.split; the script sees them together.
type splitPart struct {
	Data      Handle    `arg:"data" kind:"dataset"`
	Fractions []float64 `arg:"fractions"`
	Seed      int64     `arg:"seed"`
	By        string    `arg:"by"`
	Part      int       `arg:"part"`
}

type splitArgs struct {
	Data     Handle         `arg:"data" kind:"dataset" doc:"rows"`
	Fraction starlark.Value `arg:"fraction" doc:"share of the second part; or a list of shares that add up to 1, one for each part"`
	Seed     int64          `arg:"seed=1" doc:"of the draw"`
	By       string         `arg:"by=parent" doc:"field; rows with the same value stay together. parent: rows with a common ancestor. \"\": each row alone"`
}

func dataSplit() Func {
	part := step("data.split", 1, runtime.None, "", splitRows)
	f := plain("data.split", "Splits a dataset into parts, returned as a tuple.\n"+
		"Rows derived from one item (the same parent) stay together, so that nothing held out was trained on.",
		func(_ context.Context, c *Call, a splitArgs) (starlark.Value, error) {
			fractions, err := shares(a.Fraction)
			if err != nil {
				return nil, err
			}
			list := starlark.NewList(nil)
			for _, f := range fractions {
				if err := list.Append(starlark.Float(f)); err != nil {
					return nil, err
				}
			}
			var parts starlark.Tuple
			for i := range fractions {
				v, err := part.invoke(c.Host, c.Thread, starlark.Tuple{
					a.Data, list, starlark.MakeInt64(a.Seed), starlark.String(a.By), starlark.MakeInt(i),
				}, nil)
				if err != nil {
					return nil, err
				}
				parts = append(parts, v)
			}
			return parts, nil
		})
	f.results = func(args map[string]starlark.Value) int {
		parts, err := shares(args["fraction"])
		if err != nil {
			return 2 // its own call would say what is wrong
		}
		return len(parts)
	}
	return f.does("data.split")
}

func shares(v starlark.Value) ([]float64, error) {
	if f, ok := starlark.AsFloat(v); ok {
		if !(f > 0 && f < 1) {
			return nil, fmt.Errorf("fraction: %v is not between 0 and 1", v)
		}
		return []float64{1 - f, f}, nil
	}
	seq, ok := v.(starlark.Sequence)
	if !ok || seq.Len() < 2 {
		return nil, errors.New("fraction: want a number, or a list of at least two")
	}
	var out []float64
	sum := 0.0
	for x := range starlark.Elements(seq) {
		f, ok := starlark.AsFloat(x)
		if !ok || !(f > 0 && f < 1) {
			return nil, fmt.Errorf("fraction: %v is not a number between 0 and 1", x)
		}
		out = append(out, f)
		sum += f
	}
	if math.Abs(sum-1) > 1e-9 {
		return nil, fmt.Errorf("fraction: the shares add up to %g, not to 1", sum)
	}
	return out, nil
}

// splitRows deals families of rows to the parts and keeps one part.
func splitRows(_ context.Context, _ *Host, s *runtime.Step, a splitPart) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return runtime.Artifact{}, err
	}
	families := rows
	if a.By != "parent" {
		families = standIns(rows, a.By)
	}
	parts, err := dataset.Split(families, a.Fractions, uint64(a.Seed))
	if err != nil {
		return runtime.Artifact{}, err
	}
	part := parts[a.Part]
	if a.By != "parent" {
		for i, r := range part {
			n, err := r["id"].(json.Number).Int64()
			if err != nil {
				return runtime.Artifact{}, err
			}
			part[i] = rows[n]
		}
	}
	return WriteRows(s, part, nil)
}

// standIns returns rows whose id is the place of a row, and whose parent is
// its value of the field by, if it has one.
func standIns(rows []Row, by string) []Row {
	out := make([]Row, len(rows))
	for i, r := range rows {
		out[i] = Row{"id": json.Number(strconv.Itoa(i))}
		if v, has := r[by]; has {
			out[i]["parent"] = by + " " + encode(v)
		}
	}
	return out
}

type sampleArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows"`
	N    int    `arg:"n" doc:"how many"`
	Seed int64  `arg:"seed=1" doc:"of the draw"`
}

func (a *sampleArgs) check() error { return atLeastOne(a.N) }

func atLeastOne(n int) error {
	if n < 1 {
		return fmt.Errorf("n: got %d, want at least 1", n)
	}
	return nil
}

func dataSample() Func {
	return step("data.sample", 1, runtime.None, "Draws n rows, without putting any back. They keep their order.",
		func(_ context.Context, _ *Host, s *runtime.Step, a sampleArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			drawn, err := dataset.Sample(rows, a.N, uint64(a.Seed))
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, drawn, nil)
		})
}

type headArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows"`
	N    int    `arg:"n" doc:"how many at most"`
}

func (a *headArgs) check() error { return atLeastOne(a.N) }

func dataHead() Func {
	return step("data.head", 1, runtime.None, "Keeps the first n rows.",
		func(_ context.Context, _ *Host, s *runtime.Step, a headArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, rows[:min(a.N, len(rows))], nil)
		})
}

type sortArgs struct {
	Data       Handle `arg:"data" kind:"dataset" doc:"rows"`
	By         string `arg:"by" doc:"field to sort by: numbers or texts"`
	Descending bool   `arg:"descending=false" doc:"largest first"`
}

func dataSort() Func {
	return step("data.sort", 1, runtime.None, "Sorts by a field. Rows with equal values keep their order.",
		func(_ context.Context, _ *Host, s *runtime.Step, a sortArgs) (runtime.Artifact, error) {
			rows, err := sorted(s, a)
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, rows, nil)
		})
}

type topArgs struct {
	Data       Handle `arg:"data" kind:"dataset" doc:"rows"`
	N          int    `arg:"n" doc:"how many at most"`
	By         string `arg:"by" doc:"field to choose by: numbers or texts"`
	Descending bool   `arg:"descending=true" doc:"the largest; False: the smallest"`
}

func (a *topArgs) check() error { return atLeastOne(a.N) }

func dataTop() Func {
	return step("data.top", 1, runtime.None, "Keeps the n rows with the largest values of a field, largest first.\n"+
		"data.top(guesses, 500, by = \"confidence\", descending = False) are the least confident.",
		func(_ context.Context, _ *Host, s *runtime.Step, a topArgs) (runtime.Artifact, error) {
			rows, err := sorted(s, sortArgs{a.Data, a.By, a.Descending})
			if err != nil {
				return runtime.Artifact{}, err
			}
			return WriteRows(s, rows[:min(a.N, len(rows))], nil)
		})
}

func sorted(s *runtime.Step, a sortArgs) ([]Row, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return nil, err
	}
	type keyed struct {
		row    Row
		number float64
		text   string
	}
	keys := make([]keyed, len(rows))
	numbers := 0
	for i, r := range rows {
		keys[i].row = r
		switch v := r[a.By].(type) {
		case json.Number:
			numbers++
			if keys[i].number, err = v.Float64(); err != nil {
				return nil, fmt.Errorf("row %d: %s: %w", i+1, a.By, err)
			}
		case string:
			keys[i].text = v
		default:
			return nil, fmt.Errorf("row %d: %s is neither a number nor a text%s", i+1, a.By, didYouMean(a.By, sortedKeys(r)))
		}
	}
	if numbers != 0 && numbers != len(rows) {
		return nil, fmt.Errorf("%s is a number in some rows and a text in others", a.By)
	}
	slices.SortStableFunc(keys, func(x, y keyed) int {
		c := cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.text, y.text))
		if a.Descending {
			return -c
		}
		return c
	})
	for i, k := range keys {
		rows[i] = k.row
	}
	return rows, nil
}
