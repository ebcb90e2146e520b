package gpu

import (
	"math"
	"math/bits"
	"slices"
	"sync"
)

// Sampling says how a token is drawn from logits. A token's probability is a whole
// number of units, computed in steps of float64 that IEEE 754 defines, and whole
// numbers may be added in any order: so equal logits and equal random bits give the
// same token on every device.
type Sampling struct {
	Temperature float64 // logits are divided by it; above 0
	TopK        int     // draw from so many of the largest logits, of equals the first; 0: from all
	TopP        float64 // of these, from the fewest that have this share of the probability; 0 or 1: from all
}

const (
	weightBits = 43      // the largest logit weighs 2⁴³ units; what weighs less than one is never drawn
	mostWords  = 1 << 20 // so that all weights together fit into 64 bits
)

// Weight returns how much a logit weighs beside the largest one, in units.
func (s Sampling) Weight(logit, top float32) uint64 {
	const log2e, ln2Hi, ln2Lo = 1.44269504088896338700e+00, 6.93147180369123816490e-01, 1.90821492927058770002e-10
	const whole = 3 << 51 // added, it rounds to a whole number
	x := (float64(logit) - float64(top)) / s.Temperature
	if !(x >= -30) { // or not a number
		return 0
	}
	n := math.FMA(x, log2e, whole) - whole
	r := math.FMA(-n, ln2Lo, math.FMA(-n, ln2Hi, x))
	p := 1. / 39916800
	for _, c := range [...]float64{1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 0.5, 1, 1} {
		p = math.FMA(p, r, c) // Taylor's series of e^r, |r| ≤ ln(2)/2
	}
	return uint64(p * math.Float64frombits(uint64(1023+weightBits+int64(n))<<52))
}

// Draw returns the token that 64 random bits choose; 0 if no logit is finite.
func (s Sampling) Draw(logits []float32, random uint64) int {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	r.weigh(s, logits)
	left, _ := bits.Mul64(random, r.atLeast(0, true))
	for i, w := range r.weights {
		if left < w {
			return i
		}
		left -= w
	}
	return 0
}

// Weights returns what each token weighs, 0 if TopK and TopP leave it out.
func (s Sampling) Weights(logits []float32) []uint64 {
	r := new(room)
	r.weigh(s, logits)
	return r.weights
}

// room is what a row of logits becomes.
type room struct {
	keys    []uint32 // see order
	weights []uint64 // 0 for tokens that are left out
}

var rooms = sync.Pool{New: func() any { return new(room) }}

func (r *room) weigh(s Sampling, logits []float32) {
	top := float32(math.Inf(-1))
	for _, l := range logits {
		if l > top {
			top = l
		}
	}
	r.keys, r.weights = r.keys[:0], r.weights[:0]
	for _, l := range logits {
		r.keys, r.weights = append(r.keys, order(l)), append(r.weights, s.Weight(l, top))
	}
	if k := uint64(s.TopK); k > 0 && k < uint64(len(logits)) {
		cut := r.search(k, false)
		r.keep(cut, k-r.atLeast(cut+1, false))
	}
	total := r.atLeast(0, true)
	if s.TopP > 0 && s.TopP < 1 && total > 0 {
		need := min(total, max(1, uint64(s.TopP*float64(total))))
		cut := r.search(need, true)
		each, missing := r.weightAt(cut), need-r.atLeast(cut+1, true)
		r.keep(cut, (missing+each-1)/each)
	}
}

// order returns a number that is larger the larger l is; -0 is 0, and no number
// is less than a NaN's.
func order(l float32) uint32 {
	b := math.Float32bits(l + 0)
	switch {
	case l != l:
		return 0
	case b>>31 != 0:
		return ^b
	}
	return b | 1<<31
}

// atLeast returns how many tokens have a key or a larger one, or what they weigh.
func (r *room) atLeast(key uint32, weighed bool) (sum uint64) {
	for i, k := range r.keys {
		if k < key {
			continue
		}
		if weighed {
			sum += r.weights[i]
		} else {
			sum++
		}
	}
	return sum
}

// search returns the largest key of which atLeast is need or more, bit by bit.
func (r *room) search(need uint64, weighed bool) (key uint32) {
	for bit := uint32(1 << 31); bit > 0; bit >>= 1 {
		if r.atLeast(key|bit, weighed) >= need {
			key |= bit
		}
	}
	return key
}

// weightAt returns what a token of that key weighs.
func (r *room) weightAt(key uint32) uint64 { return r.weights[slices.Index(r.keys, key)] }

// keep leaves out all but the tokens of larger keys and the first ones of that key.
func (r *room) keep(key uint32, first uint64) {
	for i, k := range r.keys {
		switch {
		case k > key:
		case k == key && first > 0:
			first--
		default:
			r.weights[i] = 0
		}
	}
}
