package where

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the sort of a token.
type kind int

const (
	end kind = iota
	word
	number
	quoted // text is without the quotes
	sign
)

type token struct {
	kind   kind
	text   string
	column int // from 1
}

// shown writes the token for an error.
func (t token) shown() string {
	switch t.kind {
	case end:
		return "the end"
	case quoted:
		return strconv.Quote(t.text)
	}
	return t.text
}

// The tokens: names may hold dots and slashes, as in eval/loss and lora.train.epochs.
var lexemes = []struct {
	kind kind
	re   *regexp.Regexp
}{
	{number, regexp.MustCompile(`^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?`)},
	{word, regexp.MustCompile(`^[\pL_][\pL\d_]*(?:[./-][\pL\d_]+)*`)},
	{quoted, regexp.MustCompile(`^"(?:[^"\\]|\\.)*"|^'(?:[^'\\]|\\.)*'`)},
	{sign, regexp.MustCompile(`^(?:[=!<>]=|[<>~=()])`)},
}

// scan cuts src into tokens; the last is the end.
func scan(src string) ([]token, error) {
	var out []token
	rest := src
	for {
		rest = strings.TrimLeft(rest, " \t\r\n")
		at := utf8.RuneCountInString(src[:len(src)-len(rest)]) + 1
		if rest == "" {
			return append(out, token{end, "", at}), nil
		}
		t := token{column: at}
		for _, l := range lexemes {
			if t.text = l.re.FindString(rest); t.text != "" {
				t.kind = l.kind
				break
			}
		}
		if t.text == "" {
			r, _ := utf8.DecodeRuneInString(rest)
			if r == '"' || r == '\'' {
				return nil, &Error{at, "text without its closing quote"}
			}
			return nil, &Error{at, strconv.QuoteRune(r) + " has no meaning here"}
		}
		rest = rest[len(t.text):]
		if t.kind == quoted {
			t.text = unescape.Replace(t.text[1 : len(t.text)-1])
		}
		out = append(out, t)
	}
}

// unescape takes the backslash before a quote off; others stay, for patterns.
var unescape = strings.NewReplacer(`\"`, `"`, `\'`, `'`)
