package builtins

import (
	"context"
	"errors"
	"fmt"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

type combineArgs struct {
	Parts []Handle `arg:"*parts" kind:"dataset" doc:"datasets, one after the other"`
}

func (a *combineArgs) check() error {
	if len(a.Parts) == 0 {
		return errors.New("nothing to combine")
	}
	return nil
}

func dataCombine() Func {
	return step("data.combine", 1, runtime.None, "Puts datasets one after the other. .counts says how many rows each gave.",
		func(_ context.Context, _ *Host, s *runtime.Step, a combineArgs) (runtime.Artifact, error) {
			parts, counts := make([][]Row, len(a.Parts)), make([]int, len(a.Parts))
			for i, p := range a.Parts {
				var err error
				if parts[i], err = ReadRows(s.Store(), p); err != nil {
					return runtime.Artifact{}, err
				}
				counts[i] = len(parts[i])
			}
			rows, clashes := dataset.Combine(parts...)
			if len(clashes) > 0 {
				s.Warn(fmt.Sprintf("%s of different rows with one id, the first is %q: data.map can give each its own", plural(len(clashes), "pairs"), clashes[0]))
			}
			return WriteRows(s, rows, Facts{"counts": counts, "clashes": len(clashes)})
		})
}

type joinArgs struct {
	Data  Handle `arg:"data" kind:"dataset" doc:"rows that get more fields"`
	Other Handle `arg:"other" kind:"dataset" doc:"rows that have them"`
	On    string `arg:"on=id" doc:"field by which rows match; other has no value of it twice"`
	Inner bool   `arg:"inner=false" doc:"leave out rows without a match"`
}

func dataJoin() Func {
	return step("data.join", 1, runtime.None, "Adds the fields of another dataset's matching row. What a row has already stays.",
		func(_ context.Context, _ *Host, s *runtime.Step, a joinArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			index, err := indexRows(s, a.Other, a.On)
			if err != nil {
				return runtime.Artifact{}, err
			}
			out, missing := make([]Row, 0, len(rows)), 0
			for i, r := range rows {
				key, ok := dataset.Text(r, a.On)
				if !ok {
					return runtime.Artifact{}, fmt.Errorf("row %d has no %s", i+1, a.On)
				}
				other, found := index[key]
				if !found {
					missing++
					if a.Inner {
						continue
					}
				}
				for k, v := range other {
					if _, has := r[k]; !has {
						r[k] = v
					}
				}
				out = append(out, r)
			}
			return WriteRows(s, out, Facts{"counts": map[string]int{"matched": len(rows) - missing, "unmatched": missing}})
		})
}

func indexRows(s *runtime.Step, d Handle, on string) (map[string]Row, error) {
	rows, err := ReadRows(s.Store(), d)
	if err != nil {
		return nil, err
	}
	index := make(map[string]Row, len(rows))
	for i, r := range rows {
		key, ok := dataset.Text(r, on)
		if !ok {
			return nil, fmt.Errorf("other: row %d has no %s", i+1, on)
		}
		if _, twice := index[key]; twice {
			return nil, fmt.Errorf("other: row %d: the %s %q occurs twice: data.dedup(other, fields = [%q]) keeps the first", i+1, on, key, on)
		}
		index[key] = r
	}
	return index, nil
}

type excludeArgs struct {
	Data   Handle   `arg:"data" kind:"dataset" doc:"rows to choose from"`
	Other  Handle   `arg:"other" kind:"dataset" doc:"rows that must not occur: a test set"`
	Fields []string `arg:"fields=[\"prompt\"]" doc:"what makes rows equal; case and white space do not count"`
}

func (a *excludeArgs) check() error {
	if len(a.Fields) == 0 {
		return errors.New("fields: name at least one")
	}
	return nil
}

func dataExclude() Func {
	return step("data.exclude", 1, runtime.None, "Leaves out the rows that another dataset has too. .dropped says how many.",
		func(_ context.Context, _ *Host, s *runtime.Step, a excludeArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			others, err := ReadRows(s.Store(), a.Other)
			if err != nil {
				return runtime.Artifact{}, err
			}
			taken := map[string]bool{}
			for i, r := range folded(others) {
				key, err := fieldKey(r, a.Fields)
				if err != nil {
					return runtime.Artifact{}, fmt.Errorf("other: row %d: %w", i+1, err)
				}
				taken[key] = true
			}
			gone, n := make([]bool, len(rows)), 0
			for i, r := range folded(rows) {
				key, err := fieldKey(r, a.Fields)
				if err != nil {
					return runtime.Artifact{}, fmt.Errorf("row %d: %w", i+1, err)
				}
				if gone[i] = taken[key]; gone[i] {
					n++
				}
			}
			return WriteRows(s, without(rows, gone), Facts{"dropped": map[string]int{"excluded": n}})
		})
}

// fieldKey returns what makes rows equal: the given fields, all of which it has.
func fieldKey(r Row, fields []string) (string, error) {
	var parts []any
	for _, f := range fields {
		v, ok := r[f]
		if !ok {
			return "", fmt.Errorf("no field %s%s", f, didYouMean(f, sortedKeys(r)))
		}
		parts = append(parts, v)
	}
	return encode(parts), nil
}

type dedupArgs struct {
	Data   Handle   `arg:"data" kind:"dataset" doc:"rows"`
	Fields []string `arg:"fields=[]" doc:"what makes rows equal; empty: all but id and parent"`
	Fold   bool     `arg:"fold=false" doc:"case and white space do not count"`
}

func dataDedup() Func {
	return step("data.dedup", 1, runtime.None, "Keeps the first of equal rows. .dropped says how many others there were.",
		func(_ context.Context, _ *Host, s *runtime.Step, a dedupArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			like := rows
			if a.Fold {
				like = folded(rows)
			}
			gone, err := dataset.Dedup(like, a.Fields...)
			if err != nil {
				return runtime.Artifact{}, err
			}
			kept := without(rows, gone)
			return WriteRows(s, kept, Facts{"dropped": map[string]int{"duplicate": len(rows) - len(kept)}})
		})
}

// folded returns rows with their texts in normal form.
func folded(rows []Row) []Row {
	out := make([]Row, len(rows))
	for i, r := range rows {
		out[i] = make(Row, len(r))
		for k, v := range r {
			if s, ok := v.(string); ok {
				v = dataset.Fold(s)
			}
			out[i][k] = v
		}
	}
	return out
}
