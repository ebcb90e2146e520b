package dataset

import (
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// trained are the columns whose text a model learns or reads in training. What
// a student said, and what else a row holds, may be as garbled as it is.
var trained = []string{System, Prompt, Completion, Messages}

// garbledRow says what is wrong with the texts of a row; "" if nothing is.
func garbledRow(r Row) string {
	for _, c := range trained {
		if why := garbled(r[c]); why != "" {
			return why
		}
	}
	return ""
}

func garbled(v any) string {
	switch v := v.(type) {
	case string:
		return garbledText(v)
	case []any:
		for _, x := range v {
			if why := garbled(x); why != "" {
				return why
			}
		}
	case map[string]any:
		for _, x := range v {
			if why := garbled(x); why != "" {
				return why
			}
		}
	}
	return ""
}

func garbledText(s string) string {
	lone, pairs := 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\r' && i+1 < len(s) && s[i+1] == '\n':
			pairs++
		case c == '\n' && (i == 0 || s[i-1] != '\r'):
			lone++
		case c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f:
			return "a control character"
		}
	}
	if isASCII(s) {
		if lone > 0 && pairs > 0 {
			return "two kinds of line ends"
		}
		return ""
	}
	for _, c := range s {
		switch {
		case c == '\uFFFD':
			return "U+FFFD stands for a character that was lost"
		case c == '\uFEFF':
			return "a byte order mark"
		case c >= 0x80 && c < 0xa0 && unicode.IsControl(c):
			if _, ok := unmangle(s); !ok {
				return "a control character"
			}
		}
	}
	if _, ok := unmangle(s); ok {
		return "mojibake: UTF-8 was read as Latin-1 or Windows-1252"
	}
	if lone > 0 && pairs > 0 {
		return "two kinds of line ends"
	}
	return ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

// Mend returns a row whose texts have lost what can be undone without loss:
// mojibake, byte order marks, and one of two kinds of line ends.
func Mend(r Row) Row {
	out := maps.Clone(r)
	for _, c := range trained {
		if v, has := out[c]; has {
			out[c] = mend(v)
		}
	}
	return out
}

func mend(v any) any {
	switch v := v.(type) {
	case string:
		if garbledText(v) == "" {
			return v
		}
		if t, ok := unmangle(v); ok {
			v = t
		}
		return strings.ReplaceAll(strings.ReplaceAll(v, "\uFEFF", ""), "\r\n", "\n")
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = mend(x)
		}
		return out
	case map[string]any:
		out := maps.Clone(v)
		for k, x := range out {
			out[k] = mend(x)
		}
		return out
	}
	return v
}

// windows1252 holds what that encoding has in the places from 0x80 where
// Latin-1 has control characters.
var windows1252 = map[rune]byte{
	'€': 0x80, '‚': 0x82, 'ƒ': 0x83, '„': 0x84, '…': 0x85, '†': 0x86, '‡': 0x87, 'ˆ': 0x88, '‰': 0x89, 'Š': 0x8a, '‹': 0x8b, 'Œ': 0x8c, 'Ž': 0x8e,
	'‘': 0x91, '’': 0x92, '“': 0x93, '”': 0x94, '•': 0x95, '–': 0x96, '—': 0x97, '˜': 0x98, '™': 0x99, 'š': 0x9a, '›': 0x9b, 'œ': 0x9c, 'ž': 0x9e, 'Ÿ': 0x9f,
}

// unmangle undoes the reading of UTF-8 as Latin-1 or Windows-1252, stretch by
// stretch: letters that were right stay. ok says that something was undone.
func unmangle(s string) (string, bool) {
	var out strings.Builder
	undone := false
	for i := 0; i < len(s); {
		if t, n := mangled(s[i:]); n > 0 {
			out.WriteString(t)
			undone = true
			i += n
			continue
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		out.WriteString(s[i : i+w])
		i += w
	}
	return out.String(), undone
}

// mangled returns the character whose UTF-8 the first characters of s are, one
// for each byte, and their length in s.
func mangled(s string) (string, int) {
	var b []byte
	n := 0
	for _, c := range s {
		x, ok := windows1252[c]
		if !ok && (c < 0x80 || c > 0xff) {
			break
		}
		if !ok {
			x = byte(c)
		}
		b = append(b, x)
		n += utf8.RuneLen(c)
		if len(b) == 1 && !lead(x) {
			break
		}
		if r, w := utf8.DecodeRune(b); r != utf8.RuneError && w == len(b) && w > 1 {
			return string(r), n
		}
		if len(b) == 4 {
			break
		}
	}
	return "", 0
}

// lead says whether a byte begins the UTF-8 of what is often mangled: Latin,
// Greek and Cyrillic letters, signs, Han, emoji. Others, as the ß before a
// quotation mark, are more often right.
func lead(x byte) bool {
	return 0xc2 <= x && x <= 0xc5 || 0xce <= x && x <= 0xd1 || 0xe2 <= x && x <= 0xe9 || x == 0xf0
}
