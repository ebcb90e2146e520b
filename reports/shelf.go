package reports

import (
	"fmt"
	"slices"
	"strings"

	"starbook/runtime/store"
)

// shelf is a browser of samples: all that the page holds, and buttons that show
// only those of a sort. It works by style alone, for nothing on the page may run.
type shelf struct {
	Title   string
	Name    string // of its buttons, its own on the page
	Filters []filter
	Rows    []sampleRow
	Left    int // that the page leaves out
}

// filter is a button that shows the rows of one class. The classes are those
// that style.css knows.
type filter struct {
	Class, Label string
	N            int
}

// sampleRow is one graded answer, or with Before two of them.
type sampleRow struct {
	ID, Group, Outcome, Leak    string
	Classes                     string // that filters go by
	Prompt, Want, Before, After excerpt
	Note                        excerpt
	Tokens                      int
}

// newShelf keeps the first rows of every class that the given order names. A row
// belongs to the first class of its own for that.
func newShelf(title, name string, order []filter, rows []sampleRow) shelf {
	s := shelf{Title: title, Name: name}
	kept := map[string]int{}
	for _, f := range order {
		for _, r := range rows {
			if slices.Contains(strings.Fields(r.Classes), f.Class) {
				f.N++
			}
		}
		if f.N > 0 {
			s.Filters = append(s.Filters, f)
		}
	}
	for _, r := range rows {
		first, _, _ := strings.Cut(r.Classes, " ")
		if kept[first]++; kept[first] > shownSamples {
			s.Left++
			continue
		}
		s.Rows = append(s.Rows, r)
	}
	if len(s.Filters) < 2 {
		s.Filters = nil // nothing to choose
	}
	return s
}

// answersShelf holds the answers of one evaluation, the ones that did not pass
// first.
func answersShelf(name string, samples []store.Sample) shelf {
	var order []filter
	for _, o := range outcomeOrder {
		order = append(order, filter{Class: o, Label: o})
	}
	order = append(order, filter{Class: "leaked", Label: "trained on"})
	var rows []sampleRow
	for _, pass := range []bool{false, true} {
		for _, x := range samples {
			if (x.Outcome == "pass") != pass {
				continue
			}
			rows = append(rows, sampleRow{
				ID: sampleID(x), Group: x.Group, Outcome: x.Outcome, Leak: x.Leak, Classes: classes(x.Outcome, x.Leak), Tokens: x.Tokens,
				Prompt: cut(x.Prompt), Want: cut(x.Want), After: cut(x.Answer), Note: cut(x.Note),
			})
		}
	}
	return newShelf(fmt.Sprintf("The answers: %s", count(int64(len(samples)))), "s-"+name, order, rows)
}

// classes are what a sample is filtered by: only known outcomes, for the words
// stand in an attribute.
func classes(outcome, leak string) string {
	if !slices.Contains(outcomeOrder, outcome) {
		outcome = "other"
	}
	if leak != "" {
		return outcome + " leaked"
	}
	return outcome
}

// flipsShelf lists the items that only one side passed.
func flipsShelf(name string, before, after []store.Sample) shelf {
	byItem := map[string]store.Sample{}
	for _, s := range before {
		byItem[item(s)] = s
	}
	var rows []sampleRow
	n := map[string]int{}
	for _, s := range after {
		was, ok := byItem[item(s)]
		if !ok || (was.Outcome == "pass") == (s.Outcome == "pass") || was.Outcome == "unscored" || s.Outcome == "unscored" {
			continue
		}
		kind, bad := "fixed", was.Outcome
		if s.Outcome != "pass" {
			kind, bad = "broken", s.Outcome
		}
		n[kind]++
		leak := s.Leak
		if leak == "" {
			leak = was.Leak
		}
		rows = append(rows, sampleRow{
			ID: sampleID(s), Group: s.Group, Outcome: was.Outcome + " → " + s.Outcome, Leak: leak, Classes: kind + " " + classes(bad, leak),
			Prompt: cut(s.Prompt), Want: cut(s.Want), Before: cut(was.Answer), After: cut(s.Answer),
			Note: cut(strings.Trim(was.Note+" → "+s.Note, " →")),
		})
	}
	// Broken ones first: they are what a gain hides.
	slices.SortStableFunc(rows, func(a, b sampleRow) int { return strings.Compare(a.Classes[:5], b.Classes[:5]) })
	order := []filter{
		{Class: "broken", Label: "broken: passed before, not after"},
		{Class: "fixed", Label: "fixed: passes now, did not before"},
		{Class: "fail", Label: "wrong on the other side"},
		{Class: "truncated", Label: "cut off"},
		{Class: "empty", Label: "empty"},
		{Class: "unparsable", Label: "unparsable"},
		{Class: "refused", Label: "refused"},
		{Class: "leaked", Label: "trained on"},
	}
	return newShelf(fmt.Sprintf("The flips: %s fixed, %s broken", count(int64(n["fixed"])), count(int64(n["broken"]))), "f-"+name, order, rows)
}

// sampleID names a sample for people.
func sampleID(s store.Sample) string {
	if s.ID != "" {
		return s.ID
	}
	return "#" + count(int64(s.Index))
}

// item is what makes two samples the same question.
func item(s store.Sample) string {
	if s.ID != "" {
		return s.ID
	}
	return fmt.Sprintf("\x00%d", s.Index)
}
