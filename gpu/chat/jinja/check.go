package jinja

// tests are what may stand behind "is".
var tests = map[string]testFunc{
	"defined":   func(_ *run, v Value, _ args) bool { return !isUndefined(v) },
	"undefined": func(_ *run, v Value, _ args) bool { return isUndefined(v) },
	"none":      func(_ *run, v Value, _ args) bool { return v == nil },
	"boolean": func(_ *run, v Value, _ args) bool {
		_, ok := v.(bool)
		return ok
	},
	"true":  func(_ *run, v Value, _ args) bool { return v == true },
	"false": func(_ *run, v Value, _ args) bool { return v == false },
	"integer": func(_ *run, v Value, _ args) bool {
		_, ok := v.(int64)
		return ok
	},
	"float": func(_ *run, v Value, _ args) bool {
		_, ok := v.(float64)
		return ok
	},
	"number": func(_ *run, v Value, _ args) bool {
		_, ok := number(v)
		return ok
	},
	"string": func(_ *run, v Value, _ args) bool {
		_, ok := asText(v)
		return ok
	},
	"mapping": func(_ *run, v Value, _ args) bool {
		_, ok := v.(*Dict)
		return ok
	},
	"sequence": func(_ *run, v Value, _ args) bool { return hasItems(v) },
	"iterable": func(_ *run, v Value, _ args) bool {
		switch v.(type) {
		case *loop, *view, *generator:
			return true
		}
		return hasItems(v)
	},
	"callable": func(_ *run, v Value, _ args) bool {
		switch v.(type) {
		case function, *macro, *loop:
			return true
		}
		return false
	},
	"lower": func(r *run, v Value, _ args) bool {
		s := str(r, v)
		return stringMethods["islower"](r, s, args{}) == true
	},
	"upper": func(r *run, v Value, _ args) bool {
		s := str(r, v)
		return stringMethods["isupper"](r, s, args{}) == true
	},
	"even": func(r *run, v Value, _ args) bool { return arithmetic(r, "%", v, int64(2)) == int64(0) },
	"odd":  func(r *run, v Value, _ args) bool { return arithmetic(r, "%", v, int64(2)) == int64(1) },
	"divisibleby": func(r *run, v Value, a args) bool {
		return arithmetic(r, "%", v, a.bind(r, "divisibleby", "num").value(0)) == int64(0)
	},
	"sameas": func(r *run, v Value, a args) bool { return same(v, a.bind(r, "sameas", "other").value(0)) },
	"in":     compared("in"),
	"eq":     compared("=="), "equalto": compared("=="), "==": compared("=="),
	"ne": compared("!="), "!=": compared("!="),
	"lt": compared("<"), "lessthan": compared("<"), "<": compared("<"),
	"le": compared("<="), "<=": compared("<="),
	"gt": compared(">"), "greaterthan": compared(">"), ">": compared(">"),
	"ge": compared(">="), ">=": compared(">="),
	"filter": func(r *run, v Value, _ args) bool { _, ok := filters[str(r, v)]; return ok },
}

func isUndefined(v Value) bool {
	_, ok := v.(Undefined)
	return ok
}

func hasItems(v Value) bool {
	switch v := v.(type) {
	case string, markup, List, Tuple, *Dict:
		return true
	case Undefined: // as in jinja2
		return !v.unsafe
	}
	return false
}

func compared(op string) testFunc {
	return func(r *run, v Value, a args) bool {
		return compare(r, op, v, a.bind(r, op, "other").value(0))
	}
}

// same is Python's "is", for values that there is one of each.
func same(a, b Value) bool {
	switch a := a.(type) {
	case nil, bool:
		return a == b
	case int64:
		b, ok := b.(int64)
		return ok && a == b
	case *Dict:
		b, ok := b.(*Dict)
		return ok && a == b
	}
	return false
}
