package token

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A decoder takes the list of tokens one step on to text.
type decoder func([]string) []string

// Decode returns the text of ids, special tokens included. Bytes that are no
// UTF-8 become U+FFFD; ids that there are not are left out.
func (t *Tokenizer) Decode(ids []int32) string { return t.join(ids, false) }

// DecodePlain is Decode without special tokens.
func (t *Tokenizer) DecodePlain(ids []int32) string { return t.join(ids, true) }

func (t *Tokenizer) join(ids []int32, plain bool) string {
	parts := make([]string, 0, len(ids))
	for _, id := range ids {
		s := t.TokenText(id)
		if s == "" || plain && t.special[id] {
			continue
		}
		if as, ok := t.spoken[id]; ok {
			s = as
		}
		parts = append(parts, s)
	}
	if t.decode == nil { // as the reference does without a decoder
		return strings.Join(parts, " ")
	}
	for _, d := range t.decode {
		parts = d(parts)
	}
	return strings.Join(parts, "")
}

// decodeBytes undoes the spelling of bytes, over token borders.
func decodeBytes(tokens []string) []string {
	var b strings.Builder
	for _, s := range tokens {
		if raw, ok := unspellBytes(s); ok {
			b.WriteString(raw)
		} else {
			b.WriteString(s)
		}
	}
	return []string{validUTF8(b.String())}
}

// decodeFallback joins runs of <0xNN>. A run that is no UTF-8 becomes one
// U+FFFD for each byte.
func decodeFallback(tokens []string) []string {
	var out []string
	var run []byte
	flush := func() {
		if utf8.Valid(run) {
			out = append(out, string(run))
		} else {
			out = append(out, strings.Repeat("\uFFFD", len(run)))
		}
		run = run[:0]
	}
	for _, s := range tokens {
		if b, ok := parseByte(s); ok {
			run = append(run, b)
			continue
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out
}

// parseByte reads <0xNN>.
func parseByte(s string) (byte, bool) {
	if len(s) != 6 || !strings.HasPrefix(s, "<0x") || s[5] != '>' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(n), err == nil
}

func decodeReplace(old, with string) decoder {
	return each(func(_ int, s string) string { return strings.ReplaceAll(s, old, with) })
}

// decodeStrip takes up to start marks from the front of each token and stop
// from its end.
func decodeStrip(mark string, start, stop int) decoder {
	return each(func(_ int, s string) string {
		for i := 0; i < start && strings.HasPrefix(s, mark); i++ {
			s = s[len(mark):]
		}
		for i := 0; i < stop && strings.HasSuffix(s, mark); i++ {
			s = s[:len(s)-len(mark)]
		}
		return s
	})
}

// decodeMetaspace makes marks spaces, and nothing in the first token if one
// was put before the text.
func decodeMetaspace(mark string, prefixed bool) decoder {
	return each(func(i int, s string) string {
		if i == 0 && prefixed {
			return strings.ReplaceAll(s, mark, "")
		}
		return strings.ReplaceAll(s, mark, " ")
	})
}

func each(f func(int, string) string) decoder {
	return func(tokens []string) []string {
		out := make([]string, len(tokens))
		for i, s := range tokens {
			out[i] = f(i, s)
		}
		return out
	}
}

func fuse(tokens []string) []string { return []string{strings.Join(tokens, "")} }

// validUTF8 replaces each longest prefix of a character that is cut short, and
// each other bad byte, with U+FFFD: Unicode's recommended practice, which is
// Rust's from_utf8_lossy. Package strings would make one of a whole run.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			n = badPrefix(s[i:])
		}
		b.WriteRune(r)
		i += n
	}
	return b.String()
}

// badPrefix returns the length of the longest start of s that could have
// begun a character, at least 1.
func badPrefix(s string) int {
	for n := min(3, len(s)); n > 1; n-- {
		if !utf8.FullRuneInString(s[:n]) { // wants more bytes: good so far
			return n
		}
	}
	return 1
}
