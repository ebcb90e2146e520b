package dataset

import (
	"math"
	"slices"
)

// MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998):
// two texts whose sets of n-grams have the similarity j share one of the bands
// with a probability of 1-(1-j^rows)^bands: 99.99999 % at 0.8, 99.98 % at 0.7.
// Only texts that share a band are compared, exactly.
const (
	nearGram = 5 // words
	bands    = 32
	bandRows = 4
)

// Near finds, among the texts that were added to it, those that nearly equal
// another one.
type Near struct {
	threshold float64
	sets      [][]uint32
	last      [bands]map[uint32]int32 // by key: the last text added that has it
	before    [][bands]int32          // of each text: the one before it with the same key, or -1
}

// NearText is a text of a Near, and how much of the n-grams of both are common.
type NearText struct {
	N       int // in the order of Add, from 0
	Jaccard float64
}

// NewNear returns an empty Near. Texts are near if their sets of five-word
// stretches have at least this Jaccard similarity.
func NewNear(threshold float64) *Near {
	n := &Near{threshold: threshold}
	for b := range n.last {
		n.last[b] = map[uint32]int32{}
	}
	return n
}

// Add adds a text. One without words is near to none.
func (n *Near) Add(text string) { n.add(wordsOf(text)) }

func (n *Near) add(words []string) { n.addSet(set(grams(words, nearGram))) }

func (n *Near) addSet(s []uint32) {
	i := int32(len(n.sets))
	n.sets = append(n.sets, s)
	n.before = append(n.before, [bands]int32{})
	if len(s) == 0 {
		return
	}
	for b, key := range bandKeys(s) {
		n.before[i][b] = -1
		if last, ok := n.last[b][key]; ok {
			n.before[i][b] = last
		}
		n.last[b][key] = i
	}
}

// Find returns the texts that are near to text, in the order of Add.
func (n *Near) Find(text string) []NearText { return n.find(wordsOf(text)) }

func (n *Near) find(words []string) []NearText { return n.findSet(set(grams(words, nearGram))) }

func (n *Near) findSet(s []uint32) []NearText {
	if len(s) == 0 {
		return nil
	}
	var candidates []int32
	for b, key := range bandKeys(s) {
		if i, ok := n.last[b][key]; ok {
			for ; i >= 0; i = n.before[i][b] {
				candidates = append(candidates, i)
			}
		}
	}
	slices.Sort(candidates)
	var out []NearText
	for _, c := range slices.Compact(candidates) {
		if j := jaccard(s, n.sets[c]); j >= n.threshold {
			out = append(out, NearText{int(c), j})
		}
	}
	return out
}

// bandKeys are the least values of the set under bands·bandRows hashes, bandRows
// of them to a key. Two keys may meet in 32 bits: the texts are compared anyway.
func bandKeys(set []uint32) (keys [bands]uint32) {
	var least [bands * bandRows]uint64
	for i := range least {
		least[i] = math.MaxUint64
	}
	for _, g := range set {
		for i := range least {
			// An odd multiplier of its own and a shift make each a hash of its own.
			h := (uint64(g) ^ multipliers[i]) * multipliers[i]
			h ^= h >> 32
			least[i] = min(least[i], h)
		}
	}
	for b := range keys {
		key := uint64(b)
		for _, l := range least[b*bandRows : (b+1)*bandRows] {
			key = (key ^ l) * 0x9e3779b97f4a7c15
			key ^= key >> 29
		}
		keys[b] = uint32(key>>32) ^ uint32(key)
	}
	return keys
}

// multipliers are odd numbers of SplitMix64, from 1.
var multipliers = func() (m [bands * bandRows]uint64) {
	state := uint64(1)
	for i := range m {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		m[i] = (z ^ z>>31) | 1
	}
	return m
}()
