package token

import (
	"fmt"
	"unicode/utf8"
)

// A bpe merges neighbouring symbols of a word, the earliest learnt pair first,
// until no pair is left that it knows.
type bpe struct {
	vocab        map[string]int32 // as the file spells it
	symbols      map[string]int32 // as text has it: raw bytes where the file has Ġ and its kin
	runes        runeTable        // the symbols of one character
	merges       pairs
	bytes        [256]int32 // byte-level: the byte's token; byte fallback: <0xNN>; -1: none
	byteLevel    bool
	byteFallback bool
	ignoreMerges bool  // a word that is a token is that token
	unk          int32 // for what has no token, -1: it is dropped
	fuseUnk      bool  // neighbouring unknowns are one token
}

// A symbol is a token or a piece of one to be: n bytes of the word from at on.
type symbol struct{ id, at, n int32 }

// scratch is the memory of one encoder.
type scratch struct {
	syms  []symbol
	pairs []merge
	prev  []int32
	next  []int32
	heap  []candidate
}

// encode returns the tokens of a word. They are overwritten by the next call.
func (m *bpe) encode(word string, w *scratch) []symbol {
	if m.ignoreMerges {
		if id, ok := m.symbols[word]; ok {
			w.syms = append(w.syms[:0], symbol{id, 0, int32(len(word))})
			return w.syms
		}
	}
	if m.byteLevel {
		m.startBytes(word, w)
	} else {
		m.startRunes(word, w)
	}
	if len(w.syms) <= 32 { // below, looking at all pairs again is faster than a heap
		m.mergeShort(w)
	} else {
		m.mergeLong(w)
	}
	return w.syms
}

func (m *bpe) startBytes(word string, w *scratch) {
	w.syms = w.syms[:0]
	for i := range len(word) {
		m.start(w, m.bytes[word[i]], i, 1)
	}
}

func (m *bpe) startRunes(word string, w *scratch) {
	w.syms = w.syms[:0]
	for i, n := 0, 0; i < len(word); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(word[i:])
		if id := m.runes.id(r, n); id >= 0 {
			m.start(w, id, i, n)
		} else if m.byteFallback && m.haveBytes(word[i:i+n]) {
			for k := i; k < i+n; k++ {
				m.start(w, m.bytes[word[k]], k, 1)
			}
		} else {
			m.start(w, -1, i, n)
		}
	}
}

func (m *bpe) haveBytes(s string) bool {
	for i := range len(s) {
		if m.bytes[s[i]] < 0 {
			return false
		}
	}
	return true
}

// start appends the first symbol of n bytes at i, id -1 if there is none.
func (m *bpe) start(w *scratch, id int32, i, n int) {
	if id < 0 {
		if m.unk < 0 {
			return
		}
		if last := len(w.syms) - 1; m.fuseUnk && last >= 0 && w.syms[last].id == m.unk {
			w.syms[last].n += int32(n)
			return
		}
		id = m.unk
	}
	w.syms = append(w.syms, symbol{id, int32(i), int32(n)})
}

// mergeShort keeps the merge of each symbol with the next one, and looks up
// again only what a merge has changed.
func (m *bpe) mergeShort(w *scratch) {
	s, next := w.syms, w.pairs[:0]
	for i := range len(s) - 1 {
		next = append(next, m.mergeOf(s[i].id, s[i+1].id))
	}
	for {
		at := -1
		for i := range next {
			if next[i].rank >= 0 && (at < 0 || next[i].rank < next[at].rank) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		s[at].id = next[at].id
		s[at].n += s[at+1].n
		s = append(s[:at+1], s[at+2:]...)
		next = append(next[:at], next[at+1:]...)
		if at > 0 {
			next[at-1] = m.mergeOf(s[at-1].id, s[at].id)
		}
		if at < len(next) {
			next[at] = m.mergeOf(s[at].id, s[at+1].id)
		}
	}
	w.syms, w.pairs = s, next
}

// mergeOf is what two symbols become; its rank is negative if they do not merge.
func (m *bpe) mergeOf(a, b int32) merge {
	if g, ok := m.merges.get(a, b); ok {
		return g
	}
	return merge{rank: -1}
}

// A runeTable finds the token that is one character.
type runeTable struct {
	low  []int32 // up to U+FFFF; -1: none
	high map[rune]int32
}

func newRuneTable(symbols map[string]int32) runeTable {
	t := runeTable{low: make([]int32, 1<<16), high: map[rune]int32{}}
	for i := range t.low {
		t.low[i] = -1
	}
	for s, id := range symbols {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case n != len(s) || r == utf8.RuneError && n < 2:
		case r < 1<<16:
			t.low[r] = id
		default:
			t.high[r] = id
		}
	}
	return t
}

// id returns the token of a character of n bytes, -1 if there is none: a byte
// that is no UTF-8 is no character.
func (t *runeTable) id(r rune, n int) int32 {
	if r == utf8.RuneError && n < 2 {
		return -1
	}
	if r < 1<<16 {
		return t.low[r]
	}
	if id, ok := t.high[r]; ok {
		return id
	}
	return -1
}

// A candidate is a pair that could be merged: symbols l and r, as they were
// when it was found.
type candidate struct {
	merge
	l, r     int32
	lid, rid int32
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.l < d.l
}

// mergeLong keeps the symbols as a linked list and the pairs in a heap, in
// which outdated ones stay until they come up.
func (m *bpe) mergeLong(w *scratch) {
	s, n := w.syms, int32(len(w.syms))
	w.prev, w.next, w.heap = w.prev[:0], w.next[:0], w.heap[:0]
	for i := range n {
		w.prev, w.next = append(w.prev, i-1), append(w.next, i+1)
	}
	for i := range n - 1 {
		m.consider(w, i, i+1)
	}
	for len(w.heap) > 0 {
		c := w.pop()
		if s[c.l].id != c.lid || s[c.r].id != c.rid || w.next[c.l] != c.r {
			continue
		}
		s[c.l].id = c.id
		s[c.l].n += s[c.r].n
		s[c.r].id = -1
		w.next[c.l] = w.next[c.r]
		if r := w.next[c.l]; r < n {
			w.prev[r] = c.l
			m.consider(w, c.l, r)
		}
		if l := w.prev[c.l]; l >= 0 {
			m.consider(w, l, c.l)
		}
	}
	k := 0
	for i := int32(0); i < n; i = w.next[i] {
		s[k] = s[i]
		k++
	}
	w.syms = s[:k]
}

func (m *bpe) consider(w *scratch, l, r int32) {
	a, b := w.syms[l].id, w.syms[r].id
	if g, ok := m.merges.get(a, b); ok {
		w.push(candidate{g, l, r, a, b})
	}
}

func (w *scratch) push(c candidate) {
	h := append(w.heap, c)
	i := len(h) - 1
	for i > 0 && c.before(h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = c
	w.heap = h
}

func (w *scratch) pop() candidate {
	h := w.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for {
		k := 2*i + 1
		if k+1 < len(h) && h[k+1].before(h[k]) {
			k++
		}
		if k >= len(h) || !h[k].before(last) {
			break
		}
		h[i] = h[k]
		i = k
	}
	if len(h) > 0 {
		h[i] = last
	}
	w.heap = h
	return top
}

// addMerges learns the pairs in the order of their rank. As in the reference,
// a pair that is given twice has the later rank.
func (m *bpe) addMerges(pairs [][2]string) error {
	m.merges = newPairs(len(pairs))
	for rank, p := range pairs {
		a, okA := m.vocab[p[0]]
		b, okB := m.vocab[p[1]]
		id, ok := m.vocab[p[0]+p[1]]
		if !okA || !okB || !ok {
			return fmt.Errorf("merge %d, %q and %q: a part or the whole is not in the vocabulary", rank, p[0], p[1])
		}
		m.merges.put(a, b, merge{int32(rank), id})
	}
	return nil
}
