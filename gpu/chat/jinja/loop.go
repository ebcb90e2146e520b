package jinja

type forLoop struct {
	line      int
	target    target
	list      expr
	cond      expr // or nil
	recursive bool
	body      block
	otherwise block
}

func (f *forLoop) exec(s *scope) flow {
	s.line = f.line
	return f.over(s, f.list.eval(s), 0)
}

// over runs the loop over a value; depth is how often a recursive loop has
// called itself.
func (f *forLoop) over(s *scope, v Value, depth int) flow {
	items := iterate(s.run, v)
	if f.cond != nil {
		var some []Value
		for _, v := range items {
			in := s.inner()
			f.target.assign(in, v)
			s.spend(1)
			if truth(s.run, f.cond.eval(in)) {
				some = append(some, v)
			}
		}
		items = some
	}
	if len(items) == 0 {
		return f.otherwise.exec(s.inner())
	}
	l := &loop{of: f, scope: s, items: items, depth: depth}
	for l.i = range items {
		s.spend(4) // a scope is made
		in := s.inner()
		in.set("loop", l)
		f.target.assign(in, items[l.i])
		if f.body.exec(in) == breaking {
			break
		}
	}
	return onward
}

// A loop is the variable of that name.
type loop struct {
	of      *forLoop
	scope   *scope
	items   []Value
	i       int
	depth   int
	changed []Value // what changed() was last called with
}

func (l *loop) attr(name string) (Value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1), true
	case "index0":
		return int64(l.i), true
	case "revindex":
		return int64(n - l.i), true
	case "revindex0":
		return int64(n - l.i - 1), true
	case "first":
		return l.i == 0, true
	case "last":
		return l.i == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if l.i == 0 {
			return Undefined{"there is no previous item", false}, true
		}
		return l.items[l.i-1], true
	case "nextitem":
		if l.i == n-1 {
			return Undefined{"there is no next item", false}, true
		}
		return l.items[l.i+1], true
	case "cycle":
		return function(l.cycle), true
	case "changed":
		return function(l.hasChanged), true
	}
	return nil, false
}

func (l *loop) cycle(r *run, a args) Value {
	if len(a.pos) == 0 {
		r.fail("loop.cycle has nothing to choose from")
	}
	return a.pos[l.i%len(a.pos)]
}

func (l *loop) hasChanged(r *run, a args) Value {
	if l.changed != nil && equal(r, List(l.changed), List(a.pos)) {
		return false
	}
	l.changed = append([]Value{}, a.pos...)
	return true
}

// call runs a recursive loop on what one of its items holds.
func (l *loop) call(r *run, a args) Value {
	if !l.of.recursive {
		r.fail("the loop is not recursive")
	}
	v := a.bind(r, "loop", "iterable").value(0)
	defer r.enter()()
	return r.capture(func() { l.of.over(l.scope, v, l.depth+1) })
}
