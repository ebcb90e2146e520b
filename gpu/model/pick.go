package model

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"starbook/gpu"
)

// picker chooses tokens from logits.
type picker struct {
	o      Decoding
	vocab  int
	ids    []int32
	logp   []float32
	logits []float32    // (C, V) on the host, unless the device chooses
	order  []int        // tokens by falling score
	score  []float64    // (V) logits after the penalty
	prob   []float64    // (V)
	random []*rand.Rand // by prompt, so that no draw depends on another prompt
}

func newPicker(o Decoding, prompts, vocab int) picker {
	k := picker{o: o, vocab: vocab}
	if k.onDevice() {
		return k
	}
	k.score, k.prob, k.order = make([]float64, vocab), make([]float64, vocab), make([]int, vocab)
	for i := range prompts {
		key := uint64(i)
		if o.Keys != nil {
			key = o.Keys[i]
		}
		k.random = append(k.random, rand.New(rand.NewPCG(o.Seed, mix(o.Seed, key))))
	}
	return k
}

// onDevice reports whether the likeliest token is all that is asked for.
func (k *picker) onDevice() bool {
	return k.o.Temperature == 0 && (k.o.Penalty == 0 || k.o.Penalty == 1)
}

// pick appends one token to each sequence. logits (n, V), n ≥ len(seqs): the rest is filling.
func (k *picker) pick(d gpu.Device, logits gpu.Buf, prompts [][]int32, seqs []*sequence) error {
	if err := k.see(d, logits, len(seqs)); err != nil {
		return err
	}
	for i, s := range seqs {
		k.next(i, s, prompts[s.Prompt])
	}
	return nil
}

// see reads the first rows of logits (n, V), n ≥ rows, of which next then chooses.
func (k *picker) see(d gpu.Device, logits gpu.Buf, rows int) error {
	n := logits.Len / k.vocab
	k.ids, k.logp = slices.Grow(k.ids[:0], n)[:n], slices.Grow(k.logp[:0], n)[:n]
	if k.onDevice() {
		d.Argmax(k.ids, k.logp, logits, k.vocab)
	} else {
		logits = logits.Slice(0, rows*k.vocab)
		k.logits = slices.Grow(k.logits[:0], logits.Len)[:logits.Len]
		d.Download(k.logits, logits)
	}
	return d.Sync()
}

// next appends to s the token that row i says.
func (k *picker) next(i int, s *sequence, prompt []int32) {
	if !k.onDevice() {
		row := k.logits[i*k.vocab : (i+1)*k.vocab]
		k.penalise(row, prompt, s.Tokens)
		k.ids[i] = int32(k.choose(k.random[s.Prompt]))
		k.logp[i] = float32(logSoftmax(row)[k.ids[i]])
	}
	s.Tokens, s.LogProb = append(s.Tokens, k.ids[i]), append(s.LogProb, k.logp[i])
}

// penalise writes to k.score the logits of a sequence, those of the tokens
// that are in it already made smaller.
func (k *picker) penalise(logits []float32, seen ...[]int32) {
	for i, l := range logits {
		k.score[i] = float64(l)
	}
	if k.o.Penalty == 0 || k.o.Penalty == 1 {
		return
	}
	for _, tokens := range seen {
		for _, t := range tokens {
			if l := float64(logits[t]); l < 0 {
				k.score[t] = l * k.o.Penalty
			} else {
				k.score[t] = l / k.o.Penalty
			}
		}
	}
}

// choose draws a token from k.score, or returns the likeliest one.
func (k *picker) choose(random *rand.Rand) int {
	if k.o.Temperature == 0 {
		best := 0
		for i, s := range k.score {
			if s > k.score[best] {
				best = i
			}
		}
		return best
	}
	kept, sum := k.candidates()
	left := random.Float64() * sum
	for _, t := range kept {
		if left -= k.prob[t]; left < 0 {
			return t
		}
	}
	return kept[len(kept)-1]
}

// candidates returns the tokens that temperature, TopK and TopP leave to draw
// from, and the sum of their k.prob.
func (k *picker) candidates() (kept []int, sum float64) {
	top := slices.Max(k.score)
	for i, s := range k.score {
		k.order[i] = i
		k.prob[i] = math.Exp((s - top) / k.o.Temperature)
		sum += k.prob[i]
	}
	kept = k.order
	cut := k.o.TopK > 0 && k.o.TopK < len(kept)
	if !cut && !(k.o.TopP > 0 && k.o.TopP < 1) {
		return kept, sum
	}
	slices.SortFunc(kept, func(a, b int) int {
		return cmp.Or(cmp.Compare(k.prob[b], k.prob[a]), cmp.Compare(a, b))
	})
	if cut {
		kept, sum = kept[:k.o.TopK], 0
		for _, t := range kept {
			sum += k.prob[t]
		}
	}
	if k.o.TopP > 0 && k.o.TopP < 1 {
		var mass float64
		for i, t := range kept {
			if mass += k.prob[t]; mass >= k.o.TopP*sum {
				return kept[:i+1], mass
			}
		}
	}
	return kept, sum
}
