package token

import "math/bits"

// A merge is what two neighbouring symbols become, and how early it was learnt.
type merge struct{ rank, id int32 }

// pairs holds the merges by their two symbols: a hash table with open
// addresses, as looking pairs up is most of the work and costs one miss of the
// cache here, and several in a map.
type pairs struct {
	slots []slot
	shift uint // of a hash, to its slot
}

type slot struct {
	key uint64 // left id << 32 | right id, and 1 more: 0 is an empty slot
	merge
}

// newPairs has room for n pairs.
func newPairs(n int) pairs {
	size := bits.Len(uint(2 * n))
	return pairs{make([]slot, 1<<size), uint(64 - size)}
}

func keyOf(a, b int32) uint64 { return (uint64(uint32(a))<<32 | uint64(uint32(b))) + 1 }

// find returns the slot of a key, or the empty one where it belongs.
func (p *pairs) find(key uint64) *slot {
	for i := key * 0x9e3779b97f4a7c15 >> p.shift; ; i = (i + 1) & uint64(len(p.slots)-1) { // Fibonacci hashing
		if s := &p.slots[i]; s.key == key || s.key == 0 {
			return s
		}
	}
}

func (p *pairs) put(a, b int32, m merge) {
	key := keyOf(a, b)
	*p.find(key) = slot{key, m}
}

func (p *pairs) get(a, b int32) (merge, bool) {
	s := p.find(keyOf(a, b))
	return s.merge, s.key != 0
}
