package jinja

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind int

const (
	endToken    kind = iota
	dataToken        // text between tags
	beginOutput      // {{
	endOutput        // }}
	beginTag         // {%
	endTag           // %}
	nameToken
	stringToken
	intToken
	floatToken
	opToken
)

type token struct {
	kind kind
	text string // of a string: its value
	line int
}

func (t token) describe() string {
	switch t.kind {
	case endToken:
		return "the end of the template"
	case dataToken:
		return "text"
	case beginOutput:
		return `"{{"`
	case endOutput:
		return `"}}"`
	case beginTag:
		return `"{%"`
	case endTag:
		return `"%}"`
	case stringToken:
		return "the string " + strconv.Quote(t.text)
	}
	return strconv.Quote(t.text)
}

// A lexer cuts a template into tokens, taking away the white space that
// trim_blocks, lstrip_blocks and the signs - and + say.
type lexer struct {
	src       string
	i         int
	line      int
	lineStart bool // the last token ended with its line
	out       []token
}

func lex(source string) []token {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	l := &lexer{src: strings.TrimSuffix(source, "\n"), line: 1, lineStart: true}
	for l.i < len(l.src) {
		l.root()
	}
	return append(l.out, token{endToken, "", l.line})
}

func (l *lexer) fail(format string, args ...any) {
	panic(&Error{l.line, fmt.Sprintf(format, args...)})
}

// advance goes n bytes on and returns them.
func (l *lexer) advance(n int) string {
	s := l.src[l.i : l.i+n]
	l.i += n
	l.line += strings.Count(s, "\n")
	if n > 0 {
		l.lineStart = s[n-1] == '\n'
	}
	return s
}

func (l *lexer) emit(k kind, text string) { l.out = append(l.out, token{k, text, l.line}) }

var rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-%\}|%\})`)

// root reads text up to the next tag, and the tag.
func (l *lexer) root() {
	rest := l.src[l.i:]
	at := nextOpening(rest)
	if at < 0 {
		l.data(rest)
		l.advance(len(rest))
		return
	}
	tag := rest[at:]
	sign := byte(0)
	if len(tag) > 2 && (tag[2] == '-' || tag[2] == '+') {
		sign = tag[2]
	}
	l.data(l.stripped(rest[:at], tag[1], sign))
	l.advance(at)
	if m := rawBegin.FindString(tag); m != "" {
		l.advance(len(m))
		l.raw(m)
		return
	}
	open := 2
	if sign != 0 {
		open = 3
	}
	switch tag[1] {
	case '#':
		l.advance(open)
		l.comment()
	case '{':
		l.emit(beginOutput, "")
		l.advance(open)
		l.inside(endOutput)
	case '%':
		l.emit(beginTag, "")
		l.advance(open)
		l.inside(endTag)
	}
}

func nextOpening(s string) int {
	for i := 0; ; i++ {
		n := strings.IndexByte(s[i:], '{')
		if n < 0 || i+n+1 >= len(s) {
			return -1
		}
		i += n
		if c := s[i+1]; c == '{' || c == '%' || c == '#' {
			return i
		}
	}
}

// stripped takes from the end of a text what the tag behind it does not want.
func (l *lexer) stripped(text string, tag, sign byte) string {
	if sign == '-' {
		return strings.TrimRightFunc(text, isSpace)
	}
	if sign == '+' || tag == '{' {
		return text
	}
	start := strings.LastIndexByte(text, '\n') + 1
	if (start > 0 || l.lineStart) && strings.TrimLeftFunc(text[start:], isSpace) == "" {
		return text[:start]
	}
	return text
}

func (l *lexer) data(s string) {
	if s != "" {
		l.emit(dataToken, s)
	}
}

// raw reads up to {% endraw %}; m is how it began.
func (l *lexer) raw(m string) {
	if strings.Contains(m, "-%}") {
		l.spaces()
	}
	end := rawEnd.FindStringSubmatchIndex(l.src[l.i:])
	if end == nil {
		l.fail("raw without endraw")
	}
	text := l.src[l.i : l.i+end[0]]
	sign := byte(0)
	if c := l.src[l.i+end[0]+2]; c == '-' || c == '+' {
		sign = c
	}
	l.data(l.stripped(text, '%', sign))
	l.advance(end[1])
	l.afterTag(l.src[l.i-3])
}

var rawEnd = regexp.MustCompile(`\{%[-+]?\s*endraw\s*[-+]?%\}`)

func (l *lexer) comment() {
	n := strings.Index(l.src[l.i:], "#}")
	if n < 0 {
		l.fail("comment without #}")
	}
	sign := byte(0)
	if n > 0 {
		sign = l.src[l.i+n-1]
	}
	l.advance(n + 2)
	l.afterTag(sign)
}

// afterTag takes what follows a tag whose end has this sign: all white space,
// nothing, or a line end.
func (l *lexer) afterTag(sign byte) {
	switch {
	case sign == '-':
		l.spaces()
	case sign != '+' && strings.HasPrefix(l.src[l.i:], "\n"):
		l.advance(1)
	}
}

func (l *lexer) spaces() {
	rest := l.src[l.i:]
	l.advance(len(rest) - len(strings.TrimLeftFunc(rest, isSpace)))
}

var (
	floatPattern = regexp.MustCompile(`^(\d+_)*\d+((\.(\d+_)*\d+)?[eE][+-]?(\d+_)*\d+|\.(\d+_)*\d+)`)
	intPattern   = regexp.MustCompile(`^(0[bB](_?[01])+|0[oO](_?[0-7])+|0[xX](_?[0-9a-fA-F])+|[1-9](_?\d)*|0(_?0)*)`)
	operators    = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}
	closing      = map[string]string{")": "(", "]": "[", "}": "{"}
)

// maxTag bounds the tokens of a tag, and with them how deep its expression can
// be: a chain of a million sums would be.
const maxTag = 20_000

// inside reads the tokens of a tag up to its end.
func (l *lexer) inside(end kind) {
	mark := "}}"
	if end == endTag {
		mark = "%}"
	}
	var open []string // brackets
	begun := len(l.out)
	for l.i < len(l.src) {
		if len(l.out)-begun > maxTag {
			l.fail("the tag has more than %d parts", maxTag)
		}
		l.spaces()
		rest := l.src[l.i:]
		if len(open) == 0 {
			if strings.HasPrefix(rest, mark) || strings.HasPrefix(rest, "-"+mark) || end == endTag && strings.HasPrefix(rest, "+"+mark) {
				l.emit(end, "")
				l.close(end, mark)
				return
			}
		}
		switch c := l.one(rest); c {
		case "(", "[", "{":
			open = append(open, c)
		case ")", "]", "}":
			if len(open) == 0 || open[len(open)-1] != closing[c] {
				l.fail("unexpected %q", c)
			}
			open = open[:len(open)-1]
		}
	}
	l.fail("the tag is not closed by %s", mark)
}

func (l *lexer) close(end kind, mark string) {
	sign := l.src[l.i]
	if sign == mark[0] {
		sign = 0
		l.advance(2)
	} else {
		l.advance(3)
	}
	if end == endTag || sign == '-' {
		l.afterTag(sign)
	}
}

// one reads a token and returns it if it is an operator.
func (l *lexer) one(rest string) string {
	if rest == "" {
		return ""
	}
	c, _ := utf8.DecodeRuneInString(rest)
	switch {
	case c == '"' || c == '\'':
		l.str(rest, byte(c))
	case c >= '0' && c <= '9':
		k, s := floatToken, floatPattern.FindString(rest)
		if s == "" {
			k, s = intToken, intPattern.FindString(rest)
		}
		l.emit(k, strings.ReplaceAll(s, "_", ""))
		l.advance(len(s))
	case c == '_' || unicode.IsLetter(c):
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
		})
		if n < 0 {
			n = len(rest)
		}
		l.emit(nameToken, rest[:n])
		l.advance(n)
	default:
		for _, op := range operators {
			if strings.HasPrefix(rest, op) {
				l.emit(opToken, op)
				l.advance(len(op))
				return op
			}
		}
		l.fail("unexpected %q", c)
	}
	return ""
}

func (l *lexer) str(rest string, quote byte) {
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case quote:
			l.emit(stringToken, l.unescape(rest[1:i]))
			l.advance(i + 1)
			return
		}
	}
	l.fail("the string is not closed by %c", quote)
}

// unescape reads Python's escapes. As there, one that is unknown stays as it is.
func (l *lexer) unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'x', 'u', 'U':
			n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
			if i+n >= len(s) {
				n = len(s) - 1 - i
			}
			code, err := strconv.ParseUint(s[i+1:i+1+n], 16, 32)
			if err != nil || !utf8.ValidRune(rune(code)) {
				l.fail(`\%c is not followed by the number of a character`, c)
			}
			b.WriteRune(rune(code))
			i += n
		case '0', '1', '2', '3', '4', '5', '6', '7':
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			code, _ := strconv.ParseUint(s[i:i+n], 8, 32) // digits by construction
			b.WriteRune(rune(code))
			i += n - 1
		case 'N':
			l.fail(`\N{...} is not supported`)
		default:
			if at := strings.IndexByte("abfnrtv", c); at >= 0 {
				b.WriteByte("\a\b\f\n\r\t\v"[at])
			} else {
				b.WriteByte('\\')
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// isSpace is Python's idea of white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
