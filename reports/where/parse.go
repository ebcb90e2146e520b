package where

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits on what a person would write.
const (
	maxLength = 2000 // characters
	maxDepth  = 50   // of parentheses and nots
)

// Error says where a condition cannot be read.
type Error struct {
	Column int // of the character, from 1
	Msg    string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Msg) }

// Parse reads a condition; one without any words holds for everything.
func Parse(src string) (Filter, error) {
	if len(src) > maxLength {
		return Filter{}, &Error{maxLength, fmt.Sprintf("longer than %d characters", maxLength)}
	}
	tokens, err := scan(src)
	if err != nil {
		return Filter{}, err
	}
	p := parser{tokens: tokens}
	if p.peek().kind == end {
		return Filter{}, nil
	}
	root, err := p.any(0)
	if err == nil && p.peek().kind != end {
		err = p.fail("want and, or or the end, not " + p.peek().shown())
	}
	return Filter{root, p.names}, err
}

type parser struct {
	tokens []token
	names  []string
}

func (p *parser) peek() token { return p.tokens[0] }

func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the token if it is this word or sign.
func (p *parser) accept(text string) bool {
	if t := p.peek(); (t.kind == word || t.kind == sign) && t.text == text {
		p.next()
		return true
	}
	return false
}

func (p *parser) fail(msg string) error { return &Error{p.peek().column, msg} }

// any = all { "or" all }
func (p *parser) any(depth int) (node, error) {
	a, err := p.all(depth)
	for err == nil && p.accept("or") {
		var b node
		b, err = p.all(depth)
		a = or{a, b}
	}
	return a, err
}

// all = one { "and" one }
func (p *parser) all(depth int) (node, error) {
	a, err := p.one(depth)
	for err == nil && p.accept("and") {
		var b node
		b, err = p.one(depth)
		a = and{a, b}
	}
	return a, err
}

// one = "not" one | "(" any ")" | comparison
func (p *parser) one(depth int) (node, error) {
	if depth > maxDepth {
		return nil, p.fail("too many parentheses")
	}
	if p.accept("not") {
		a, err := p.one(depth + 1)
		return not{a}, err
	}
	if p.accept("(") {
		a, err := p.any(depth + 1)
		if err == nil && !p.accept(")") {
			err = p.fail("want ) here, not " + p.peek().shown())
		}
		return a, err
	}
	return p.comparison()
}

var comparisons = []string{"==", "!=", "<", "<=", ">", ">=", "~"}

// comparison = operand { sign operand }, as in 1e-5 < lr <= 1e-3
func (p *parser) comparison() (node, error) {
	a, err := p.operand()
	if err != nil {
		return nil, err
	}
	var out node
	for t := p.peek(); t.kind == sign && slices.Contains(comparisons, t.text); t = p.peek() {
		p.next()
		at := p.peek()
		b, err := p.operand()
		if err != nil {
			return nil, err
		}
		n, err := compare(t.text, a, b, at)
		if err != nil {
			return nil, err
		}
		if a = b; out == nil {
			out = n
		} else {
			out = and{out, n}
		}
	}
	switch {
	case out != nil:
		return out, nil
	case p.peek().text == "=" && p.peek().kind == sign:
		return nil, p.fail("= is no comparison: write ==")
	case a.name == "":
		return nil, p.fail("want a comparison after a value, as in " + strings.Join(comparisons, " "))
	}
	return truth{a}, nil
}

// compare returns the comparison of a and b, the token at.
func compare(op string, a, b operand, at token) (node, error) {
	switch op {
	case "==", "!=":
		return equals{a, b, op == "!="}, nil
	case "~":
		pattern, ok := b.value.(string)
		if !ok {
			return nil, &Error{at.column, "want a pattern in quotes after ~"}
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, &Error{at.column, strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
		}
		return matches{a, re}, nil
	}
	return order{a: a, b: b, op: op}, nil
}

// operand = name | number | text | "true" | "false"
func (p *parser) operand() (operand, error) {
	t := p.peek()
	switch {
	case t.kind == number:
		v, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return operand{}, p.fail(t.shown() + " is no number")
		}
		p.next()
		return operand{value: v}, nil
	case t.kind == quoted:
		p.next()
		return operand{value: t.text}, nil
	case t.kind == word && (t.text == "true" || t.text == "false"):
		p.next()
		return operand{value: t.text == "true"}, nil
	case t.kind == word && !slices.Contains([]string{"and", "or", "not"}, t.text):
		p.next()
		if !slices.Contains(p.names, t.text) {
			p.names = append(p.names, t.text)
		}
		return operand{name: t.text}, nil
	}
	return operand{}, p.fail("want a name, a number or text in quotes here, not " + t.shown())
}
