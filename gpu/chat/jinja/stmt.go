package jinja

// A stmt writes output or changes the variables of its scope.
type stmt interface{ exec(*scope) flow }

// A flow says where to go on after a statement.
type flow int

const (
	onward flow = iota
	breaking
	continuing
)

type block []stmt

func (b block) exec(s *scope) flow {
	for _, st := range b {
		s.spend(1)
		if f := st.exec(s); f != onward {
			return f
		}
	}
	return onward
}

type text struct{ s string }

func (t *text) exec(s *scope) flow {
	s.write(t.s)
	return onward
}

type output struct {
	line  int
	value expr
}

func (o *output) exec(s *scope) flow {
	s.line = o.line
	s.write(str(s.run, o.value.eval(s)))
	return onward
}

type ifElse struct {
	cond            expr
	then, otherwise block
}

func (i *ifElse) exec(s *scope) flow {
	if truth(s.run, i.cond.eval(s)) {
		return i.then.exec(s)
	}
	return i.otherwise.exec(s)
}

type jump struct{ out bool }

func (j *jump) exec(*scope) flow {
	if j.out {
		return breaking
	}
	return continuing
}

// A target is what is assigned to.
type target struct {
	names   []lvalue
	several bool
}

// An lvalue is a variable, or an attribute of a namespace.
type lvalue struct{ name, attr string }

func (t target) assign(s *scope, v Value) {
	if !t.several {
		t.names[0].assign(s, v)
		return
	}
	items := iterate(s.run, v)
	if len(items) != len(t.names) {
		s.fail("%d values for %d names", len(items), len(t.names))
	}
	for i, n := range t.names {
		n.assign(s, items[i])
	}
}

func (n lvalue) assign(s *scope, v Value) {
	if n.attr == "" {
		s.set(n.name, v)
		return
	}
	ns, ok := s.get(n.name).(*namespace)
	if !ok {
		s.fail("%s.%s cannot be set: %s is no namespace", n.name, n.attr, n.name)
	}
	ns.set(s.run, n.attr, v)
}

type set struct {
	line   int
	target target
	value  expr
}

func (t *set) exec(s *scope) flow {
	s.line = t.line
	t.target.assign(s, t.value.eval(s))
	return onward
}

// captured stands for the text of a block in the filters behind its name.
type captured struct{}

func (*captured) eval(s *scope) Value { return s.get(capturedName) }

const capturedName = "{block}" // no name that a template can say

// filtered runs a body and sends what it wrote through filters.
func filtered(s *scope, body block, value expr) Value {
	in := s.inner()
	in.set(capturedName, s.capture(func() { body.exec(s.inner()) }))
	return value.eval(in)
}

type setBlock struct {
	line   int
	target target
	value  expr
	body   block
}

func (t *setBlock) exec(s *scope) flow {
	s.line = t.line
	t.target.assign(s, filtered(s, t.body, t.value))
	return onward
}

type filterBlock struct {
	line  int
	value expr
	body  block
}

func (f *filterBlock) exec(s *scope) flow {
	s.line = f.line
	s.write(str(s.run, filtered(s, f.body, f.value)))
	return onward
}

type with struct {
	line    int
	targets []target
	values  []expr
	body    block
}

func (w *with) exec(s *scope) flow {
	s.line = w.line
	in := s.inner()
	for i, t := range w.targets {
		t.assign(in, w.values[i].eval(s))
	}
	return w.body.exec(in)
}

// generation notes where the model's own words begin and end. In a macro or in
// a block that is assigned they have no place yet, and are not noted.
type generation struct{ body block }

func (g *generation) exec(s *scope) flow {
	from := s.out.Len()
	f := g.body.exec(s.inner())
	if s.captures == 0 {
		s.generated = append(s.generated, Span{from, s.out.Len()})
	}
	return f
}

type macroDef struct {
	line   int
	name   string
	params []param
	body   block
	names  map[string]bool // of the variables in the body
}

type param struct {
	name  string
	value expr // its default, or nil
}

func (m *macroDef) exec(s *scope) flow {
	s.set(m.name, &macro{m, s})
	return onward
}

// callBlock calls a macro that may call back, as caller, what the block holds.
type callBlock struct {
	call   *call
	caller macroDef
}

func (c *callBlock) exec(s *scope) flow {
	in := s.inner()
	in.set(capturedName, &macro{&c.caller, s})
	withCaller := *c.call
	withCaller.names = append(append([]string{}, c.call.names...), "caller")
	withCaller.named = append(append([]expr{}, c.call.named...), &captured{})
	s.write(str(s.run, withCaller.eval(in)))
	return onward
}
