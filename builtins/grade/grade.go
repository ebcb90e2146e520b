// Package grade decides whether an answer is right.
//
// A Grader sees one answer. All runs a Grader over many and keeps apart what a
// pass rate must not mix: an answer that is wrong, one that was cut off, one
// that is empty, a refusal, one that the grader cannot read, and one that it
// could not judge.
package grade

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// Outcome is the class of a graded answer.
type Outcome string

const (
	Pass       Outcome = "pass"       // right
	Fail       Outcome = "fail"       // wrong
	Truncated  Outcome = "truncated"  // did not pass, and was cut off at the token limit
	Empty      Outcome = "empty"      // nothing but space
	Unparsable Outcome = "unparsable" // the grader found nothing to compare
	Refused    Outcome = "refused"    // did not pass, and declines to answer
	Unscored   Outcome = "unscored"   // the grader failed; says nothing about the answer
)

// Item is one answer to grade.
type Item struct {
	Prompt    string
	Answer    string
	Want      string          // the reference
	Row       json.RawMessage // the whole row of the data set, if the grader needs more
	Truncated bool            // the answer stopped at the token limit
	Refused   bool            // whoever answered says that it declines
}

// Score is what a Grader said. Value is in [0, 1]; 1 and only 1 is a pass.
type Score struct {
	Value   float64
	Outcome Outcome
	Note    string // why, for a person
}

// Grader judges one answer. An error means that nothing can be graded (the
// grader itself is broken, ctx is done); trouble with one answer is a Score.
type Grader interface {
	Name() string
	Version() string // changes whenever a verdict can change: code, options, source
	Grade(ctx context.Context, it Item) (Score, error)
}

// Batch is a Grader that has a faster way for many items. GradeAll returns one
// score per item, in order.
type Batch interface {
	Grader
	GradeAll(ctx context.Context, items []Item) ([]Score, error)
}

// All grades items in order and sets apart empty, truncated and refused
// answers. Empty answers are not shown to the grader.
func All(ctx context.Context, g Grader, items []Item) ([]Score, error) {
	scores := make([]Score, len(items))
	var full []int // indices of the answers that are not empty
	for i, it := range items {
		if strings.TrimSpace(it.Answer) == "" {
			scores[i] = Score{Outcome: Empty}
			switch {
			case it.Truncated:
				scores[i] = Score{Outcome: Truncated, Note: "cut off before any visible text"}
			case it.Refused:
				scores[i] = Score{Outcome: Refused}
			}
			continue
		}
		full = append(full, i)
	}
	some := make([]Item, len(full))
	for k, i := range full {
		some[k] = items[i]
	}
	graded, err := each(ctx, g, some)
	if err != nil {
		return nil, err
	}
	for k, i := range full {
		scores[i] = classify(items[i], graded[k])
	}
	return scores, nil
}

func each(ctx context.Context, g Grader, items []Item) ([]Score, error) {
	if b, ok := g.(Batch); ok {
		return b.GradeAll(ctx, items)
	}
	scores := make([]Score, len(items))
	for i, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if scores[i], err = g.Grade(ctx, it); err != nil {
			return nil, err
		}
	}
	return scores, nil
}

// refusal finds the usual beginnings of a refusal, in the first words only: an
// answer that merely quotes one is not a refusal.
var refusal = regexp.MustCompile(`(?i)^\W*(?:i['’]?m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately)?[\s,;.:—-]*(?:but )?(?:as an ai\b.{0,40})?i (?:can(?:no|['’])t|can not|am unable to|['’]m unable to|won['’]t|will not|must decline)\b`)

func classify(it Item, s Score) Score {
	if s.Outcome != Fail && s.Outcome != Unparsable {
		return s
	}
	switch {
	case it.Truncated:
		s.Outcome = Truncated
	case it.Refused, refusal.MatchString(it.Answer):
		s.Outcome = Refused
	}
	return s
}

// verdict is the Score of a plain yes or no.
func verdict(ok bool, note string) Score {
	if ok {
		return Score{Value: 1, Outcome: Pass}
	}
	return Score{Outcome: Fail, Note: note}
}

func unparsable(format string, args ...any) Score {
	return Score{Outcome: Unparsable, Note: fmt.Sprintf(format, args...)}
}

// fromValue reads what a script or a Go file returned: a value, and a note
// that may begin with "unparsable" or "undecided".
func fromValue(value float64, note string) Score {
	s := Score{Value: value, Outcome: Fail, Note: note}
	switch {
	case math.IsNaN(value) || value < 0 || value > 1:
		return Score{Outcome: Unscored, Note: fmt.Sprintf("the grader returned %v, which is not in [0, 1]", value)}
	case value == 1:
		s.Outcome = Pass
	case strings.HasPrefix(note, "unparsable"):
		s.Outcome = Unparsable
	case strings.HasPrefix(note, "undecided"):
		s.Outcome = Unscored
	}
	return s
}

// reasoning is what some models write before the answer.
var reasoning = regexp.MustCompile(`(?s)^.*</think(?:ing)?>`)

// visible is the answer without the reasoning before it.
func visible(answer string) string { return strings.TrimSpace(reasoning.ReplaceAllString(answer, "")) }

// clip shortens text for a note.
func clip(s string) string {
	const limit = 60
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
