package dataset

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// language says that the completion is in another language than the prompt:
// another script, or among those of Latin script other small words.
func (x exchange) language() string {
	asked, answered := scriptOf(x.prompt), scriptOf(x.completion)
	if asked == "Latin" && answered == "Latin" {
		asked, answered = latin(x.prompt), latin(x.completion)
	}
	if asked == "" || answered == "" || asked == answered {
		return ""
	}
	return asked + ", answered in " + answered
}

var scripts = []struct {
	name  string
	table *unicode.RangeTable
}{
	{"Latin", unicode.Latin},
	{"Cyrillic", unicode.Cyrillic},
	{"Han", unicode.Han},
	{"Arabic", unicode.Arabic},
	{"Greek", unicode.Greek},
	{"Hebrew", unicode.Hebrew},
	{"Devanagari", unicode.Devanagari},
	{"Hangul", unicode.Hangul},
	{"Japanese", unicode.Hiragana},
	{"Thai", unicode.Thai},
}

// smallWords are frequent in one language of Latin script and rare in the others.
var smallWords = map[string]string{
	"English":    "the and of to is that how she he with for what many are this if each has his her does there it they by from",
	"German":     "der die und das ist nicht ein eine wie mit für sie auf den werden zu im von sich auch dann viel wird aus bei",
	"French":     "le les et est une des dans pour que qui vous du pas avec sur il au sont elle combien nous ce mais puis",
	"Spanish":    "el los las es una por con para del que cuántos como más tiene y en luego cada hay su lo si al son pero",
	"Italian":    "il che di è una per con gli della sono non nel più come quanti ha si del al quante poi anche ogni",
	"Portuguese": "o os uma não do da em para com que são você mais quantos ele tem por cada seu se dos foi depois",
	"Dutch":      "het een van niet dat zijn op met voor hoeveel wordt deze ook aan hij de en wat te hoe maar er dan naar bij",
}

// sample is how many bytes of a text tell its language.
const sample = 2000

// scriptOf names the script of a text; "" if it is too short or mixed to tell.
func scriptOf(text string) string {
	text = text[:min(len(text), sample)]
	counts, letters := make([]int, len(scripts)), 0
	for _, c := range text {
		if c < 0x80 {
			if 'a' <= c|0x20 && c|0x20 <= 'z' {
				counts[0]++
				letters++
			}
			continue
		}
		if !unicode.IsLetter(c) {
			continue
		}
		letters++
		for i, s := range scripts {
			if unicode.Is(s.table, c) {
				counts[i]++
				break
			}
		}
	}
	most := slices.Index(counts, slices.Max(counts))
	switch {
	case counts[8] > 0 && counts[8] > letters/10:
		return "Japanese" // kana among Han
	case letters < 20 || counts[most] < letters*2/3:
		return ""
	}
	return scripts[most].name
}

// latin tells languages of Latin script apart by their small words; "" if there
// are too few.
func latin(text string) string {
	n := map[string]int{}
	for _, w := range wordsOf(text[:min(len(text), sample)]) {
		for _, l := range languagesOf[w] {
			n[l]++
		}
	}
	type guess struct {
		name string
		n    int
	}
	var order []guess
	for name, k := range n {
		order = append(order, guess{name, k})
	}
	slices.SortFunc(order, func(a, b guess) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.name, b.name)) })
	if len(order) == 0 || order[0].n < 3 || len(order) > 1 && order[0].n < 2*order[1].n {
		return ""
	}
	return order[0].name
}

// languagesOf is smallWords the other way round.
var languagesOf = func() map[string][]string {
	out := map[string][]string{}
	for l, words := range smallWords {
		for w := range strings.FieldsSeq(words) {
			out[w] = append(out[w], l)
		}
	}
	return out
}()
