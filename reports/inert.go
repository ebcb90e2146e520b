package reports

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// inert returns s with every character that could lie to the reader written
// out: control characters, bidirectional overrides, invisible characters and
// bytes that are no UTF-8. New lines and tabs stay; CRLF becomes LF. The whole
// page passes through it as the last thing before it is written, so that no
// text can be forgotten.
func inert(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !strings.ContainsFunc(s, deceptive) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "⟨%02X⟩", s[0])
		case !deceptive(r):
			b.WriteString(s[:n])
		case r < 0x20:
			b.WriteRune(0x2400 + r) // the control pictures: ␀ ␁ … ␛
		case r == 0x7f:
			b.WriteRune('␡')
		default:
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		}
		s = s[n:]
	}
	return b.String()
}

// deceptive reports whether r is invisible or changes how its neighbours are
// shown. The joiners U+200C and U+200D are not: Persian and emoji need them.
func deceptive(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
		return true
	case r == 0xad, r == 0x61c, r == 0x180e, r == 0x200b, r == 0x200e, r == 0x200f: // soft hyphen, marks, zero width space
		return true
	case r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f: // separators, embeddings, overrides, isolates
		return true
	case r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, r == utf8.RuneError:
		return true
	}
	return r >= 0xe0000 && r <= 0xe0fff // tags: text that no one sees
}

// excerpt is a text cut for the page: Head is shown, Rest opens on demand.
type excerpt struct {
	Head, Rest string
	Left       int // characters that the page leaves out
}

// How much of a text the page holds, in characters.
const (
	excerptHead = 180
	excerptAll  = 1500
)

// cut returns the excerpt of s.
func cut(s string) excerpt {
	rest := []rune(s)
	if len(rest) <= excerptHead+40 { // not worth a click
		return excerpt{Head: s}
	}
	e := excerpt{Head: string(rest[:excerptHead])}
	rest = rest[excerptHead:]
	if over := len(rest) - (excerptAll - excerptHead); over > 0 {
		e.Left, rest = over, rest[:len(rest)-over]
	}
	e.Rest = string(rest)
	return e
}
