package jinja

import "slices"

// args are the arguments of a call as it gives them.
type args struct {
	pos   []Value
	names []string
	named []Value
}

// absent is an argument that was not given.
type absent struct{}

// bound are the arguments of a call under the names of the function's parameters.
type bound struct {
	r     *run
	of    string // what is called
	names []string
	vals  []Value
}

// bind puts arguments in the places of parameters.
func (a args) bind(r *run, of string, names ...string) bound {
	b := bound{r, of, names, make([]Value, len(names))}
	if len(a.pos) > len(names) {
		r.fail("%s takes at most %d arguments, not %d", of, len(names), len(a.pos))
	}
	for i := range b.vals {
		b.vals[i] = absent{}
	}
	copy(b.vals, a.pos)
	for i, n := range a.names {
		at := slices.Index(names, n)
		if at < 0 {
			r.fail("%s has no argument %s", of, n)
		}
		if b.given(at) {
			r.fail("%s is given %s twice", of, n)
		}
		b.vals[at] = a.named[i]
	}
	return b
}

func (b bound) given(i int) bool { return b.vals[i] != absent{} }

// value returns an argument that must be there.
func (b bound) value(i int) Value {
	if !b.given(i) {
		b.r.fail("%s needs the argument %s", b.of, b.names[i])
	}
	return b.vals[i]
}

// or returns an argument, or what stands for it.
func (b bound) or(i int, v Value) Value {
	if b.given(i) {
		return b.vals[i]
	}
	return v
}

// text returns an argument that must be text.
func (b bound) text(i int) string {
	s, ok := asText(b.value(i))
	if !ok {
		refuseUndefined(b.r, b.vals[i])
		b.r.fail("%s wants a string as %s, not %s", b.of, b.names[i], typeName(b.vals[i]))
	}
	return s
}

// int returns an argument that must be a whole number, or def.
func (b bound) int(i int, def int64) int64 {
	switch v := b.or(i, def).(type) {
	case int64:
		return v
	case bool:
		return toInt(v)
	}
	b.r.fail("%s wants an int as %s, not %s", b.of, b.names[i], typeName(b.vals[i]))
	return 0
}

// flag returns an argument's truth, or def.
func (b bound) flag(i int, def bool) bool { return truth(b.r, b.or(i, def)) }
