package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// filters are jinja2's that chat templates have a use for. It is filled below,
// as map and its kin look other filters up in it.
var filters map[string]filterFunc

func init() {
	filters = map[string]filterFunc{
		"abs":        abs,
		"attr":       func(r *run, v Value, a args) Value { return getAttr(r, v, a.bind(r, "attr", "name").text(0)) },
		"capitalize": func(r *run, v Value, _ args) Value { return capitalize(r, str(r, v)) },
		"count":      length,
		"d":          fallback,
		"default":    fallback,
		"dictsort":   dictSort,
		"e":          escaped,
		"escape":     escaped,
		"first":      first,
		"float":      float,
		"format": func(r *run, v Value, a args) Value {
			if len(a.named) > 0 {
				r.fail("format with named arguments is not supported")
			}
			return r.made(percent(r, str(r, v), Tuple(a.pos)))
		},
		"indent":     indent,
		"int":        integer,
		"items":      items,
		"join":       joinFilter,
		"last":       last,
		"length":     length,
		"list":       func(r *run, v Value, _ args) Value { return List(iterate(r, v)) },
		"lower":      func(r *run, v Value, _ args) Value { return lower(r, str(r, v)) },
		"map":        mapFilter,
		"max":        func(r *run, v Value, a args) Value { return extreme(r, "max", v, a, 1) },
		"min":        func(r *run, v Value, a args) Value { return extreme(r, "min", v, a, -1) },
		"reject":     func(r *run, v Value, a args) Value { return selection(r, v, a, false, false) },
		"rejectattr": func(r *run, v Value, a args) Value { return selection(r, v, a, true, false) },
		"replace": func(r *run, v Value, a args) Value {
			b := a.bind(r, "replace", "old", "new", "count")
			n := int64(-1)
			if b.or(2, nil) != nil {
				n = b.int(2, -1)
			}
			return replace(r, str(r, v), str(r, b.value(0)), str(r, b.value(1)), n)
		},
		"reverse":    reverse,
		"round":      round,
		"safe":       func(r *run, v Value, _ args) Value { return markup(str(r, v)) },
		"select":     func(r *run, v Value, a args) Value { return selection(r, v, a, false, true) },
		"selectattr": func(r *run, v Value, a args) Value { return selection(r, v, a, true, true) },
		"sort":       sorted,
		"string":     func(r *run, v Value, _ args) Value { return textOf(r, v) },
		"sum":        sum,
		"title": func(r *run, v Value, _ args) Value {
			return r.made(title(str(r, v), func(c rune) bool { return !isSpace(c) && !strings.ContainsRune("-({[<", c) }))
		},
		"tojson": toJSON,
		"trim": func(r *run, v Value, a args) Value {
			b := a.bind(r, "trim", "chars")
			return strip(r, str(r, v), args{pos: []Value{b.or(0, nil)}}, true, true)
		},
		"unique": unique,
		"upper":  func(r *run, v Value, _ args) Value { return upper(r, str(r, v)) },
		"wordcount": func(r *run, v Value, _ args) Value {
			return int64(len(strings.FieldsFunc(str(r, v), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsNumber(c) && c != '_' })))
		},
	}
}

// textOf is str() that keeps a safe text safe.
func textOf(r *run, v Value) Value {
	if m, ok := v.(markup); ok {
		return m
	}
	return str(r, v)
}

func abs(r *run, v Value, _ args) Value {
	if n, ok := whole(v); ok {
		return max(n, -n)
	}
	x, ok := number(v)
	if !ok {
		r.fail("%s has no absolute value", typeName(v))
	}
	return math.Abs(x)
}

func length(r *run, v Value, _ args) Value {
	if s, ok := asText(v); ok {
		return int64(runes(r, s))
	}
	if items, ok := sequence(v); ok {
		return int64(len(items))
	}
	switch v := v.(type) {
	case *Dict:
		return int64(v.Len())
	case *view:
		return int64(len(v.items))
	case Undefined:
		if !v.unsafe {
			return int64(0)
		}
		refuseUndefined(r, v)
	}
	r.fail("%s has no length", typeName(v))
	return nil
}

func fallback(r *run, v Value, a args) Value {
	b := a.bind(r, "default", "default_value", "boolean")
	if _, ok := v.(Undefined); ok || b.flag(1, false) && !truth(r, v) {
		return b.or(0, "")
	}
	return v
}

func escaped(r *run, v Value, _ args) Value {
	if m, ok := v.(markup); ok {
		return m
	}
	return markup(r.made(escape(str(r, v))))
}

func first(r *run, v Value, _ args) Value {
	if g, ok := v.(*generator); ok && len(g.items) > 0 { // the others can still be looped over
		x := g.items[0]
		g.items = g.items[1:]
		return x
	}
	for _, x := range iterate(r, v) {
		return x
	}
	return Undefined{"there is no first item", false}
}

func last(r *run, v Value, _ args) Value {
	if items := iterate(r, v); len(items) > 0 {
		return items[len(items)-1]
	}
	return Undefined{"there is no last item", false}
}

func float(r *run, v Value, a args) Value {
	def := a.bind(r, "float", "default").or(0, 0.0)
	if x, ok := number(v); ok {
		return x
	}
	if s, ok := asText(v); ok {
		if x, err := strconv.ParseFloat(strings.TrimFunc(s, isSpace), 64); err == nil {
			return x
		}
	}
	return def
}

func integer(r *run, v Value, a args) Value {
	b := a.bind(r, "int", "default", "base")
	switch v := v.(type) {
	case bool:
		return toInt(v)
	case int64:
		return v
	case float64:
		if !math.IsNaN(v) && math.Abs(v) < 1<<63 {
			return int64(v)
		}
	}
	if s, ok := asText(v); ok {
		s = strings.TrimFunc(s, isSpace)
		if n, err := strconv.ParseInt(s, int(b.int(1, 10)), 64); err == nil {
			return n
		}
		if x, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(x) < 1<<63 {
			return int64(x)
		}
	}
	return b.or(0, int64(0))
}

func indent(r *run, v Value, a args) Value {
	b := a.bind(r, "indent", "width", "first", "blank")
	by, ok := asText(b.or(0, nil))
	if !ok {
		by = repeated(r, " ", b.int(0, 4)).(string)
	}
	s := str(r, v) + "\n" // as jinja2 does, so that the last line counts
	r.spend(len(s))
	var out strings.Builder
	for i, line := range lines(s, false) {
		if i > 0 {
			out.WriteByte('\n')
		}
		if i == 0 && b.flag(1, false) || i > 0 && (b.flag(2, false) || line != "") {
			r.room(out.Len()/8 + len(by))
			out.WriteString(by)
		}
		out.WriteString(line)
	}
	return r.made(out.String())
}

func items(r *run, v Value, _ args) Value {
	switch v := v.(type) {
	case Undefined:
		return &generator{}
	case *Dict:
		r.room(32 * v.Len())
		return &generator{v.pairs()}
	}
	r.fail("%s has no items", typeName(v))
	return nil
}

func joinFilter(r *run, v Value, a args) Value {
	b := a.bind(r, "join", "d", "attribute")
	list := iterate(r, v)
	if b.or(1, nil) != nil {
		list = eachAttr(r, list, b.value(1), nil)
	}
	return joinAll(r, list, str(r, b.or(0, "")), func(v Value) string { return str(r, v) })
}

// join is str.join, which takes nothing but strings.
func join(r *run, v Value, sep string) Value {
	return joinAll(r, iterate(r, v), sep, func(v Value) string {
		s, ok := asText(v)
		if !ok {
			r.fail("join wants strings, not %s", typeName(v))
		}
		return s
	})
}

func joinAll(r *run, list []Value, sep string, text func(Value) string) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteString(sep)
		}
		s := text(v)
		r.spend(1 + (len(sep)+len(s))/8)
		if b.Len()+len(s) > r.limits.Output {
			r.fail("join makes a text of more than %d bytes", r.limits.Output)
		}
		b.WriteString(s)
	}
	return b.String()
}

func reverse(r *run, v Value, _ args) Value {
	if s, ok := asText(v); ok {
		return sliceOf(r, s, [3]Value{nil, nil, int64(-1)})
	}
	out := slices.Clone(iterate(r, v))
	slices.Reverse(out)
	return &generator{out}
}

// round rounds halves to even, as Python does, of the number as it is written.
func round(r *run, v Value, a args) Value {
	b := a.bind(r, "round", "precision", "method")
	x, ok := number(v)
	if !ok {
		r.fail("%s cannot be rounded", typeName(v))
	}
	places := b.int(0, 0)
	if places < 0 || places > 15 {
		r.fail("round to %d places is not supported", places)
	}
	scale := math.Pow(10, float64(places))
	switch method := str(r, b.or(1, "common")); method {
	case "ceil":
		return math.Ceil(x*scale) / scale
	case "floor":
		return math.Floor(x*scale) / scale
	case "common":
		out, err := strconv.ParseFloat(strconv.FormatFloat(x, 'f', int(places), 64), 64)
		if err != nil {
			r.fail("%v cannot be rounded", x)
		}
		return out
	default:
		r.fail("round knows no method %q", method)
		return nil
	}
}

func extreme(r *run, name string, v Value, a args, sign int) Value {
	b := a.bind(r, name, "case_sensitive", "attribute")
	list := iterate(r, v)
	if len(list) == 0 {
		return Undefined{name + " of nothing", false}
	}
	keys := sortKeys(r, list, b.flag(0, false), b.or(1, nil))
	best := 0
	for i := range list {
		if order(r, keys[i], keys[best])*sign > 0 {
			best = i
		}
	}
	return list[best]
}

// sortKeys returns what a list is sorted by: its items, or an attribute of
// each, without regard to case unless told.
func sortKeys(r *run, list []Value, sensitive bool, attr Value) []Value {
	keys := list
	if attr != nil {
		keys = eachAttr(r, list, attr, nil)
	}
	keys = slices.Clone(keys)
	for i, k := range keys {
		if s, ok := asText(k); ok && !sensitive {
			keys[i] = lower(r, s)
		}
	}
	return keys
}

func sorted(r *run, v Value, a args) Value {
	b := a.bind(r, "sort", "reverse", "case_sensitive", "attribute")
	list := iterate(r, v)
	return List(sortBy(r, list, sortKeys(r, list, b.flag(1, false), b.or(2, nil)), b.flag(0, false)))
}

// sortBy keeps the order of items with equal keys, also backwards.
func sortBy(r *run, list, keys []Value, backwards bool) []Value {
	at := make([]int, len(list))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(i, j int) int {
		if backwards {
			return order(r, keys[j], keys[i])
		}
		return order(r, keys[i], keys[j])
	})
	out := make([]Value, len(list))
	for i, k := range at {
		out[i] = list[k]
	}
	return out
}

func dictSort(r *run, v Value, a args) Value {
	b := a.bind(r, "dictsort", "case_sensitive", "by", "reverse")
	d, ok := v.(*Dict)
	if !ok {
		r.fail("dictsort wants a dict, not %s", typeName(v))
	}
	by, _ := asText(b.or(1, "key"))
	at, ok := map[string]Value{"key": int64(0), "value": int64(1)}[by]
	if !ok {
		r.fail("dictsort sorts by key or value")
	}
	pairs := d.pairs()
	return List(sortBy(r, pairs, sortKeys(r, pairs, b.flag(0, false), at), b.flag(2, false)))
}

func sum(r *run, v Value, a args) Value {
	b := a.bind(r, "sum", "attribute", "start")
	list := iterate(r, v)
	if b.or(0, nil) != nil {
		list = eachAttr(r, list, b.value(0), nil)
	}
	total := b.or(1, int64(0))
	for _, x := range list {
		r.spend(1)
		total = arithmetic(r, "+", total, x)
	}
	return total
}

func unique(r *run, v Value, a args) Value {
	b := a.bind(r, "unique", "case_sensitive", "attribute")
	list := iterate(r, v)
	var out []Value
	seen := &Dict{}
	for i, k := range sortKeys(r, list, b.flag(0, false), b.or(1, nil)) {
		if _, ok := seen.find(r, k); !ok {
			seen.put(r, k, true)
			out = append(out, list[i])
		}
	}
	return &generator{out}
}

// eachAttr returns an attribute of each item: "a.b" goes deeper, a number is
// an index; def stands for what there is not, unless it is nil.
func eachAttr(r *run, list []Value, attr, def Value) []Value {
	parts := []Value{attr}
	if s, ok := asText(attr); ok {
		parts = nil
		for p := range strings.SplitSeq(s, ".") {
			if n, err := strconv.ParseInt(p, 10, 64); err == nil {
				parts = append(parts, n)
			} else {
				parts = append(parts, p)
			}
		}
	}
	out := make([]Value, len(list))
	for i, v := range list {
		for _, p := range parts {
			r.spend(1)
			v = getItem(r, v, p)
			if _, ok := v.(Undefined); ok && def != nil {
				v = def
			}
		}
		out[i] = v
	}
	return out
}

// someOf is iterate, where nothing at all is as good as an empty list.
func someOf(r *run, v Value) []Value {
	if !truth(r, v) {
		return nil
	}
	return iterate(r, v)
}

func mapFilter(r *run, v Value, a args) Value {
	list := someOf(r, v)
	if len(a.pos) == 0 {
		b := a.bind(r, "map", "attribute", "default")
		return &generator{eachAttr(r, list, b.value(0), b.or(1, nil))}
	}
	name := args{pos: a.pos[:1]}.bind(r, "map", "filter").text(0)
	f, ok := filters[name]
	if !ok {
		r.fail("the filter %q is not supported", name)
	}
	out := make([]Value, len(list))
	for i, x := range list {
		r.spend(1)
		out[i] = f(r, x, args{a.pos[1:], a.names, a.named})
	}
	return &generator{out}
}

// selection keeps the items, or those with an attribute, that pass a test.
func selection(r *run, v Value, a args, byAttr, keep bool) Value {
	list := someOf(r, v)
	looked := list
	if byAttr {
		if len(a.pos) == 0 {
			r.fail("selectattr needs the name of an attribute")
		}
		looked = eachAttr(r, list, a.pos[0], nil)
		a.pos = a.pos[1:]
	}
	pass := func(v Value) bool { return truth(r, v) }
	if len(a.pos) > 0 {
		name := args{pos: a.pos[:1]}.bind(r, "select", "test").text(0)
		f, ok := tests[name]
		if !ok {
			r.fail("the test %q is not supported", name)
		}
		rest := args{a.pos[1:], a.names, a.named}
		pass = func(v Value) bool { return f(r, v, rest) }
	}
	var out []Value
	for i, v := range looked {
		r.spend(1)
		if pass(v) == keep {
			out = append(out, list[i])
		}
	}
	return &generator{out}
}
