package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Param is a setting of a notebook as a run used it.
type Param struct {
	Value   any    `json:"value"` // a bool, an integer, a float64, a string or a list of them
	Default any    `json:"default"`
	Doc     string `json:"doc,omitempty"`
}

// params are the declared settings. Its lock is the run's.
type params struct {
	declared map[string]Param
	checked  bool // every -p was found to be declared
}

// ParamText returns what -p said for name.
func (r *Run) ParamText(name string) (string, bool) {
	s, ok := r.Params[name]
	return s, ok
}

// Declare records a param. Declaring it twice is an error.
func (r *Run) Declare(name string, p Param) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.params.declared[name]; ok {
		return fmt.Errorf("%q is declared twice", name)
	}
	if r.params.declared == nil {
		r.params.declared = map[string]Param{}
	}
	r.params.declared[name] = p
	return nil
}

// paramsKnown reports a -p that no param declares. It is asked before the
// first step, so that a misspelt name never costs anything, and at the end. Then
// they are recorded: whoever looks at a run that goes on sees them, and of one that
// was killed they stay.
func (r *Run) paramsKnown() error {
	r.mu.Lock()
	if r.params.checked {
		r.mu.Unlock()
		return nil
	}
	err := r.checkParams()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return r.recordParams()
}

// checkParams is paramsKnown with r.mu held.
func (r *Run) checkParams() error {
	known := slices.Sorted(maps.Keys(r.params.declared))
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		if _, ok := r.params.declared[name]; ok {
			continue
		}
		msg := fmt.Sprintf("param: -p %s: the notebook has no such param", name)
		if n := Nearest(name, known); n != "" {
			msg += fmt.Sprintf(" (did you mean %s?)", n)
		}
		if len(known) > 0 {
			msg += "; it has: " + strings.Join(known, ", ")
		}
		return Usage(errors.New(msg + "; params are declared before the first step"))
	}
	r.params.checked = true
	return nil
}

// recordParams writes the params and the libraries into the record of the run, which a plan has none of.
func (r *Run) recordParams() error {
	if r.plan != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.params.declared == nil {
		r.params.declared = map[string]Param{}
	}
	b, err := json.Marshal(r.params.declared)
	if err != nil {
		return fmt.Errorf("run: params: %w", err)
	}
	return r.Store.SetRunParams(r.ID, b, r.libs)
}

// Nearest returns the candidate that name is most likely a misspelling of, or "".
func Nearest(name string, candidates []string) string {
	fold := func(s string) []rune { return []rune(strings.ToLower(strings.ReplaceAll(s, "_", ""))) }
	best, bestD := "", (len(fold(name))+1)/2
	for _, c := range candidates {
		if d := distance(fold(name), fold(c)); d <= bestD && (best == "" || d < bestD) {
			best, bestD = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with one row of the table at hand.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diag := row[0]
		row[0] = i + 1
		for j, y := range b {
			cost := diag
			if x != y {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
