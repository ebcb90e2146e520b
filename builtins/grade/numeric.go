package grade

import (
	"context"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Numeric passes an answer whose number is the reference's.
//
// The number after the last "####" counts (GSM8K's convention), else the one
// in the last \boxed{}, else the one right after the last "answer is" or
// "answer:", else the last number of the text. Currency signs, thousands
// separators ("1,234.50", "1 234" with a no-break space, LaTeX's "1{,}234"),
// fractions ("3/4", "1 1/2", "½", "\frac{3}{4}"), exponents ("1e3",
// "1.2 \times 10^{3}") and "million" and its like are understood; a comma is
// never a decimal point, and a unit behind the number, a percent sign too, is
// read over. Numbers are compared as rationals, so 0.5 is 1/2 and no rounding
// decides.
type Numeric struct {
	Tolerance float64 // allowed difference as a share of the reference; 0: none
}

// Name implements Grader.
func (g Numeric) Name() string { return "numeric" }

// Version changes with the tolerance.
func (g Numeric) Version() string { return fmt.Sprintf("2 tolerance=%g", g.Tolerance) }

// Grade compares the numbers.
func (g Numeric) Grade(_ context.Context, it Item) (Score, error) {
	want, wantText := number(it.Want)
	if want == nil {
		return Score{Outcome: Unscored, Note: fmt.Sprintf("no number in the reference %q", clip(it.Want))}, nil
	}
	got, gotText := number(visible(it.Answer))
	if got == nil {
		return unparsable("no number"), nil
	}
	return verdict(g.near(got, want), fmt.Sprintf("got %s, want %s", gotText, wantText)), nil
}

func (g Numeric) near(got, want *big.Rat) bool {
	limit := new(big.Rat)
	if limit.SetFloat64(g.Tolerance) == nil { // not finite
		return false
	}
	limit.Mul(limit, new(big.Rat).Abs(want))
	diff := new(big.Rat).Sub(got, want)
	return diff.Abs(diff).Cmp(limit) <= 0
}

var (
	marked = regexp.MustCompile(`####\s*([^\n]*)`)
	boxed  = regexp.MustCompile(`\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}`)
	// The number must follow at once: "the answer is the sum of 2 and 40" names none.
	stated = regexp.MustCompile(`(?i)\banswer(?:\s+is|\s*[:=])\s*:?[\s*_$(\\]*([-+−]?[$€£¥]?[-+−]?[\d.½¼¾⅓⅔\\][^\n]*)`)
	frac   = regexp.MustCompile(`\\[dt]?frac\s*\{\s*(-?[0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}`)
	// A sign counts only where a number can begin: in "10-5" it is a minus or a
	// dash. Exponents are held to three digits: 1e999999999 would be gigabytes.
	numeral = regexp.MustCompile(`(?:[$€£¥] ?)?[-+−]?(?:[$€£¥] ?)?(?:(?:\d{1,3}(?:[,\x{00a0}\x{202f}\x{2009}]\d{3})+\b|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}\b)?`)
	ratio   = regexp.MustCompile(`^\s*/\s*(\d+)`)
	mixed   = regexp.MustCompile(`^\s+(\d+)\s*/\s*(\d+)`)
	power   = regexp.MustCompile(`^\s*(?:x|×|·|\*|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*\{?\s*([-−]?\d{1,3})\s*\}?`)
	// Spelt out only: "5 m" are metres.
	scale  = regexp.MustCompile(`^[\s-]*(hundred|thousand|million|billion|trillion)\b`)
	scales = map[string]int64{"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
	// latex is what LaTeX and typography write otherwise.
	latex = strings.NewReplacer(`{,}`, ",", `\,`, "\u2009", `\!`, "", `\$`, "$", `\%`, "%", `\left`, "", `\right`, "",
		"½", " 1/2", "¼", " 1/4", "¾", " 3/4", "⅓", " 1/3", "⅔", " 2/3", "－", "-", "‐", "-", "–", "-")
)

// number finds the number that an answer settles on, and its text; nil if none.
func number(s string) (*big.Rat, string) {
	s = latex.Replace(s)
	for _, place := range []*regexp.Regexp{marked, boxed, stated} {
		if all := place.FindAllStringSubmatch(s, -1); len(all) > 0 {
			return firstNumber(all[len(all)-1][1])
		}
	}
	var last *big.Rat
	var text string
	scanNumbers(s, func(r *big.Rat, t string) bool { last, text = r, t; return true })
	return last, text
}

func firstNumber(s string) (first *big.Rat, text string) {
	scanNumbers(s, func(r *big.Rat, t string) bool { first, text = r, t; return false })
	return first, text
}

// scanNumbers calls yield for each number of s until it returns false.
func scanNumbers(s string, yield func(*big.Rat, string) bool) {
	s = frac.ReplaceAllString(s, " $1/$2")
	for pos := 0; pos < len(s); {
		at := numeral.FindStringIndex(s[pos:])
		if at == nil {
			return
		}
		lo, hi := pos+at[0], pos+at[1]
		r := plain(s, lo, hi)
		hi += extend(r, s[hi:])
		pos = hi
		if !yield(r, s[lo:hi]) {
			return
		}
	}
}

var bare = strings.NewReplacer(",", "", "\u00a0", "", "\u202f", "", "\u2009", "", "−", "-", "$", "", "€", "", "£", "", "¥", "", " ", "")

// plain reads s[lo:hi], a match of numeral, without currency and separators.
func plain(s string, lo, hi int) *big.Rat {
	text := bare.Replace(s[lo:hi])
	if lo > 0 && wordByte(s[lo-1]) && (s[lo] == '-' || s[lo] == '+' || strings.HasPrefix(s[lo:], "−")) {
		text = strings.TrimLeft(text, "-+") // 10-5
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return new(big.Rat) // cannot be: numeral is narrower than SetString
	}
	return r
}

// extend turns r into r/d, r n/d, r·10ⁿ or r million if that is what follows,
// and returns the length of it.
func extend(r *big.Rat, rest string) int {
	if m := ratio.FindStringSubmatch(rest); m != nil {
		if d, ok := new(big.Rat).SetString(m[1]); ok && d.Sign() != 0 {
			r.Quo(r, d)
			return len(m[0])
		}
	}
	if m := mixed.FindStringSubmatch(rest); m != nil && r.IsInt() {
		if part, ok := new(big.Rat).SetString(m[1] + "/" + m[2]); ok && part.Cmp(big.NewRat(1, 1)) < 0 {
			if r.Sign() < 0 {
				part.Neg(part)
			}
			r.Add(r, part)
			return len(m[0])
		}
	}
	if m := power.FindStringSubmatch(rest); m != nil {
		if tens, ok := new(big.Rat).SetString("1e" + bare.Replace(m[1])); ok {
			r.Mul(r, tens)
			return len(m[0])
		}
	}
	if m := scale.FindStringSubmatch(rest); m != nil {
		r.Mul(r, new(big.Rat).SetInt64(scales[m[1]]))
		return len(m[0])
	}
	return 0
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == ')'
}
