package jinja

import (
	"strconv"
	"strings"
)

// expression reads one expression: the rules below, loosest binding first, are
// jinja2's.
func (p *parser) expression() expr { return p.conditional() }

func (p *parser) conditional() expr {
	defer p.deeper()()
	e := p.or()
	for p.isName("if") {
		c := &conditional{then: e}
		p.next()
		c.cond = p.or()
		if p.isName("else") {
			p.next()
			c.otherwise = p.conditional()
		}
		e = c
	}
	return e
}

func (p *parser) or() expr {
	e := p.and()
	for p.isName("or") {
		p.next()
		e = &logic{e, p.and(), true}
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	for p.isName("and") {
		p.next()
		e = &logic{e, p.not(), false}
	}
	return e
}

func (p *parser) not() expr {
	if p.isName("not") {
		defer p.deeper()()
		p.next()
		return &not{p.not()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	line := p.peek().line
	c := &comparison{line: line, first: p.sum()}
	for {
		op := ""
		switch {
		case p.isOp("==", "!=", "<", "<=", ">", ">="):
			op = p.next().text
		case p.isName("in"):
			p.next()
			op = "in"
		case p.isName("not") && p.tokens[min(p.at+1, len(p.tokens)-1)].text == "in":
			p.next()
			p.next()
			op = "not in"
		}
		if op == "" {
			break
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, p.sum())
	}
	if len(c.ops) == 0 {
		return c.first
	}
	return c
}

// binary reads operands joined by some operators, from left to right.
func (p *parser) binary(operand func() expr, ops ...string) expr {
	e := operand()
	for p.isOp(ops...) {
		t := p.next()
		e = &binary{t.line, t.text, e, operand()}
	}
	return e
}

func (p *parser) sum() expr     { return p.binary(p.concat, "+", "-") }
func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

func (p *parser) concat() expr {
	e := p.product()
	if !p.isOp("~") {
		return e
	}
	c := &concat{p.peek().line, []expr{e}}
	for p.skip(opToken, "~") {
		c.parts = append(c.parts, p.product())
	}
	return c
}

func (p *parser) unary(filtered bool) expr {
	defer p.deeper()()
	var e expr
	if p.isOp("-", "+") {
		t := p.next()
		e = &unary{t.line, t.text, p.unary(false)}
	} else {
		e = p.primary()
	}
	e = p.postfix(e)
	if filtered {
		e = p.filtersAndTests(e)
	}
	return e
}

var constants = map[string]Value{
	"true": true, "True": true, "false": false, "False": false, "none": nil, "None": nil,
}

func (p *parser) primary() expr {
	t := p.peek()
	switch {
	case t.kind == nameToken:
		p.next()
		if v, ok := constants[t.text]; ok {
			return &constant{v}
		}
		p.names[t.text] = true
		return &variable{t.text}
	case t.kind == stringToken:
		var b strings.Builder
		for p.peek().kind == stringToken {
			b.WriteString(p.next().text)
		}
		return &constant{b.String()}
	case t.kind == intToken:
		n, err := strconv.ParseInt(t.text, 0, 64)
		if err != nil {
			p.fail("%s is too large", t.text)
		}
		p.next()
		return &constant{n}
	case t.kind == floatToken:
		x, _ := strconv.ParseFloat(t.text, 64) // digits by construction; what is too large is infinite, as in Python
		p.next()
		return &constant{x}
	case p.isOp("("):
		p.next()
		if p.skip(opToken, ")") {
			return &list{tuple: true}
		}
		e := p.tuple(true)
		p.expect(opToken, ")")
		return e
	case p.isOp("["):
		p.next()
		l := &list{}
		l.items = p.items("]")
		return l
	case p.isOp("{"):
		return p.dict()
	}
	p.fail("expected an expression, got %s", t.describe())
	return nil
}

// items reads expressions up to a closing bracket.
func (p *parser) items(end string) (out []expr) {
	for !p.isOp(end) {
		if len(out) > 0 {
			p.expect(opToken, ",")
			if p.isOp(end) {
				break
			}
		}
		out = append(out, p.expression())
	}
	p.next()
	return out
}

func (p *parser) dict() expr {
	d := &dict{line: p.next().line}
	for !p.isOp("}") {
		if len(d.keys) > 0 {
			p.expect(opToken, ",")
			if p.isOp("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expect(opToken, ":")
		d.values = append(d.values, p.expression())
	}
	p.next()
	return d
}

// tuple reads an expression, or several with commas between them.
func (p *parser) tuple(withConditional bool) expr { return p.tupleUntil(withConditional, "") }

// tupleUntil is tuple that also ends at a word.
func (p *parser) tupleUntil(withConditional bool, stop string) expr {
	one := p.expression
	if !withConditional {
		one = p.or
	}
	t := &list{tuple: true}
	comma := false
	for {
		k := p.peek().kind
		if len(t.items) > 0 && (k == endTag || k == endOutput || p.isOp(")") || stop != "" && p.isName(stop)) {
			break
		}
		t.items = append(t.items, one())
		if !p.isOp(",") {
			break
		}
		p.next()
		comma = true
	}
	if !comma {
		return t.items[0]
	}
	return t
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(e expr) expr {
	for {
		line := p.peek().line
		switch {
		case p.isOp("."):
			p.next()
			switch t := p.next(); t.kind {
			case nameToken:
				e = &attribute{line, e, t.text}
			case intToken:
				n, err := strconv.ParseInt(t.text, 0, 64)
				if err != nil {
					p.fail("%s is too large", t.text)
				}
				e = &subscript{line, e, &constant{n}}
			default:
				p.fail("expected a name or a number after the dot")
			}
		case p.isOp("["):
			p.next()
			e = p.subscript(line, e)
		case p.isOp("("):
			e = p.call(line, e)
		default:
			return e
		}
	}
}

func (p *parser) subscript(line int, of expr) expr {
	var parts [3]expr
	n := 0
	for ; n < 3; n++ {
		if !p.isOp(":", "]") {
			parts[n] = p.expression()
		}
		if !p.skip(opToken, ":") {
			break
		}
	}
	if n == 0 && parts[0] == nil || n == 3 || !p.isOp("]") {
		p.fail("expected a subscript or a slice, got %s", p.peek().describe())
	}
	p.next()
	if n == 0 {
		return &subscript{line, of, parts[0]}
	}
	return &slice{line, of, parts}
}

// call reads the arguments in brackets.
func (p *parser) call(line int, of expr) *call {
	p.expect(opToken, "(")
	c := &call{line: line, of: of}
	for !p.isOp(")") {
		if len(c.pos)+len(c.named) > 0 {
			p.expect(opToken, ",")
			if p.isOp(")") {
				break
			}
		}
		if p.isOp("*", "**") {
			p.fail("arguments with %s are not supported", p.peek().text)
		}
		if p.peek().kind == nameToken && p.tokens[min(p.at+1, len(p.tokens)-1)].text == "=" && p.tokens[p.at+1].kind == opToken {
			name := p.name()
			p.next()
			c.names, c.named = append(c.names, name), append(c.named, p.expression())
			continue
		}
		if len(c.named) > 0 {
			p.fail("a positional argument follows a named one")
		}
		c.pos = append(c.pos, p.expression())
	}
	p.next()
	return c
}

// filters reads `| name(...)` any number of times, for a block.
func (p *parser) filters(e expr) expr {
	for first := true; p.isOp("|") || first && p.peek().kind == nameToken; first = false {
		p.skip(opToken, "|")
		e = p.filter(e)
	}
	return e
}

func (p *parser) filter(e expr) expr {
	line := p.peek().line
	name := p.name()
	f, ok := filters[name]
	if !ok {
		f = func(r *run, _ Value, _ args) Value {
			r.fail("the filter %q is not supported", name)
			return nil
		}
		p.unless("the filter %q is not supported", name)
	}
	c := &call{line: line}
	if p.isOp("(") {
		c = p.call(line, nil)
	}
	return &filter{c, f, e}
}

func (p *parser) filtersAndTests(e expr) expr {
	for {
		switch {
		case p.isOp("|"):
			p.next()
			e = p.filter(e)
		case p.isName("is"):
			p.next()
			e = p.test(e)
		case p.isOp("("):
			e = p.call(p.peek().line, e)
		default:
			return e
		}
	}
}

func (p *parser) test(e expr) expr {
	negated := p.isName("not")
	if negated {
		p.next()
	}
	line := p.peek().line
	name := p.name()
	f, ok := tests[name]
	if !ok {
		f = func(r *run, _ Value, _ args) bool {
			r.fail("the test %q is not supported", name)
			return false
		}
		p.unless("the test %q is not supported", name)
	}
	c := &call{line: line}
	switch k := p.peek().kind; {
	case p.isOp("("):
		c = p.call(line, nil)
	case k == stringToken, k == intToken, k == floatToken, p.isOp("[", "{"),
		k == nameToken && !p.isName("else", "or", "and"):
		if p.isName("is") {
			p.fail("tests cannot be chained with is")
		}
		c.pos = []expr{p.postfix(p.primary())}
	}
	return &test{c, f, e, negated}
}
