package dataset

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// cutWords finds completions whose last word is the beginning of a word that
// the rows know, and is a word of its own nowhere else: they were cut off. Of
// GSM8K's answers cut inside a word it finds a third (155 of 447) and accuses
// none wrongly; the others need the finish reason.
func cutWords(rows []Row) []Finding {
	seen := map[string]int{}
	last := make([]string, len(rows))
	for i, r := range rows {
		x := exchangeOf(r)
		words := append(wordsOf(x.prompt), wordsOf(x.completion)...)
		for _, w := range words {
			seen[w]++
		}
		if end, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(x.completion, unicode.IsSpace)); unicode.IsLetter(end) && len(words) >= fewWords {
			last[i] = words[len(words)-1]
		}
	}
	var known []string
	for w, n := range seen {
		if n > 1 {
			known = append(known, w)
		}
	}
	slices.Sort(known)
	var all []Finding
	for i, w := range last {
		if w == "" || seen[w] > 1 {
			continue
		}
		k, _ := slices.BinarySearch(known, w)
		if k < len(known) && strings.HasPrefix(known[k], w) {
			all = append(all, Found(i, Truncated, "its last word "+w+" is the beginning of "+known[k]))
		}
	}
	return all
}

// fewWords is less than what a sentence is judged by.
const fewWords = 5
