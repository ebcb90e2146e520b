package token

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalForm rewrites segment by segment, so that a token in a changed segment
// has the span of all of it.
func normalForm(f norm.Form) func(*encoder, piece) piece {
	return func(e *encoder, p piece) piece {
		if f.IsNormalString(p.s) {
			return p
		}
		r := e.rewrite(p)
		for r.i < len(p.s) {
			from, to := pile(p.s, r.i)
			normalizeTo(r, f, from)
			if from < to {
				r.put(normalizePile(f, p.s[from:to]), to-from)
			}
		}
		return r.done()
	}
}

// normalizeTo rewrites up to the byte end.
func normalizeTo(r *rewriter, f norm.Form, end int) {
	var it norm.Iter
	start := r.i
	it.InitString(f, r.p.s[start:end])
	for !it.Done() {
		seg := string(it.Next())
		at := start + it.Pos()
		if seg == r.p.s[r.i:at] {
			r.keep(len(seg))
		} else {
			r.put(seg, at-r.i)
		}
	}
}

// A pile of so many combining marks makes package norm insert U+034F after
// every thirty ("stream-safe"), which no tokenizer was trained on.
const pileMarks = 10 // a mark may decompose into three

// pile finds the next pile at or after byte i, with the character it stands
// on; both ends are len(s) if there is none.
func pile(s string, i int) (from, to int) {
	marks, base := 0, i
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r >= 0x300 && norm.NFD.PropertiesString(s[i:]).CCC() > 0:
			marks++
		case marks > pileMarks:
			return base, i
		default:
			marks, base = 0, i
			if r == utf8.RuneError {
				base = i + n // a bad byte is no base: it must stay as it is
			}
		}
		i += n
	}
	if marks > pileMarks {
		return base, i
	}
	return len(s), len(s)
}

// normalizePile is normalization as Unicode defines it, for a base and its
// marks: decompose, order by class, compose with the base.
func normalizePile(f norm.Form, s string) string {
	whole, compose := norm.NFD, f == norm.NFC || f == norm.NFKC
	if f == norm.NFKC || f == norm.NFKD {
		whole = norm.NFKD
	}
	var runes []rune
	for _, r := range s {
		runes = append(runes, []rune(whole.String(string(r)))...)
	}
	class := func(r rune) uint8 { return norm.NFD.PropertiesString(string(r)).CCC() }
	for i := 0; i < len(runes); { // marks move among themselves, never over a base
		if class(runes[i]) == 0 {
			i++
			continue
		}
		k := i
		for k < len(runes) && class(runes[k]) > 0 {
			k++
		}
		slices.SortStableFunc(runes[i:k], func(a, b rune) int { return int(class(a)) - int(class(b)) })
		i = k
	}
	if compose {
		runes = composeMarks(runes, class)
	}
	return string(runes)
}

func composeMarks(runes []rune, class func(rune) uint8) []rune {
	out := runes[:0:0]
	base, last := -1, uint8(0) // the base's place in out; the class after it
	for _, r := range runes {
		c := class(r)
		blocked := base < 0 || base < len(out)-1 && last >= c
		if !blocked {
			both := norm.NFC.String(string([]rune{out[base], r}))
			if one, n := utf8.DecodeRuneInString(both); n == len(both) {
				out[base] = one
				continue
			}
		}
		if c == 0 {
			base = len(out)
		}
		out, last = append(out, r), c
	}
	return out
}
