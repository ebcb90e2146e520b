package jinja

import (
	"math"
	"strings"
)

// arithmetic is Python's, but for whole numbers beyond 64 bits: they are refused.
func arithmetic(r *run, op string, a, b Value) Value {
	refuseUndefined(r, a)
	refuseUndefined(r, b)
	x, okA := whole(a)
	y, okB := whole(b)
	if okA && okB {
		return integers(r, op, x, y)
	}
	if x, y, ok := numbers(a, b); ok {
		return floats(r, op, x, y)
	}
	switch op {
	case "+":
		if v := joined(r, a, b); v != nil {
			return v
		}
	case "*":
		if okA {
			a, y, okB = b, x, true
		}
		if okB {
			return repeated(r, a, y)
		}
	case "%":
		if s, ok := asText(a); ok {
			return r.made(percent(r, s, b))
		}
	}
	r.fail("%s %s %s is not possible", typeName(a), op, typeName(b))
	return nil
}

func whole(v Value) (int64, bool) {
	switch v := v.(type) {
	case bool:
		return toInt(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func integers(r *run, op string, a, b int64) Value {
	var n int64
	ok := true
	switch op {
	case "+":
		n = a + b
		ok = (n > a) == (b > 0)
	case "-":
		n = a - b
		ok = (n < a) == (b > 0)
	case "*":
		n = a * b
		ok = a == 0 || n/a == b && (a != -1 || b != math.MinInt64)
	case "**":
		if b < 0 {
			return floats(r, op, float64(a), float64(b))
		}
		n, ok = power(a, b)
	default:
		if b == 0 {
			r.fail("division by zero")
		}
		switch op {
		case "/":
			return float64(a) / float64(b)
		case "//":
			n = floorDiv(a, b)
		case "%":
			n = a - b*floorDiv(a, b)
		}
	}
	if !ok {
		r.fail("%d %s %d is too large", a, op, b)
	}
	return n
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// power multiplies as often as it fits: a result of 64 bits takes 63 turns at most.
func power(a, b int64) (int64, bool) {
	switch {
	case b == 0 || a == 1:
		return 1, true
	case a == 0:
		return 0, true
	case a == -1:
		return 1 - 2*(b%2), true
	}
	n := int64(1)
	for ; b > 0; b-- {
		if n*a/a != n {
			return 0, false
		}
		n *= a
	}
	return n, true
}

func floats(r *run, op string, a, b float64) Value {
	switch op {
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "**":
		return math.Pow(a, b)
	}
	if b == 0 {
		r.fail("division by zero")
	}
	switch op {
	case "/":
		return a / b
	case "//":
		return math.Floor(a / b)
	}
	m := math.Mod(a, b)
	if m != 0 && (m < 0) != (b < 0) {
		m += b
	}
	return m
}

// joined is + of texts and of lists; nil for anything else.
func joined(r *run, a, b Value) Value {
	x, okA := asText(a)
	y, okB := asText(b)
	if okA && okB {
		r.room(len(x) + len(y))
		_, safeA := a.(markup)
		_, safeB := b.(markup)
		switch {
		case safeA && !safeB:
			return markup(x + escape(y))
		case safeB && !safeA:
			return markup(escape(x) + y)
		case safeA:
			return markup(x + y)
		}
		return x + y
	}
	if a, ok := a.(List); ok {
		if b, ok := b.(List); ok {
			r.room(8 * (len(a) + len(b)))
			return append(append(make(List, 0, len(a)+len(b)), a...), b...)
		}
	}
	if a, ok := a.(Tuple); ok {
		if b, ok := b.(Tuple); ok {
			r.room(8 * (len(a) + len(b)))
			return append(append(make(Tuple, 0, len(a)+len(b)), a...), b...)
		}
	}
	return nil
}

func repeated(r *run, v Value, n int64) Value {
	n = max(n, 0)
	fits := func(size int) {
		if size > 0 && n > int64(r.limits.Output/size) {
			r.fail("%d times %d bytes are too many", n, size)
		}
		r.room(size * int(n))
	}
	if s, ok := asText(v); ok {
		fits(len(s))
		return strings.Repeat(s, int(n))
	}
	items, ok := sequence(v)
	if !ok {
		r.fail("%s cannot be multiplied", typeName(v))
	}
	fits(8 * len(items))
	var out []Value
	for ; len(items) > 0 && n > 0; n-- {
		out = append(out, items...)
	}
	if _, ok := v.(Tuple); ok {
		return Tuple(out)
	}
	return List(out)
}

var escapes = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

func escape(s string) string { return escapes.Replace(s) }
