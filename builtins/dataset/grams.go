package dataset

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordsOf splits text into its words: stretches of letters and digits, in lower
// case. Two texts with equal words say the same.
func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)))
	})
}

// hash is FNV-1a's, the same on every machine: what is found near must not
// depend on the process.
func hash(word string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	return h
}

// grams returns a hash of every n words in a row. Fewer words than n are one gram.
func grams(words []string, n int) []uint64 {
	if len(words) == 0 {
		return nil
	}
	n = min(n, len(words))
	each := make([]uint64, len(words))
	for i, w := range words {
		each[i] = hash(w)
	}
	out := make([]uint64, 0, len(words)-n+1)
	for i := 0; i+n <= len(words); i++ {
		h := uint64(n)
		for _, w := range each[i : i+n] {
			h = (h ^ w) * 0x9e3779b97f4a7c15
			h ^= h >> 29
		}
		out = append(out, h)
	}
	return out
}

// set returns the grams sorted, each once, in 32 bits: enough to compare two texts.
func set(grams []uint64) []uint32 {
	s := make([]uint32, len(grams))
	for i, g := range grams {
		s[i] = uint32(g ^ g>>32)
	}
	slices.Sort(s)
	return slices.Compact(s)
}

// jaccard is the share of the grams of two sorted sets that both hold.
func jaccard(a, b []uint32) float64 {
	both := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			both, i, j = both+1, i+1, j+1
		}
	}
	if both == 0 {
		return 0
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
