package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// CountBy counts the rows by the value of a field, the most frequent first, of
// equals by value. Text stands as it is, other values as JSON. missing is how
// many rows lack the field.
func CountBy(rows []Row, field string) (groups []Count, missing int) {
	n := map[string]int{}
	var b []byte
	for _, r := range rows {
		v, ok := r[field]
		if !ok {
			missing++
			continue
		}
		if s, isText := v.(string); isText {
			n[s]++
			continue
		}
		b, _ = AppendJSON(b[:0], v)
		n[string(b)]++
	}
	for k, c := range n {
		groups = append(groups, Count{k, c})
	}
	slices.SortFunc(groups, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Key, b.Key))
	})
	return groups, missing
}

// A Problem is what is wrong with a field of a row.
type Problem struct {
	Row   int // from 0
	ID    string
	Field string
	Code  string // "missing", "not text", "empty" or "bad text"
}

// String returns the problem as a sentence's beginning: "row 3, q-17: answer: empty".
func (p Problem) String() string {
	return fmt.Sprintf("row %d, %s: %s: %s", p.Row+1, p.ID, p.Field, p.Code)
}

// Validate checks that every row has the fields, each as text that is not
// blank and holds neither U+FFFD nor control characters other than line ends
// and tabs: those come from reading a file in the wrong encoding.
func Validate(rows []Row, fields ...string) []Problem {
	var all []Problem
	for i, r := range rows {
		for _, f := range fields {
			if code := check(r, f); code != "" {
				all = append(all, Problem{i, ID(r), f, code})
			}
		}
	}
	return all
}

func check(r Row, field string) string {
	v, has := r[field]
	s, isText := v.(string)
	switch {
	case !has:
		return "missing"
	case !isText:
		return "not text"
	case strings.TrimSpace(s) == "":
		return "empty"
	case strings.ContainsFunc(s, isBad):
		return "bad text"
	}
	return ""
}

func isBad(c rune) bool {
	return c == '\uFFFD' || unicode.IsControl(c) && c != '\n' && c != '\t' && c != '\r'
}
