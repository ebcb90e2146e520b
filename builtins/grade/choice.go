package grade

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// Choice passes an answer that picks the right letter of a multiple choice.
//
// Three places are tried in this order: the last "answer is (B)" or \boxed{B};
// an answer that begins with the letter and a mark or nothing ("B", "(B) …",
// "B. …"); the only letter that stands alone. An article ("A dog …") is not a
// choice.
type Choice struct{}

// Name implements Grader.
func (Choice) Name() string { return "choice" }

// Version implements Grader.
func (Choice) Version() string { return "1" }

var (
	choiceSaid  = regexp.MustCompile(`(?:(?i:answer|choice|option)(?i:\s+is)?\s*[:=]?\s*\W{0,4}|\\boxed\{\W{0,2}(?:\\text\{)?)([A-Z])(?:[^A-Za-z0-9_'’]|$)`)
	choiceFirst = regexp.MustCompile(`^[^A-Za-z0-9]{0,4}([A-Z])(?:\s*$|[^A-Za-z0-9_'’\s-])`)
	choiceAlone = regexp.MustCompile(`(?:^|[\s(*])([A-Z])(?:[).:*]|$)`)
	choiceWant  = regexp.MustCompile(`^[^A-Za-z0-9]*([A-Za-z])[^A-Za-z0-9]*$`)
)

// Grade finds the letter and compares it.
func (Choice) Grade(_ context.Context, it Item) (Score, error) {
	want := choiceWant.FindStringSubmatch(it.Want)
	if want == nil {
		return Score{Outcome: Unscored, Note: fmt.Sprintf("the reference %q is not a letter", clip(it.Want))}, nil
	}
	got := choose(visible(it.Answer))
	if got == "" {
		return unparsable("no letter, or more than one"), nil
	}
	right := strings.ToUpper(want[1])
	return verdict(got == right, fmt.Sprintf("got %s, want %s", got, right)), nil
}

// choose is the letter an answer picks, or "".
func choose(s string) string {
	if len(s) == 1 {
		s = strings.ToUpper(s)
	}
	if said := choiceSaid.FindAllStringSubmatch(s, -1); len(said) > 0 {
		return said[len(said)-1][1]
	}
	if first := choiceFirst.FindStringSubmatch(s); first != nil {
		return first[1]
	}
	letter := ""
	for _, m := range choiceAlone.FindAllStringSubmatch(s, -1) {
		if letter != "" && m[1] != letter {
			return ""
		}
		letter = m[1]
	}
	return letter
}
