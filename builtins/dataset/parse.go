package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A parser reads JSON more strictly than encoding/json: a key that occurs
// twice, a lone surrogate and bytes that are no UTF-8 are errors, where the
// latter would lose something in silence. Keys are shared between rows.
type parser struct {
	b    []byte
	i    int
	keys map[string]string
}

// maxDepth is how deep lists and objects may lie in each other.
const maxDepth = 1000

// A syntaxError says what is wrong at a byte of the line, from 1.
type syntaxError struct {
	at  int
	err error
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %v", e.at, e.err) }
func (e *syntaxError) Unwrap() error { return e.err }

func (p *parser) fail(format string, args ...any) error {
	if p.i >= len(p.b) {
		return &syntaxError{p.i + 1, fmt.Errorf(format+": %w", append(args, io.ErrUnexpectedEOF)...)}
	}
	return &syntaxError{p.i + 1, fmt.Errorf(format, args...)}
}

// row reads a line that is one object.
func (p *parser) row(line []byte) (Row, error) {
	p.b, p.i = line, 0
	p.space()
	if p.peek() != '{' {
		return nil, p.fail("a row is an object, {…}")
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.i < len(p.b) {
		return nil, p.fail("something follows the object")
	}
	return v.(map[string]any), nil
}

func (p *parser) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\t' || p.b[p.i] == '\r' || p.b[p.i] == '\n') {
		p.i++
	}
}

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, p.fail("lists and objects lie more than %d deep", maxDepth)
	}
	p.space()
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.list(depth)
	case c == '"':
		b, err := p.text()
		return string(b), err
	case c == '-' || c >= '0' && c <= '9':
		end, ok := number(p.b, p.i)
		if !ok {
			return nil, p.fail("bad number")
		}
		n := json.Number(p.b[p.i:end])
		p.i = end
		return n, nil
	}
	for word, v := range words {
		if len(p.b)-p.i >= len(word) && string(p.b[p.i:p.i+len(word)]) == word {
			p.i += len(word)
			return v, nil
		}
	}
	return nil, p.fail("a value is missing")
}

var words = map[string]any{"null": nil, "true": true, "false": false}

func (p *parser) object(depth int) (any, error) {
	m := map[string]any{}
	for first := true; ; first = false {
		p.i++ // { or ,
		p.space()
		if first && p.peek() == '}' {
			break
		}
		if p.peek() != '"' {
			return nil, p.fail("a key is missing")
		}
		at := p.i
		b, err := p.text()
		if err != nil {
			return nil, err
		}
		key := p.share(b)
		if _, twice := m[key]; twice {
			p.i = at
			return nil, p.fail("key %q occurs twice", key)
		}
		p.space()
		if p.peek() != ':' {
			return nil, p.fail("a colon is missing")
		}
		p.i++
		if m[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		p.space()
		if p.peek() == '}' {
			break
		}
		if p.peek() != ',' {
			return nil, p.fail("a comma or } is missing")
		}
	}
	p.i++
	return m, nil
}

func (p *parser) list(depth int) (any, error) {
	list := []any{}
	for first := true; ; first = false {
		p.i++ // [ or ,
		p.space()
		if first && p.peek() == ']' {
			break
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.space()
		if p.peek() == ']' {
			break
		}
		if p.peek() != ',' {
			return nil, p.fail("a comma or ] is missing")
		}
	}
	p.i++
	return list, nil
}

// share returns b as text, the same for the same bytes.
func (p *parser) share(b []byte) string {
	if s, ok := p.keys[string(b)]; ok {
		return s
	}
	s := string(b)
	if p.keys == nil {
		p.keys = map[string]string{}
	}
	if len(p.keys) < 1000 { // a file with more keys has data for keys
		p.keys[s] = s
	}
	return s
}

// text reads a string. The result is a part of the line if it has no escapes.
func (p *parser) text() ([]byte, error) {
	p.i++
	start := p.i
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			p.i++
			return p.b[start : p.i-1], nil
		case c == '\\':
			return p.escaped(append([]byte{}, p.b[start:p.i]...))
		case c < ' ':
			return nil, p.fail("a control character in text: write \\u%04x", c)
		}
	}
	return nil, p.fail("text has no end")
}

// escaped reads on from the first escape.
func (p *parser) escaped(out []byte) ([]byte, error) {
	for p.i < len(p.b) {
		c := p.b[p.i]
		switch {
		case c == '"':
			p.i++
			return out, nil
		case c < ' ':
			return nil, p.fail("a control character in text: write \\u%04x", c)
		case c != '\\':
			out = append(out, c)
			p.i++
			continue
		}
		r, n, err := escape(p.b[p.i:])
		if err != nil {
			return nil, p.fail("%w", err)
		}
		out = utf8.AppendRune(out, r)
		p.i += n
	}
	return nil, p.fail("text has no end")
}

// escape reads an escape, a pair of surrogates being one, and its length.
func escape(b []byte) (rune, int, error) {
	if len(b) < 2 {
		return 0, 0, io.ErrUnexpectedEOF
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2, nil
	case 'b':
		return '\b', 2, nil
	case 'f':
		return '\f', 2, nil
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'u':
		r, ok := hex4(b)
		if !ok {
			return 0, 0, errors.New("bad \\u escape")
		}
		if !utf16.IsSurrogate(r) {
			return r, 6, nil
		}
		low, ok := hex4(b[6:])
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return pair, 12, nil
		}
		return 0, 0, fmt.Errorf("lone surrogate \\u%04x: text was cut inside a character", r)
	}
	return 0, 0, fmt.Errorf("bad escape \\%c", b[1])
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// number returns where the JSON number at i ends.
func number(b []byte, i int) (end int, ok bool) {
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return i, false
		}
	}
	return i, true
}
