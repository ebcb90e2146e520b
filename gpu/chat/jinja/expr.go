package jinja

import "strings"

// An expr has a value in a scope.
type expr interface{ eval(*scope) Value }

type constant struct{ v Value }

func (c *constant) eval(*scope) Value { return c.v }

type variable struct{ name string }

func (v *variable) eval(s *scope) Value { return s.get(v.name) }

type list struct {
	items []expr
	tuple bool
}

func (l *list) eval(s *scope) Value {
	out := make([]Value, len(l.items))
	for i, e := range l.items {
		out[i] = e.eval(s)
	}
	s.spend(len(out))
	if l.tuple {
		return Tuple(out)
	}
	return List(out)
}

type dict struct {
	line         int
	keys, values []expr
}

func (d *dict) eval(s *scope) Value {
	s.line = d.line
	out := &Dict{}
	for i := range d.keys {
		out.put(s.run, d.keys[i].eval(s), d.values[i].eval(s))
	}
	s.spend(len(d.keys))
	return out
}

type conditional struct{ cond, then, otherwise expr }

func (c *conditional) eval(s *scope) Value {
	switch {
	case truth(s.run, c.cond.eval(s)):
		return c.then.eval(s)
	case c.otherwise == nil:
		return Undefined{"the condition is false and there is no else", false}
	}
	return c.otherwise.eval(s)
}

// logic is and, or or.
type logic struct {
	a, b expr
	or   bool
}

func (l *logic) eval(s *scope) Value {
	if v := l.a.eval(s); truth(s.run, v) == l.or {
		return v
	}
	return l.b.eval(s)
}

type not struct{ e expr }

func (n *not) eval(s *scope) Value { return !truth(s.run, n.e.eval(s)) }

// A comparison may be a chain: a < b <= c.
type comparison struct {
	line  int
	first expr
	ops   []string
	rest  []expr
}

func (c *comparison) eval(s *scope) Value {
	a := c.first.eval(s)
	for i, op := range c.ops {
		b := c.rest[i].eval(s)
		s.line = c.line
		s.spend(1)
		if !compare(s.run, op, a, b) {
			return false
		}
		a = b
	}
	return true
}

func compare(r *run, op string, a, b Value) bool {
	switch op {
	case "==":
		return equal(r, a, b)
	case "!=":
		return !equal(r, a, b)
	case "in":
		return contains(r, b, a)
	case "not in":
		return !contains(r, b, a)
	case "<":
		return order(r, a, b) < 0
	case "<=":
		return order(r, a, b) <= 0
	case ">":
		return order(r, a, b) > 0
	}
	return order(r, a, b) >= 0
}

type binary struct {
	line int
	op   string
	a, b expr
}

func (x *binary) eval(s *scope) Value {
	a, b := x.a.eval(s), x.b.eval(s)
	s.line = x.line
	s.spend(1)
	return arithmetic(s.run, x.op, a, b)
}

type unary struct {
	line int
	op   string
	e    expr
}

func (u *unary) eval(s *scope) Value {
	v := u.e.eval(s)
	s.line = u.line
	if b, ok := v.(bool); ok {
		v = toInt(b)
	}
	switch v := v.(type) {
	case int64:
		if u.op == "-" {
			return -v
		}
		return v
	case float64:
		if u.op == "-" {
			return -v
		}
		return v
	}
	refuseUndefined(s.run, v)
	s.fail("%s has no sign", typeName(v))
	return nil
}

// concat is ~, which makes text of everything.
type concat struct {
	line  int
	parts []expr
}

func (c *concat) eval(s *scope) Value {
	var b strings.Builder
	for _, e := range c.parts {
		p := str(s.run, e.eval(s))
		s.line = c.line
		s.room(b.Len() + len(p))
		b.WriteString(p)
	}
	return b.String()
}

type attribute struct {
	line int
	of   expr
	name string
}

func (a *attribute) eval(s *scope) Value {
	v := a.of.eval(s)
	s.line = a.line
	s.spend(1)
	return getAttr(s.run, v, a.name)
}

type subscript struct {
	line int
	of   expr
	key  expr
}

func (x *subscript) eval(s *scope) Value {
	v, k := x.of.eval(s), x.key.eval(s)
	s.line = x.line
	s.spend(1)
	return getItem(s.run, v, k)
}

type slice struct {
	line  int
	of    expr
	parts [3]expr // from, to, step; nil where not given
}

func (x *slice) eval(s *scope) Value {
	v := x.of.eval(s)
	var parts [3]Value
	for i, e := range x.parts {
		if e != nil {
			parts[i] = e.eval(s)
		}
	}
	s.line = x.line
	return sliceOf(s.run, v, parts)
}

// A call has the arguments of a function, a filter or a test.
type call struct {
	line  int
	of    expr // nil for filters and tests
	pos   []expr
	names []string
	named []expr
}

func (c *call) args(s *scope) args {
	a := args{names: c.names}
	for _, e := range c.pos {
		a.pos = append(a.pos, e.eval(s))
	}
	for _, e := range c.named {
		a.named = append(a.named, e.eval(s))
	}
	s.line = c.line
	s.spend(1 + len(a.pos) + len(a.named))
	return a
}

func (c *call) eval(s *scope) Value {
	f := c.of.eval(s)
	a := c.args(s)
	switch f := f.(type) {
	case function:
		return f(s.run, a)
	case *macro:
		return f.call(s.run, a)
	case *loop:
		return f.call(s.run, a)
	}
	refuseUndefined(s.run, f)
	s.fail("%s cannot be called", typeName(f))
	return nil
}

type filter struct {
	args *call
	f    filterFunc
	of   expr
}

func (f *filter) eval(s *scope) Value {
	v := f.of.eval(s)
	return f.f(s.run, v, f.args.args(s))
}

type test struct {
	args    *call
	f       testFunc
	of      expr
	negated bool
}

func (t *test) eval(s *scope) Value {
	v := t.of.eval(s)
	return t.f(s.run, v, t.args.args(s)) != t.negated
}
