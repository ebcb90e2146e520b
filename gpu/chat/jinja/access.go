package jinja

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// getAttr is v.name: an attribute first, then an item.
func getAttr(r *run, v Value, name string) Value {
	refuseUndefined(r, v)
	if a, ok := attrOf(r, v, name); ok {
		return a
	}
	if d, ok := v.(*Dict); ok {
		if item, ok := d.Get(name); ok {
			return item
		}
	}
	return missing(v, name)
}

// getItem is v[key]: an item first, then an attribute.
func getItem(r *run, v, key Value) Value {
	refuseUndefined(r, v)
	if d, ok := v.(*Dict); ok {
		if item, ok := d.Get(key); ok {
			return item
		}
	}
	if i, ok := whole(key); ok {
		if item, ok := nth(r, v, i); ok {
			return item
		}
	}
	if name, ok := asText(key); ok {
		if a, ok := attrOf(r, v, name); ok {
			return a
		}
		return missing(v, name)
	}
	return missing(v, str(r, key))
}

func missing(v Value, name string) Undefined {
	return Undefined{fmt.Sprintf("%s has no %q", typeName(v), name), false}
}

// attrOf returns what Python's objects carry besides their items. Methods that
// would change an object are out of bounds, as in jinja2's immutable sandbox.
func attrOf(r *run, v Value, name string) (Value, bool) {
	if strings.HasPrefix(name, "_") {
		if _, ok := v.(*Dict); !ok {
			return Undefined{fmt.Sprintf("the attribute %q is out of bounds", name), true}, true
		}
	}
	switch v := v.(type) {
	case *Dict:
		if slices.Contains([]string{"clear", "pop", "popitem", "setdefault", "update"}, name) {
			return Undefined{"a dict cannot be changed by " + name, true}, true
		}
		if m, ok := dictMethods[name]; ok {
			return function(func(r *run, a args) Value { return m(r, v, a) }), true
		}
	case List, Tuple:
		items, _ := sequence(v)
		if _, ok := v.(List); ok && slices.Contains([]string{"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}, name) {
			return Undefined{"a list cannot be changed by " + name, true}, true
		}
		if m, ok := listMethods[name]; ok {
			return function(func(r *run, a args) Value { return m(r, items, a) }), true
		}
	case string:
		if m, ok := stringMethods[name]; ok {
			return function(func(r *run, a args) Value { return m(r, v, a) }), true
		}
	case markup:
		if _, ok := stringMethods[name]; ok {
			r.fail("the method %s of a text that was called safe is not supported", name)
		}
	case *namespace:
		return v.vars.Get(name)
	case *loop:
		return v.attr(name)
	case *macro:
		return v.attr(name)
	}
	return nil, false
}

// nth returns an item, or a character; a negative index counts from the end.
func nth(r *run, v Value, i int64) (Value, bool) {
	if items, ok := sequence(v); ok {
		if i < 0 {
			i += int64(len(items))
		}
		if i < 0 || i >= int64(len(items)) {
			return nil, false
		}
		return items[i], true
	}
	s, ok := asText(v)
	if !ok {
		return nil, false
	}
	n := int64(runes(r, s))
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return nil, false
	}
	from := runeAt(s, int(i))
	_, w := utf8.DecodeRuneInString(s[from:])
	return s[from : from+w], true
}

// runes counts the characters of a text.
func runes(r *run, s string) int {
	r.spend(len(s) / 8)
	return utf8.RuneCountInString(s)
}

// runeAt returns where character i begins.
func runeAt(s string, i int) int {
	at := 0
	for ; i > 0; i-- {
		_, w := utf8.DecodeRuneInString(s[at:])
		at += w
	}
	return at
}

// sliceOf is v[from:to:step].
func sliceOf(r *run, v Value, parts [3]Value) Value {
	refuseUndefined(r, v)
	s, isText := asText(v)
	items, isList := sequence(v)
	n := len(items)
	switch {
	case isText:
		n = runes(r, s)
	case !isList:
		return missing(v, "slice")
	}
	from, to, step := bounds(r, parts, n)
	if isText && step == 1 {
		if from >= to {
			return ""
		}
		at := runeAt(s, from)
		return r.made(s[at : at+runeAt(s[at:], to-from)])
	}
	if isText {
		r.room(16 * n)
		for _, c := range s {
			items = append(items, string(c))
		}
	}
	var out []Value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, items[i])
	}
	r.room(8 * len(out))
	switch v.(type) {
	case List:
		return List(out)
	case Tuple:
		return Tuple(out)
	}
	var b strings.Builder
	for _, c := range out {
		b.WriteString(c.(string))
	}
	return b.String()
}

// bounds are Python's rules for the parts of a slice of n items.
func bounds(r *run, parts [3]Value, n int) (from, to, step int) {
	part := func(i, def, low, high int) int {
		if parts[i] == nil {
			return def
		}
		x, ok := whole(parts[i])
		if !ok {
			refuseUndefined(r, parts[i])
			r.fail("%s cannot bound a slice", typeName(parts[i]))
		}
		if x < 0 {
			x = max(x, -int64(n)-1) + int64(n)
		}
		return int(min(max(x, int64(low)), int64(high)))
	}
	step = 1
	if parts[2] != nil {
		x, ok := whole(parts[2])
		if !ok || x == 0 {
			r.fail("a slice cannot go on in steps of %s", str(r, parts[2]))
		}
		step = int(min(max(x, -int64(n)-1), int64(n)+1))
	}
	if step > 0 {
		return part(0, 0, 0, n), part(1, n, 0, n), step
	}
	return part(0, n-1, -1, n-1), part(1, -1, -1, n-1), step
}
