package jinja

// A macro is a piece of template that is called, in the scope it was written in.
type macro struct {
	*macroDef
	scope *scope
}

func (m *macro) call(r *run, a args) Value {
	defer r.enter()()
	in := m.scope.inner()
	in.set("varargs", Tuple(nil))
	extra := &Dict{}
	in.set("kwargs", extra)
	given := map[string]bool{}
	for i, v := range a.pos {
		if i >= len(m.params) {
			in.set("varargs", Tuple(a.pos[i:]))
			if !m.names["varargs"] {
				r.fail("the macro %s takes %d arguments, not %d", m.name, len(m.params), len(a.pos))
			}
			break
		}
		in.set(m.params[i].name, v)
		given[m.params[i].name] = true
	}
	for i, name := range a.names {
		switch {
		case given[name]:
			r.fail("the macro %s is given %s twice", m.name, name)
		case m.has(name) || name == "caller" && m.names["caller"]:
			in.set(name, a.named[i])
			given[name] = true
		default:
			extra.Set(name, a.named[i])
		}
	}
	if len(extra.keys) > 0 && !m.names["kwargs"] {
		r.fail("the macro %s takes no argument %s", m.name, str(r, extra.keys[0]))
	}
	for _, p := range m.params {
		switch {
		case given[p.name]:
		case p.value != nil:
			in.set(p.name, p.value.eval(in))
		default:
			in.set(p.name, Undefined{"the parameter " + p.name + " was not given", false})
		}
	}
	return r.capture(func() { m.body.exec(in) })
}

func (m *macro) has(name string) bool {
	for _, p := range m.params {
		if p.name == name {
			return true
		}
	}
	return false
}

func (m *macro) attr(name string) (Value, bool) {
	switch name {
	case "name":
		return m.name, true
	case "arguments":
		var names Tuple
		for _, p := range m.params {
			names = append(names, p.name)
		}
		return names, true
	}
	return nil, false
}
