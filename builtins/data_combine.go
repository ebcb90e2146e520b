package builtins

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
			var all []Row
			counts := []int{}
			for _, p := range a.Parts {
				rows, err := ReadRows(s.Store(), p)
				if err != nil {
					return runtime.Artifact{}, err
				}
				all = append(all, rows...)
				counts = append(counts, len(rows))
			}
			return WriteRows(s, all, Facts{"counts": counts})
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
				key, ok := textOf(r, a.On)
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
		key, ok := textOf(r, on)
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

func (a *excludeArgs) check() error { return needFields(a.Fields) }

func needFields(fields []string) error {
	if len(fields) == 0 {
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
			for i, r := range others {
				key, err := fieldKey(r, a.Fields, true)
				if err != nil {
					return runtime.Artifact{}, fmt.Errorf("other: row %d: %w", i+1, err)
				}
				taken[key] = true
			}
			keep := make([]bool, len(rows))
			for i, r := range rows {
				key, err := fieldKey(r, a.Fields, true)
				if err != nil {
					return runtime.Artifact{}, fmt.Errorf("row %d: %w", i+1, err)
				}
				keep[i] = !taken[key]
			}
			return WriteRows(s, where(rows, keep), Facts{"dropped": map[string]int{"excluded": len(rows) - count(keep)}})
		})
}

// fieldKey returns what makes rows equal: the given fields, all of which it has.
func fieldKey(r Row, fields []string, fold bool) (string, error) {
	var parts []any
	for _, f := range fields {
		v, ok := r[f]
		if !ok {
			return "", fmt.Errorf("no field %s%s", f, didYouMean(f, sortedKeys(r)))
		}
		if s, ok := v.(string); ok && fold {
			v = normal(s)
		}
		parts = append(parts, v)
	}
	return string(encodeRow(parts)), nil
}

// normal folds what does not make a text a different one: case and white space.
func normal(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

type dedupArgs struct {
	Data   Handle   `arg:"data" kind:"dataset" doc:"rows"`
	Fields []string `arg:"fields=[]" doc:"what makes rows equal; empty: all but id and parent"`
	Fold   bool     `arg:"fold=true" doc:"case and white space do not count"`
}

func dataDedup() Func {
	return step("data.dedup", 1, runtime.None, "Keeps the first of equal rows. .dropped says how many others there were.",
		func(_ context.Context, _ *Host, s *runtime.Step, a dedupArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			seen, keep := map[string]bool{}, make([]bool, len(rows))
			for i, r := range rows {
				fields := a.Fields
				if len(fields) == 0 {
					fields = contentFields(r)
				}
				key, err := fieldKey(r, fields, a.Fold)
				if err != nil {
					return runtime.Artifact{}, fmt.Errorf("row %d: %w", i+1, err)
				}
				if len(a.Fields) == 0 { // rows may differ in which fields they have
					key += "\n" + strings.Join(fields, "\n")
				}
				keep[i] = !seen[key]
				seen[key] = true
			}
			return WriteRows(s, where(rows, keep), Facts{"dropped": map[string]int{"duplicate": len(rows) - count(keep)}})
		})
}

func contentFields(r Row) (fields []string) {
	for _, k := range sortedKeys(r) {
		if k != "id" && k != "parent" {
			fields = append(fields, k)
		}
	}
	return fields
}
