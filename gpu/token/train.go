package token

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// A Trainer learns a byte-level BPE with GPT-2's pre-tokens. The same texts, in
// whatever order, give the same tokenizer.
type Trainer struct {
	// Vocab is the size wanted: special tokens, bytes and merges together. The
	// result is smaller where the texts run out of pairs.
	Vocab int
	// Specials get the first ids, in this order. Texts are cut at them.
	Specials []string
	// SeenBytes keeps only the bytes that occur in the texts, for very small
	// models. Encode then drops all others without a word.
	SeenBytes bool
}

// Train learns with all 256 bytes in the vocabulary, and returns a
// tokenizer.json.
func Train(texts iter.Seq[string], vocab int, specials []string) ([]byte, error) {
	return Trainer{Vocab: vocab, Specials: specials}.Train(texts)
}

// Train returns a tokenizer.json that this package and the tokenizers library
// load: ByteLevel on both sides, no post-processor.
func (o Trainer) Train(texts iter.Seq[string]) ([]byte, error) {
	specials, err := o.specials()
	if err != nil {
		return nil, err
	}
	counts := countWords(texts, specials)
	t := newTraining(o, counts)
	if len(t.tokens) > o.Vocab {
		return nil, fmt.Errorf("token: train: a vocabulary of %d is too small: special tokens and bytes take %d", o.Vocab, len(t.tokens))
	}
	t.countPairs()
	for len(t.tokens) < o.Vocab && t.step() {
	}
	return t.json(o.Specials)
}

func (o Trainer) specials() (matcher, error) {
	all := map[string]*added{}
	for i, s := range o.Specials {
		switch {
		case s == "":
			return matcher{}, errors.New("token: train: a special token is empty")
		case all[s] != nil:
			return matcher{}, fmt.Errorf("token: train: special token %q is given twice", s)
		case len([]rune(s)) == 1:
			return matcher{}, fmt.Errorf("token: train: special token %q is a single character: use one that text does not hold, such as <|end|>", s)
		}
		all[s] = &added{id: int32(i), content: s, special: true}
	}
	return newMatcher(all), nil
}

func countWords(texts iter.Seq[string], specials matcher) map[string]int {
	counts := map[string]int{}
	var e encoder
	count := splitBy(splitGPT2, func(_ *encoder, p piece) { counts[p.s]++ })
	for text := range texts {
		e.ids = e.ids[:0] // of the special tokens; nobody wants them
		specials.cut(&e, piece{s: text}, func(p piece) { count(&e, p) })
	}
	return counts
}

// A training is the state between two merges.
type training struct {
	tokens []string         // of each id, spelled
	ids    map[string]int32 // the reverse
	fixed  int32            // ids below are special
	merges [][2]int32

	words [][]int32 // each distinct pre-token, as ids
	times []int     // how often it occurs
	count map[[2]int32]int
	where map[[2]int32][]int32 // words that hold, or held, a pair
	queue pairQueue            // outdated entries stay until they come up
}

func newTraining(o Trainer, counts map[string]int) *training {
	t := &training{ids: map[string]int32{}, count: map[[2]int32]int{}, where: map[[2]int32][]int32{}}
	for _, s := range o.Specials {
		t.add(s)
	}
	t.fixed = int32(len(t.tokens))
	seen := [256]bool{}
	words := slices.Sorted(maps.Keys(counts))
	for _, w := range words {
		for i := range len(w) {
			seen[w[i]] = true
		}
	}
	var alphabet []rune
	for b, r := range byteRune {
		if seen[b] || !o.SeenBytes {
			alphabet = append(alphabet, r)
		}
	}
	slices.Sort(alphabet) // as the tokenizers library does
	for _, r := range alphabet {
		t.add(string(r))
	}
	for _, w := range words {
		ids := make([]int32, len(w))
		for i := range len(w) {
			ids[i] = t.ids[string(byteRune[w[i]])]
		}
		t.words = append(t.words, ids)
		t.times = append(t.times, counts[w])
	}
	return t
}

func (t *training) add(s string) int32 {
	id := int32(len(t.tokens))
	t.tokens = append(t.tokens, s)
	t.ids[s] = id
	return id
}

func (t *training) countPairs() {
	for w, ids := range t.words {
		for i := 1; i < len(ids); i++ {
			p := [2]int32{ids[i-1], ids[i]}
			t.count[p] += t.times[w]
			t.remember(p, w)
		}
	}
	for p, n := range t.count {
		t.queue = append(t.queue, counted{p, n})
	}
	heap.Init(&t.queue)
}

// remember notes that word w holds p; w never decreases while one pair is
// being merged or counted, so looking at the last entry is enough.
func (t *training) remember(p [2]int32, w int) {
	if l := t.where[p]; len(l) == 0 || l[len(l)-1] != int32(w) {
		t.where[p] = append(l, int32(w))
	}
}

// step merges the pair that occurs most often, of equals the one with the
// smallest ids. It returns false when no pair is left.
func (t *training) step() bool {
	for len(t.queue) > 0 {
		top := heap.Pop(&t.queue).(counted)
		if n := t.count[top.pair]; n != top.n {
			if n > 0 {
				heap.Push(&t.queue, counted{top.pair, n})
			}
			continue
		}
		whole := t.tokens[top.pair[0]] + t.tokens[top.pair[1]]
		id, ok := t.ids[whole]
		if ok && id < t.fixed {
			continue // spelled like a special token: text must never give that id
		}
		if !ok {
			id = t.add(whole)
		}
		t.merges = append(t.merges, top.pair)
		t.merge(top.pair, id)
		return true
	}
	return false
}

// merge replaces a pair in all words and brings the counts up to date.
func (t *training) merge(pair [2]int32, id int32) {
	words := t.where[pair]
	delete(t.where, pair)
	grown := map[[2]int32]bool{}
	for _, w := range words {
		old := t.words[w]
		ids := mergePair(old, pair, id)
		if len(ids) == len(old) {
			continue
		}
		for i := 1; i < len(old); i++ {
			t.count[[2]int32{old[i-1], old[i]}] -= t.times[w]
		}
		for i := 1; i < len(ids); i++ {
			p := [2]int32{ids[i-1], ids[i]}
			t.count[p] += t.times[w]
			if ids[i-1] == id || ids[i] == id {
				grown[p] = true
				t.remember(p, int(w))
			}
		}
		t.words[w] = ids
	}
	delete(t.count, pair)
	for p := range grown { // the order does not matter: equal entries are equal
		heap.Push(&t.queue, counted{p, t.count[p]})
	}
}

// mergePair returns ids with each pair replaced, from the left.
func mergePair(ids []int32, pair [2]int32, id int32) []int32 {
	out := make([]int32, 0, len(ids))
	for i := 0; i < len(ids); i++ {
		if i+1 < len(ids) && ids[i] == pair[0] && ids[i+1] == pair[1] {
			out = append(out, id)
			i++
		} else {
			out = append(out, ids[i])
		}
	}
	return out
}

type counted struct {
	pair [2]int32
	n    int
}

type pairQueue []counted

func (q pairQueue) Len() int      { return len(q) }
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q pairQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[j].n, q[i].n), slices.Compare(q[i].pair[:], q[j].pair[:])) < 0
}
func (q *pairQueue) Push(x any) { *q = append(*q, x.(counted)) }
func (q *pairQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// mergeLines are the merges as the file has them. The older form, which every
// version of the library reads.
func (t *training) mergeLines() []string {
	lines := make([]string, len(t.merges))
	for i, p := range t.merges {
		lines[i] = strings.Join([]string{t.tokens[p[0]], t.tokens[p[1]]}, " ")
	}
	return lines
}
