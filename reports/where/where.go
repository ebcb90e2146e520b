// Package where is the language that picks runs:
//
//	lr > 1e-5 and status == "done"
//	1e-5 < lr < 1e-3 and not (notebook ~ "pilot" or tag == "bad")
//
// A name stands for what a run has under it, one value or several: a comparison holds
// if it does for one of them. What a run does not have compares as false. Numbers
// compare with numbers, text with text, true with true. x ~ "…" looks for a pattern in
// text, in the syntax of Go's regexp.
package where

import "regexp"

// Filter is a condition. The zero Filter holds for everything.
type Filter struct {
	root  node
	names []string
}

// Names returns the names that the condition mentions, in order of appearance.
func (f Filter) Names() []string { return f.names }

// Match reports whether the condition holds for a thing; get returns the values that it
// has under a name: float64, string or bool.
func (f Filter) Match(get func(name string) []any) bool {
	return f.root == nil || f.root.holds(get)
}

// node is a part of a condition.
type node interface {
	holds(get func(string) []any) bool
}

type (
	and    struct{ a, b node }
	or     struct{ a, b node }
	not    struct{ a node }
	truth  struct{ v operand } // a name by itself: it is true
	equals struct {
		a, b operand
		not  bool
	}
	order struct {
		a, b operand
		op   string // <, <=, >, >=
	}
	matches struct {
		a  operand
		re *regexp.Regexp
	}
)

// operand is a name or a value.
type operand struct {
	name  string
	value any // if name is ""
}

func (o operand) values(get func(string) []any) []any {
	if o.name != "" {
		return get(o.name)
	}
	return []any{o.value}
}

func (n and) holds(get func(string) []any) bool { return n.a.holds(get) && n.b.holds(get) }
func (n or) holds(get func(string) []any) bool  { return n.a.holds(get) || n.b.holds(get) }
func (n not) holds(get func(string) []any) bool { return !n.a.holds(get) }

func (n truth) holds(get func(string) []any) bool {
	for _, v := range n.v.values(get) {
		if v == true {
			return true
		}
	}
	return false
}

func (n equals) holds(get func(string) []any) bool {
	return some(n.a, n.b, get, func(a, b any) bool { return (a == b) != n.not })
}

func (n order) holds(get func(string) []any) bool {
	return some(n.a, n.b, get, func(a, b any) bool {
		switch a := a.(type) {
		case float64:
			b, ok := b.(float64)
			return ok && ordered(n.op, a, b)
		case string:
			b, ok := b.(string)
			return ok && ordered(n.op, a, b)
		}
		return false
	})
}

func ordered[T float64 | string](op string, a, b T) bool {
	switch op {
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}

func (n matches) holds(get func(string) []any) bool {
	for _, v := range n.a.values(get) {
		if s, ok := v.(string); ok && n.re.MatchString(s) {
			return true
		}
	}
	return false
}

// some reports whether a pair of the operands' values fits.
func some(a, b operand, get func(string) []any, fits func(a, b any) bool) bool {
	right := b.values(get)
	for _, x := range a.values(get) {
		for _, y := range right {
			if fits(x, y) {
				return true
			}
		}
	}
	return false
}
