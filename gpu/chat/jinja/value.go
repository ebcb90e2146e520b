package jinja

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Value is what a template works with: nil (Python's None), bool, int64,
// float64, string, List, Tuple, *Dict, or one that the template made itself.
type Value any

type (
	// List is a Python list that nobody changes.
	List []Value
	// Tuple is a Python tuple.
	Tuple []Value
	// Undefined is what there is not. It may be looked at, and printed as
	// nothing; whatever else is done to it fails with its reason.
	Undefined struct {
		reason string
		unsafe bool // it is there, but out of bounds
	}

	// A view is what dict.keys, values and items return: it has a length and can
	// be looped over, but not indexed.
	view struct {
		name  string
		items []Value
	}

	// A generator is what map, select and their kin return: it can be looped
	// over once, and is true even if there is nothing in it.
	generator struct{ items []Value }

	// A markup is text that was called safe: text that is added to it is escaped.
	markup string

	function   func(*run, args) Value
	filterFunc func(*run, Value, args) Value
	testFunc   func(*run, Value, args) bool
)

func typeName(v Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case string, markup:
		return "a string"
	case List:
		return "a list"
	case Tuple:
		return "a tuple"
	case *Dict:
		return "a dict"
	case Undefined:
		return "an undefined value (" + v.reason + ")"
	case *namespace:
		return "a namespace"
	case *loop:
		return "a loop"
	case *view:
		return "a " + v.name
	case *generator:
		return "a generator"
	}
	return "a function"
}

func refuseUndefined(r *run, v Value) {
	if u, ok := v.(Undefined); ok {
		r.fail("%s", u.reason)
	}
}

func truth(r *run, v Value) bool {
	switch v := v.(type) {
	case nil, Undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case markup:
		return v != ""
	case List:
		return len(v) > 0
	case Tuple:
		return len(v) > 0
	case *Dict:
		return v.Len() > 0
	case *view:
		return len(v.items) > 0
	}
	return true
}

// equal is Python's ==.
func equal(r *run, a, b Value) bool {
	defer r.enter()()
	r.spend(1)
	if x, y, ok := numbers(a, b); ok {
		return x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string, markup:
		x, _ := asText(a)
		y, ok := asText(b)
		return ok && x == y
	case List:
		b, ok := b.(List)
		return ok && equalItems(r, a, b)
	case Tuple:
		b, ok := b.(Tuple)
		return ok && equalItems(r, a, b)
	case *Dict:
		b, ok := b.(*Dict)
		if !ok || a.Len() != b.Len() {
			return false
		}
		for i, k := range a.keys {
			if v, ok := b.Get(k); !ok || !equal(r, a.vals[i], v) {
				return false
			}
		}
		return true
	case Undefined:
		_, ok := b.(Undefined)
		return ok
	case *namespace, *macro, *loop, *generator:
		return a == b
	case *view:
		b, ok := b.(*view)
		return ok && a.name == b.name && equalItems(r, a.items, b.items)
	}
	return false
}

func equalItems(r *run, a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(r, a[i], b[i]) {
			return false
		}
	}
	return true
}

// numbers returns two values as numbers, if both are.
func numbers(a, b Value) (x, y float64, ok bool) {
	x, okA := number(a)
	y, okB := number(b)
	return x, y, okA && okB
}

func number(v Value) (float64, bool) {
	switch v := v.(type) {
	case bool:
		return float64(toInt(v)), true
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// asText returns a value that is text.
func asText(v Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case markup:
		return string(v), true
	}
	return "", false
}

// order compares as Python's < does: numbers with numbers, text with text,
// lists with lists.
func order(r *run, a, b Value) int {
	defer r.enter()()
	r.spend(1)
	refuseUndefined(r, a)
	refuseUndefined(r, b)
	if x, y, ok := numbers(a, b); ok {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	if x, ok := asText(a); ok {
		if y, ok := asText(b); ok {
			return strings.Compare(x, y)
		}
	}
	x, okA := sequence(a)
	y, okB := sequence(b)
	_, la := a.(List)
	if _, lb := b.(List); !okA || !okB || la != lb {
		r.fail("%s and %s have no order", typeName(a), typeName(b))
	}
	for i := range min(len(x), len(y)) {
		if !equal(r, x[i], y[i]) {
			return order(r, x[i], y[i])
		}
	}
	return len(x) - len(y)
}

// sequence returns the items of a list or a tuple.
func sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case List:
		return v, true
	case Tuple:
		return v, true
	}
	return nil, false
}

// iterate returns what a loop over a value sees.
func iterate(r *run, v Value) []Value {
	if items, ok := sequence(v); ok {
		r.spend(len(items))
		return items
	}
	switch v := v.(type) {
	case *Dict:
		r.spend(v.Len())
		return v.keys
	case *view:
		r.spend(len(v.items))
		return v.items
	case *generator:
		r.spend(len(v.items))
		items := v.items
		v.items = nil
		return items
	case Undefined:
		if !v.unsafe {
			return nil
		}
		refuseUndefined(r, v)
	case string, markup:
		s, _ := asText(v)
		r.room(len(s) * 8)
		var out []Value
		for _, c := range s {
			out = append(out, string(c))
		}
		return out
	}
	r.fail("%s cannot be looped over", typeName(v))
	return nil
}

func contains(r *run, all, one Value) bool {
	if s, ok := asText(all); ok {
		sub, ok := asText(one)
		if !ok {
			refuseUndefined(r, one)
			r.fail("%s cannot be in a string", typeName(one))
		}
		r.spend(len(s) / 8)
		return strings.Contains(s, sub)
	}
	if d, ok := all.(*Dict); ok {
		_, ok := d.find(r, one)
		return ok
	}
	for _, v := range iterate(r, all) {
		if equal(r, v, one) {
			return true
		}
	}
	return false
}

// str is Python's str(): what {{ }} writes.
func str(r *run, v Value) string {
	switch v := v.(type) {
	case string:
		return v
	case markup:
		return string(v)
	case Undefined:
		return ""
	}
	return repr(r, v)
}

// repr is Python's repr().
func repr(r *run, v Value) string {
	var b strings.Builder
	appendRepr(r, &b, v)
	return b.String()
}

func appendRepr(r *run, b *strings.Builder, v Value) {
	defer r.enter()()
	from := b.Len()
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		quote(b, v)
	case markup:
		b.WriteString("Markup(")
		quote(b, string(v))
		b.WriteByte(')')
	case List:
		b.WriteByte('[')
		appendItems(r, b, v)
		b.WriteByte(']')
	case Tuple:
		b.WriteByte('(')
		appendItems(r, b, v)
		if len(v) == 1 {
			b.WriteByte(',')
		}
		b.WriteByte(')')
	case *Dict:
		b.WriteByte('{')
		for i, k := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			appendRepr(r, b, k)
			b.WriteString(": ")
			appendRepr(r, b, v.vals[i])
		}
		b.WriteByte('}')
	case *view:
		b.WriteString(v.name + "([")
		appendItems(r, b, v.items)
		b.WriteString("])")
	case Undefined:
		b.WriteString("Undefined")
	default:
		r.fail("%s cannot be written", typeName(v))
	}
	r.room(b.Len() - from)
}

func appendItems(r *run, b *strings.Builder, items []Value) {
	for i, v := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		appendRepr(r, b, v)
	}
}

// formatFloat is Python's repr of a float.
func formatFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "nan"
	case math.IsInf(x, 1):
		return "inf"
	case math.IsInf(x, -1):
		return "-inf"
	case x == 0:
		return strconv.FormatFloat(x, 'f', 1, 64) // -0.0 too
	}
	short := strconv.FormatFloat(x, 'e', -1, 64)
	exp, _ := strconv.Atoi(short[strings.IndexByte(short, 'e')+1:])
	if exp < -4 || exp >= 16 {
		return short
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quote writes a string as Python's repr does.
func quote(b *strings.Builder, s string) {
	q := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		q = '"'
	}
	b.WriteByte(q)
	for i, c := range s {
		switch {
		case c == rune(q) || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"), unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			b.WriteString(`\x` + hex(c, 2))
		case c < 0x10000:
			b.WriteString(`\u` + hex(c, 4))
		default:
			b.WriteString(`\U` + hex(c, 8))
		}
	}
	b.WriteByte(q)
}

func hex(c rune, digits int) string {
	s := strconv.FormatInt(int64(c), 16)
	return strings.Repeat("0", digits-len(s)) + s
}
