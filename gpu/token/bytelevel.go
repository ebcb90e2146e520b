package token

// Byte-level files spell each byte as a printable character: itself where it
// is one in Latin-1, the next free one from U+0100 on otherwise.
var (
	byteRune [256]rune
	runeByte = map[rune]byte{}
)

func init() {
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			r = next
			next++
		}
		byteRune[b] = r
		runeByte[r] = byte(b)
	}
}

// unspellBytes returns the bytes that a file spells as s; ok is false where s
// is no such spelling.
func unspellBytes(s string) (b string, ok bool) {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		c, ok := runeByte[r]
		if !ok {
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}
