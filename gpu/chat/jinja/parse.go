package jinja

import (
	"fmt"
	"slices"
)

// A parser reads tokens, each once.
type parser struct {
	tokens []token
	at     int
	depth  int
	loops  int             // around the statement that is being read
	ifs    int             // likewise
	names  map[string]bool // variables met so far
}

// maxNesting bounds blocks within blocks and brackets within brackets.
const maxNesting = 400

func (p *parser) peek() token { return p.tokens[p.at] }
func (p *parser) last() token { return p.tokens[max(0, p.at-1)] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if p.at < len(p.tokens)-1 {
		p.at++
	}
	return t
}

func (p *parser) fail(format string, args ...any) {
	panic(&Error{p.peek().line, fmt.Sprintf(format, args...)})
}

// unless refuses something, unless an if decides whether it is ever met: as in
// jinja2, it fails then where it is met.
func (p *parser) unless(format string, args ...any) {
	if p.ifs == 0 {
		p.fail(format, args...)
	}
}

// deeper guards the stack; the function that it returns comes up again.
func (p *parser) deeper() func() {
	if p.depth++; p.depth > maxNesting {
		p.fail("more than %d levels of nesting", maxNesting)
	}
	return func() { p.depth-- }
}

func (p *parser) is(k kind, text string) bool {
	t := p.peek()
	return t.kind == k && t.text == text
}

func (p *parser) isName(names ...string) bool {
	return p.peek().kind == nameToken && slices.Contains(names, p.peek().text)
}

func (p *parser) isOp(ops ...string) bool {
	return p.peek().kind == opToken && slices.Contains(ops, p.peek().text)
}

// skip reads a token if it is there.
func (p *parser) skip(k kind, text string) bool {
	if !p.is(k, text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(k kind, text string) {
	if !p.skip(k, text) {
		p.fail("expected %s, got %s", token{kind: k, text: text}.describe(), p.peek().describe())
	}
}

func (p *parser) name() string {
	if p.peek().kind != nameToken {
		p.fail("expected a name, got %s", p.peek().describe())
	}
	return p.next().text
}

// statements reads up to a tag whose name is one of ends, which is left with
// its name read, or to the end of the template.
func (p *parser) statements(ends ...string) block {
	defer p.deeper()()
	var out block
	for {
		switch t := p.peek(); t.kind {
		case dataToken:
			p.next()
			out = append(out, &text{t.text})
		case beginOutput:
			p.next()
			out = append(out, &output{t.line, p.tuple(true)})
			p.expect(endOutput, "")
		case beginTag:
			p.next()
			if p.isName(ends...) {
				return out
			}
			out = append(out, p.statement())
		default:
			if len(ends) > 0 {
				p.fail("%s is missing", ends[len(ends)-1])
			}
			return out
		}
	}
}

// body reads the end of a tag, and statements up to one of ends; it returns
// the name of the tag that ended them.
func (p *parser) body(ends ...string) (block, string) {
	p.endTag()
	b := p.statements(ends...)
	return b, p.next().text
}

func (p *parser) endTag() { p.expect(endTag, "") }

func (p *parser) statement() stmt {
	line := p.peek().line
	switch name := p.name(); name {
	case "if":
		return p.ifStmt()
	case "for":
		return p.forStmt(line)
	case "set":
		return p.setStmt(line)
	case "macro":
		return p.macroStmt(line)
	case "call":
		return p.callStmt(line)
	case "filter":
		f := &filterBlock{line: line, value: p.filters(&captured{})}
		f.body, _ = p.body("endfilter")
		p.endTag()
		return f
	case "with":
		return p.withStmt(line)
	case "generation":
		g := &generation{}
		g.body, _ = p.body("endgeneration")
		p.endTag()
		return g
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside of a loop", name)
		}
		p.endTag()
		return &jump{name == "break"}
	case "print":
		var all block
		for len(all) == 0 || p.skip(opToken, ",") {
			all = append(all, &output{line, p.expression()})
		}
		p.endTag()
		return all
	default:
		p.fail("the statement %q is not supported", name)
		return nil
	}
}

func (p *parser) ifStmt() stmt {
	p.ifs++
	defer func() { p.ifs-- }()
	s := &ifElse{cond: p.tuple(false)}
	body, end := p.body("elif", "else", "endif")
	s.then = body
	switch end {
	case "elif":
		defer p.deeper()()
		s.otherwise = block{p.ifStmt()}
		return s
	case "else":
		s.otherwise, _ = p.body("endif")
	}
	p.endTag()
	return s
}

func (p *parser) forStmt(line int) stmt {
	s := &forLoop{line: line, target: p.target("in")}
	if !p.isName("in") {
		p.fail("expected in, got %s", p.peek().describe())
	}
	p.next()
	s.list = p.tupleUntil(false, "recursive")
	if p.isName("if") {
		p.next()
		s.cond = p.expression()
	}
	if p.isName("recursive") {
		p.next()
		s.recursive = true
	}
	p.loops++
	body, end := p.body("endfor", "else")
	p.loops--
	s.body = body
	if end == "else" {
		s.otherwise, _ = p.body("endfor")
	}
	p.endTag()
	return s
}

// target reads what is assigned to: a name, a namespace's attribute, or
// several names. stop is the word that follows it.
func (p *parser) target(stop string) target {
	var t target
	many := p.isOp("(")
	if many {
		p.next()
	}
	for {
		n := lvalue{name: p.name()}
		if !many && stop == "" && p.isOp(".") {
			p.next()
			n.attr = p.name()
		}
		t.names = append(t.names, n)
		if !p.isOp(",") {
			break
		}
		p.next()
		t.several = true
		if p.isName(stop) || p.isOp("=", ")") {
			break
		}
	}
	if many {
		p.expect(opToken, ")")
		t.several = true
	}
	return t
}

func (p *parser) setStmt(line int) stmt {
	s := &set{line: line, target: p.target("")}
	if p.skip(opToken, "=") {
		s.value = p.tuple(true)
		p.endTag()
		return s
	}
	if s.target.several {
		p.fail("expected =, got %s", p.peek().describe())
	}
	b := &setBlock{line: line, target: s.target, value: p.filters(&captured{})}
	b.body, _ = p.body("endset")
	p.endTag()
	return b
}

func (p *parser) macroStmt(line int) stmt {
	m := &macroDef{line: line, name: p.name()}
	m.params = p.params()
	m.body, m.names = p.macroBody("endmacro")
	return m
}

// macroBody reads the body of a macro and the names that it uses.
func (p *parser) macroBody(end string) (block, map[string]bool) {
	loops, outer := p.loops, p.names
	p.loops, p.names = 0, map[string]bool{}
	body, _ := p.body(end)
	inner := p.names
	p.loops, p.names = loops, outer
	for n := range inner {
		p.names[n] = true
	}
	p.endTag()
	return body, inner
}

// params reads the parameters of a macro with their defaults.
func (p *parser) params() (out []param) {
	p.expect(opToken, "(")
	for !p.isOp(")") {
		if len(out) > 0 {
			p.expect(opToken, ",")
			if p.isOp(")") {
				break
			}
		}
		n := param{name: p.name()}
		if p.skip(opToken, "=") {
			n.value = p.expression()
		} else if len(out) > 0 && out[len(out)-1].value != nil {
			p.fail("the parameter %s needs a default, as those before it have one", n.name)
		}
		out = append(out, n)
	}
	p.next()
	return out
}

func (p *parser) callStmt(line int) stmt {
	c := &callBlock{caller: macroDef{line: line, name: "caller"}}
	if p.isOp("(") {
		c.caller.params = p.params()
	}
	e, ok := p.expression().(*call)
	if !ok {
		p.fail("call needs a call of a macro")
	}
	c.call = e
	c.caller.body, c.caller.names = p.macroBody("endcall")
	return c
}

func (p *parser) withStmt(line int) stmt {
	w := &with{line: line}
	for p.peek().kind != endTag {
		if len(w.targets) > 0 {
			p.expect(opToken, ",")
		}
		w.targets = append(w.targets, p.target("="))
		p.expect(opToken, "=")
		w.values = append(w.values, p.expression())
	}
	w.body, _ = p.body("endwith")
	p.endTag()
	return w
}
