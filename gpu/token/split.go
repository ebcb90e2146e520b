package token

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A splitter returns the length in bytes of the first pre-token of s, which is
// not empty. The patterns end in `\s+(?!\S)`, which package regexp cannot
// express, so each is a scanner here; all of them cover every character.
type splitter func(s string) int

const (
	contractions = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	spaces       = `\s*[\r\n]+|\s+(?!\S)|\s+`
	lower        = `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
	upper        = `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
	lead         = `[^\r\n\p{L}\p{N}]?`
)

// splitters are the patterns met in the wild, by their text.
var splitters = map[string]splitter{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                                                                   splitGPT2,
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                                                                      splitGPT2,
	contractions + `|` + lead + `\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|` + spaces:                                                                            cl100k{digits: 3}.split, // Llama 3
	contractions + `|` + lead + `\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|` + spaces:                                                                                 cl100k{digits: 1}.split, // Qwen 2 to 3
	contractions + `|` + lead + `[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|` + spaces:                                                                     cl100k{digits: 1, marks: true}.split,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:                                                cl100k{digits: 3}.split,
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`:                                        cl100k{digits: -1, end: true}.split, // tiktoken's own; Oniguruma reads {1,3}+ as any number
	lead + upper + `*` + lower + `+` + contractions + `?|` + lead + upper + `+` + lower + `*` + contractions + `?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + spaces: o200k{digits: 3, contract: true}.split,
	lead + upper + `*` + lower + `+|` + lead + upper + `+` + lower + `*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + spaces:                                                o200k{digits: 1}.split, // Mistral's Tekken
}

func splitGPT2(s string) int {
	if s[0] == '\'' {
		if n := contraction(s, false); n > 0 {
			return n
		}
	}
	i := 0
	if s[0] == ' ' {
		i = 1
	}
	for _, is := range [...]func(rune) bool{isLetter, isNumber, isOther} {
		if e := run(s, i, is, -1); e > i {
			return e
		}
	}
	return splitSpace(s)
}

// cl100k is GPT-4's pattern and its relatives.
type cl100k struct {
	digits int  // longest run of digits
	marks  bool // combining marks belong to words
	end    bool // white space at the end of the text goes before line ends
}

func (p cl100k) word(r rune) bool { return isLetter(r) || p.marks && unicode.IsMark(r) }

func (p cl100k) split(s string) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	r, w := utf8.DecodeRuneInString(s)
	if isLead(r) {
		if e := run(s, w, p.word, -1); e > w {
			return e
		}
	}
	if p.word(r) {
		return run(s, w, p.word, -1)
	}
	if isNumber(r) {
		return run(s, 0, isNumber, p.digits)
	}
	other := isOther
	if p.marks {
		other = func(r rune) bool { return isOther(r) && !unicode.IsMark(r) }
	}
	if n := splitOther(s, other, "\r\n"); n > 0 {
		return n
	}
	if p.end && run(s, 0, unicode.IsSpace, -1) == len(s) {
		return len(s)
	}
	return splitLines(s)
}

// o200k is GPT-4o's pattern: words are also cut where small letters end.
type o200k struct {
	digits   int
	contract bool // 's and its kin stay with their word
}

func (p o200k) split(s string) int {
	r, w := utf8.DecodeRuneInString(s)
	starts := [2]int{w, 0} // with a leading character first, then without
	for _, words := range [...]func(string, int) int{lowerWord, upperWord} {
		for _, i := range starts {
			if i > 0 && !isLead(r) {
				continue
			}
			if e := words(s, i); e > i {
				if p.contract {
					e += contraction(s[e:], true)
				}
				return e
			}
		}
	}
	if isNumber(r) {
		return run(s, 0, isNumber, p.digits)
	}
	if n := splitOther(s, isOther, "\r\n/"); n > 0 {
		return n
	}
	return splitLines(s)
}

// lowerWord matches upper*lower+ at i. The classes share letters without case
// and marks, so upper* may have to give some back.
func lowerWord(s string, i int) int {
	for e := run(s, i, isUpper, -1); ; {
		if f := run(s, e, isLower, -1); f > e {
			return f
		}
		if e <= i {
			return i
		}
		_, w := utf8.DecodeLastRuneInString(s[i:e])
		e -= w
	}
}

// upperWord matches upper+lower* at i.
func upperWord(s string, i int) int {
	e := run(s, i, isUpper, -1)
	if e == i {
		return i
	}
	return run(s, e, isLower, -1)
}

// splitOther matches ` ?other+[trail]*`, or nothing.
func splitOther(s string, other func(rune) bool, trail string) int {
	i := 0
	if s[0] == ' ' {
		i = 1
	}
	e := run(s, i, other, -1)
	if e == i {
		return 0
	}
	for e < len(s) && strings.IndexByte(trail, s[e]) >= 0 {
		e++
	}
	return e
}

// splitLines matches `\s*[\r\n]+|\s+(?!\S)|\s+`.
func splitLines(s string) int {
	e := run(s, 0, unicode.IsSpace, -1)
	if i := strings.LastIndexAny(s[:e], "\r\n"); i >= 0 {
		return i + 1
	}
	return splitSpace(s)
}

// splitSpace matches `\s+(?!\S)|\s+`: a run of white space leaves its last
// character to the word that follows, unless it is the only one.
func splitSpace(s string) int {
	e := run(s, 0, unicode.IsSpace, -1)
	if e < len(s) {
		if _, w := utf8.DecodeLastRuneInString(s[:e]); e > w {
			return e - w
		}
	}
	return e
}

// contraction returns the length of a leading 's 't 'm 'd 're 've 'll, or 0.
func contraction(s string, fold bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	if fold && strings.HasPrefix(s[1:], "ſ") { // folds to s
		return 3
	}
	for _, c := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
		if n := 1 + len(c); len(s) >= n && (s[1:n] == c || fold && strings.EqualFold(s[1:n], c)) {
			return n
		}
	}
	return 0
}

// run returns where the run of runes of a kind that begins at i ends, after at
// most n of them (-1: any number).
func run(s string, i int, is func(rune) bool, n int) int {
	for ; i < len(s) && n != 0; n-- {
		r, w := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, w = utf8.DecodeRuneInString(s[i:])
		}
		if !is(r) {
			break
		}
		i += w
	}
	return i
}

func isLetter(r rune) bool {
	if r < utf8.RuneSelf {
		return r|0x20 >= 'a' && r|0x20 <= 'z'
	}
	return unicode.IsLetter(r)
}

func isNumber(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '0' && r <= '9'
	}
	return unicode.IsNumber(r)
}

// isOther is [^\s\p{L}\p{N}].
func isOther(r rune) bool { return !isLetter(r) && !isNumber(r) && !unicode.IsSpace(r) }

// isLead is [^\r\n\p{L}\p{N}].
func isLead(r rune) bool { return r != '\r' && r != '\n' && !isLetter(r) && !isNumber(r) }

func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'A' && r <= 'Z'
	}
	return unicode.In(r, unicode.Lu, unicode.Lt, unicode.Lm, unicode.Lo, unicode.M)
}

func isLower(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z'
	}
	return unicode.In(r, unicode.Ll, unicode.Lm, unicode.Lo, unicode.M)
}

// splitDigits cuts between digits and the rest, and between digits too if each
// is to be alone.
func splitDigits(alone bool) splitter {
	n := -1
	if alone {
		n = 1
	}
	return func(s string) int {
		if e := run(s, 0, isNumber, n); e > 0 {
			return e
		}
		return run(s, 0, func(r rune) bool { return !isNumber(r) }, -1)
	}
}

// cutAfter returns where the first mark ends.
func cutAfter(s, mark string) int {
	if i := strings.Index(s, mark); i >= 0 {
		return i + len(mark)
	}
	return len(s)
}

// cutBefore returns where the first mark begins that s does not begin with.
func cutBefore(s, mark string) int {
	skip := 0
	if strings.HasPrefix(s, mark) {
		skip = len(mark)
	}
	if i := strings.Index(s[skip:], mark); i >= 0 {
		return skip + i
	}
	return len(s)
}
