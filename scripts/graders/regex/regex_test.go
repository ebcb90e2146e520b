package regex

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestGradeKnownPairs(t *testing.T) {
	tests := []struct {
		answer, want string
		score        float64
		note         string
	}{
		{"(dog).*(([A-Za-z]){3,}).*", "dog.*[A-Za-z]{3}.*", 1, ""},
		{"a|b", "[ab]", 1, ""},
		{"(a|b)*", "(a*b*)*", 1, ""},
		{"~(a&b)", "~(a)|~(b)", 1, ""},
		{"~(~(abc))", "abc", 1, ""},
		{"(.*a.*)&(.*b.*)", ".*a.*b.*|.*b.*a.*", 1, ""},
		{"a{2,4}", "aa(a(a)?)?", 1, ""},
		{"a{0}", "()", 1, ""},
		{"(a*){3,}", "a*", 1, ""},
		{"[^a-z]", "~([a-z])&.", 1, ""},
		{"~(.*)", "a&b", 1, ""},
		{"~a*", "(~(a))*", 1, ""}, // ~ binds tighter than *
		{"a|b&c", "a|(b&c)", 1, ""},
		{"ab&cd", "(ab)&(cd)", 1, ""},
		{`\b[0-9]{5,}\b`, "[0-9]{5,}", 1, ""},
		{`\b\b`, `\b`, 1, ""},
		{`\b`, "a&b", 1, ""},   // "" has no boundary, and one boundary is no string
		{`\B`, "()", 1, ""},    // "" has no boundary
		{`a\bb`, "a&b", 1, ""}, // there is none between letters
		{`a\b-`, "a-", 1, ""},
		{`(\b|a){2}`, "a|aa", 1, ""},
		{`(\b|-){3}-`, "----|---|--", 0, `rejects "--", the reference accepts it`},
		{`\d\w\s`, "[0-9][A-Za-z0-9_][ \t\n\f\r]", 1, ""},
		{`\.`, "[.]", 1, ""},
		{"[ä-ü]", "ö", 0, `accepts "ä", the reference does not`},
		{"dog", "dog.*", 0, `rejects "doge", the reference accepts it`},
		{"a{3,}", "a{2,}", 0, `rejects "aa", the reference accepts it`},
		{".*", "~(dog)", 0, `accepts "dog", the reference does not`},
		{"~(.*dog.*)", "~(.*dog)", 0, `rejects "doge", the reference accepts it`},
		{"", "a", 0, "unparsable: empty"},
		{"(a", "a", 0, "unparsable: ')' is missing at character 3"},
		{"a)", "a", 0, "unparsable: ')' without '(' at character 2"},
		{"*a", "a", 0, "unparsable: nothing to repeat before '*' at character 1"},
		{"a|", "a", 0, "unparsable: an expression is missing at character 3"},
		{"a&|b", "a", 0, "unparsable: an expression is missing at character 3"},
		{"[a", "a", 0, "unparsable: ']' is missing at character 3"},
		{"[]", "a", 0, "unparsable: an empty class at character 2"},
		{"[z-a]", "a", 0, "unparsable: a range that is the wrong way round at character 5"},
		{"a{", "a", 0, "unparsable: a number is missing at character 3"},
		{"a{3", "a", 0, "unparsable: '}' is missing at character 4"},
		{"a{3,2}", "a", 0, "unparsable: the bounds are the wrong way round at character 6"},
		{"a{999}", "a", 0, "unparsable: a repetition above 255 at character 6"},
		{`\q`, "a", 0, "unparsable: an unknown escape at character 2"},
		{`a\`, "a", 0, "unparsable: an unknown escape at character 3"},
		{"^a$", "a", 0, "unparsable: '^' is not needed: an expression matches whole strings at character 1"},
		{strings.Repeat("(", 200) + strings.Repeat(")", 200), "a", 0, "unparsable: more than 100 nested parentheses at character 102"},
		{strings.Repeat("a", 5000), "a", 0, "unparsable: longer than 4000 characters"},
		{"a", "(", 0, "undecided: the reference: an expression is missing at character 2"},
		{".*a.{14}", ".*a.{14}|.*a.{15}b&c", 1, ""},
		{"(.*a.{14})", ".*a.{14}|.*b.{14}", 0, "undecided: no difference within 4000 states"},
	}
	for _, test := range tests {
		score, note := Grade("", test.answer, test.want)
		if score != test.score || note != test.note {
			t.Errorf("Grade(%q, %q) = %v, %q; want %v, %q", test.answer, test.want, score, note, test.score, test.note)
		}
		back, _ := Grade("", test.want, test.answer)
		if back != score {
			t.Errorf("Grade(%q, %q) = %v the other way round", test.want, test.answer, back)
		}
	}
}

// randomExpr writes an expression that dk.brics and Go's regexp read alike,
// unless boolean, when it may use & and ~ too.
func randomExpr(r *rand.Rand, depth int, boolean bool) string {
	sub := func() string { return "(" + randomExpr(r, depth-1, boolean) + ")" }
	if depth == 0 {
		return []string{"a", "b", "-", ".", "[ab]", "[^a]", `\b`, `\B`, "ab", "()"}[r.IntN(10)]
	}
	n := 8
	if boolean {
		n = 11
	}
	switch r.IntN(n) {
	case 0:
		return sub() + "|" + sub()
	case 1, 2:
		return sub() + sub()
	case 3:
		return sub() + "*"
	case 4:
		return sub() + "+"
	case 5:
		return sub() + "?"
	case 6:
		return sub() + []string{"{2}", "{1,}", "{2,}", "{0,2}", "{1,3}"}[r.IntN(5)]
	case 7:
		return randomExpr(r, 0, boolean)
	case 8:
		return "~" + sub()
	}
	return sub() + "&" + sub()
}

// words lists all strings over a, b and - up to n characters.
func words(n int) []string {
	all, last := []string{""}, []string{""}
	for ; n > 0; n-- {
		var next []string
		for _, w := range last {
			next = append(next, w+"a", w+"b", w+"-")
		}
		all, last = append(all, next...), next
	}
	return all
}

func TestMatchesAgreesWithGoRegexp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := words(4)
	for range 400 {
		expr := randomExpr(r, 3, false)
		oracle := regexp.MustCompile("^(?s:" + expr + ")$")
		for _, w := range texts {
			got, err := Matches(expr, w)
			if err != nil {
				t.Fatalf("Matches(%q): %v", expr, err)
			}
			if want := oracle.MatchString(w); got != want {
				t.Fatalf("Matches(%q, %q) = %v, Go's regexp says %v", expr, w, got, want)
			}
		}
	}
}

// A verdict must agree with enumeration, and a distinguishing string must
// distinguish and be as short as enumeration says.
func TestGradeAgreesWithEnumeration(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	texts := words(4)
	equal := 0
	for range 1500 {
		x, y := randomExpr(r, 2, true), randomExpr(r, 2, true)
		score, note := Grade("", x, y)
		if strings.HasPrefix(note, "un") {
			t.Fatalf("Grade(%q, %q): %s", x, y, note)
		}
		shortest := -1
		for _, w := range texts {
			mx, _ := Matches(x, w)
			my, _ := Matches(y, w)
			if mx != my {
				shortest = len(w)
				break
			}
		}
		if score == 1 {
			equal++
			if shortest >= 0 {
				t.Fatalf("Grade(%q, %q) = 1, but a string of %d characters tells them apart", x, y, shortest)
			}
			continue
		}
		word := quoted(t, note)
		mx, _ := Matches(x, word)
		my, _ := Matches(y, word)
		if mx == my || mx != strings.HasPrefix(note, "accepts") {
			t.Fatalf("Grade(%q, %q): %s, but they match it %v and %v", x, y, note, mx, my)
		}
		if shortest >= 0 && len([]rune(word)) > shortest {
			t.Fatalf("Grade(%q, %q): %s is not shortest: %d", x, y, note, shortest)
		}
	}
	if equal < 50 {
		t.Errorf("only %d equal pairs: the test lost its teeth", equal)
	}
}

// quoted cuts the string out of a note.
func quoted(t *testing.T, note string) string {
	t.Helper()
	prefix, err := strconv.QuotedPrefix(note[strings.IndexByte(note, '"'):])
	if err != nil {
		t.Fatalf("note %q: %v", note, err)
	}
	word, _ := strconv.Unquote(prefix)
	return word
}
