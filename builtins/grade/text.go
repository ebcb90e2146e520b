package grade

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Exact passes an answer that is the reference.
type Exact struct {
	Strip    bool // ignore space around, and reasoning before, the answer
	FoldCase bool
}

// Name implements Grader.
func (g Exact) Name() string { return "exact" }

// Version changes with the options.
func (g Exact) Version() string { return fmt.Sprintf("1 strip=%t fold=%t", g.Strip, g.FoldCase) }

// Grade compares the two texts.
func (g Exact) Grade(_ context.Context, it Item) (Score, error) {
	got, want := it.Answer, it.Want
	if g.Strip {
		got, want = visible(got), strings.TrimSpace(want)
	}
	ok := got == want || g.FoldCase && strings.EqualFold(got, want)
	return verdict(ok, fmt.Sprintf("got %q, want %q", clip(got), clip(want))), nil
}

// Contains passes an answer in which the reference occurs.
type Contains struct{ FoldCase bool }

// Name implements Grader.
func (g Contains) Name() string { return "contains" }

// Version changes with the options.
func (g Contains) Version() string { return fmt.Sprintf("1 fold=%t", g.FoldCase) }

// Grade looks for the reference outside the reasoning.
func (g Contains) Grade(_ context.Context, it Item) (Score, error) {
	got, want := visible(it.Answer), strings.TrimSpace(it.Want)
	if want == "" {
		return Score{Outcome: Unscored, Note: "the reference is empty: every answer would pass"}, nil
	}
	if g.FoldCase {
		got, want = strings.ToLower(got), strings.ToLower(want)
	}
	return verdict(strings.Contains(got, want), fmt.Sprintf("%q is not in it", clip(want))), nil
}

// Regex passes an answer from which an expression cuts the reference.
type Regex struct{ cut *regexp.Regexp }

// NewRegex compiles pattern (Go's syntax). The last match in the answer counts,
// of it the first group if there is one; it must be the reference.
func NewRegex(pattern string) (Regex, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return Regex{}, err
	}
	return Regex{re}, nil
}

// Name implements Grader.
func (g Regex) Name() string { return "regex" }

// Version changes with the pattern.
func (g Regex) Version() string { return "1 " + g.cut.String() }

// Grade cuts and compares.
func (g Regex) Grade(_ context.Context, it Item) (Score, error) {
	all := g.cut.FindAllStringSubmatch(visible(it.Answer), -1)
	if len(all) == 0 {
		return unparsable("no match of %q", g.cut), nil
	}
	last := all[len(all)-1]
	got, want := strings.TrimSpace(last[min(1, len(last)-1)]), strings.TrimSpace(it.Want)
	return verdict(got == want, fmt.Sprintf("got %q, want %q", clip(got), clip(want))), nil
}
