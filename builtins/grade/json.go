package grade

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// JSON passes an answer that is the same JSON value as the reference: the
// order of keys, space and the spelling of numbers do not matter. A fenced
// code block is unwrapped.
type JSON struct{}

// Name implements Grader.
func (JSON) Name() string { return "json" }

// Version implements Grader.
func (JSON) Version() string { return "1" }

var fenced = regexp.MustCompile("(?s)```(?:json)?\\s*\\n(.*?)```")

// Grade compares the values and names the first place where they differ.
func (JSON) Grade(_ context.Context, it Item) (Score, error) {
	want, err := decode(it.Want)
	if err != nil {
		return Score{Outcome: Unscored, Note: fmt.Sprintf("the reference is not JSON: %v", err)}, nil
	}
	text := visible(it.Answer)
	if blocks := fenced.FindAllStringSubmatch(text, -1); len(blocks) > 0 {
		text = blocks[len(blocks)-1][1]
	}
	got, err := decode(text)
	if err != nil {
		return unparsable("not JSON: %v", err), nil
	}
	where := difference("$", got, want)
	return verdict(where == "", where), nil
}

func decode(s string) (any, error) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

// difference is "" if the values are equal.
func difference(path string, got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return objectDifference(path, g, w)
		}
	case []any:
		if g, ok := got.([]any); ok {
			return arrayDifference(path, g, w)
		}
	case json.Number:
		if g, ok := got.(json.Number); ok && sameNumber(g, w) {
			return ""
		}
	default:
		if got == want {
			return ""
		}
	}
	return fmt.Sprintf("%s: got %s, want %s", path, short(got), short(want))
}

func objectDifference(path string, got, want map[string]any) string {
	keys := make([]string, 0, len(got)+len(want))
	for k := range got {
		keys = append(keys, k)
	}
	for k := range want {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		g, inGot := got[k]
		w, inWant := want[k]
		at := path + "." + k
		if !inGot || !inWant {
			return fmt.Sprintf("%s: got %t, want %t (is it there?)", at, inGot, inWant)
		}
		if d := difference(at, g, w); d != "" {
			return d
		}
	}
	return ""
}

func arrayDifference(path string, got, want []any) string {
	for i := range min(len(got), len(want)) {
		if d := difference(fmt.Sprintf("%s[%d]", path, i), got[i], want[i]); d != "" {
			return d
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%s: got %d elements, want %d", path, len(got), len(want))
	}
	return ""
}

// sameNumber compares by value. Huge exponents are compared as text: as
// rationals they would be gigabytes.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	fa, errA := a.Float64()
	fb, errB := b.Float64()
	if errA != nil || errB != nil || fa != fb || fa == 0 {
		return errA == nil && errB == nil && fa == 0 && fb == 0
	}
	ra, okA := new(big.Rat).SetString(string(a))
	rb, okB := new(big.Rat).SetString(string(b))
	return okA && okB && ra.Cmp(rb) == 0
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clip(string(bytes.TrimSpace(b)))
}
