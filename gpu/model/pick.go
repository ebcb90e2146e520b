package model

import (
	"slices"

	"starbook/gpu"
)

// picker chooses tokens from logits. Only under a penalty of repetition, which
// needs to know the tokens so far, are logits copied to the host.
type picker struct {
	o      Decoding
	vocab  int
	ids    []int32
	logp   []float32
	random []uint64  // of the rows
	logits []float32 // (C, V) on the host, unless the device chooses
	score  []float32 // (V) logits after the penalty
}

func newPicker(o Decoding, vocab int) picker { return picker{o: o, vocab: vocab} }

// onDevice reports whether the device chooses.
func (k *picker) onDevice() bool { return k.o.Penalty == 0 || k.o.Penalty == 1 }

func (k *picker) sampling() gpu.Sampling {
	return gpu.Sampling{Temperature: k.o.Temperature, TopK: k.o.TopK, TopP: k.o.TopP}
}

// draw returns the random bits for a sequence's token at a place: a hash of both,
// so that no draw depends on another.
func (k *picker) draw(s *sequence, at int) uint64 {
	key := uint64(s.Prompt)
	if k.o.Keys != nil {
		key = k.o.Keys[s.Prompt]
	}
	return mix(mix(k.o.Seed, key), uint64(at))
}

// pick appends one token to each sequence. logits (n, V), n ≥ len(seqs): the rest is filling.
func (k *picker) pick(d gpu.Device, logits gpu.Buf, prompts [][]int32, seqs []*sequence) error {
	if err := k.see(d, logits, seqs); err != nil {
		return err
	}
	for i, s := range seqs {
		k.next(i, s, prompts[s.Prompt])
	}
	return nil
}

// see reads the first rows of logits (n, V), of which next then chooses: one for
// each of the owners, several of a sequence being for tokens that follow each other.
func (k *picker) see(d gpu.Device, logits gpu.Buf, owners []*sequence) error {
	n := logits.Len / k.vocab
	k.ids, k.logp = slices.Grow(k.ids[:0], n)[:n], slices.Grow(k.logp[:0], n)[:n]
	switch {
	case !k.onDevice():
		logits = logits.Slice(0, len(owners)*k.vocab)
		k.logits = slices.Grow(k.logits[:0], logits.Len)[:logits.Len]
		d.Download(k.logits, logits)
	case k.o.Temperature == 0:
		d.Argmax(k.ids, k.logp, logits, k.vocab)
	default:
		k.random = slices.Grow(k.random[:0], n)[:n]
		clear(k.random)
		for i, ahead := 0, 0; i < len(owners); i++ {
			if ahead++; i == 0 || owners[i] != owners[i-1] {
				ahead = 0
			}
			k.random[i] = k.draw(owners[i], len(owners[i].Tokens)+ahead)
		}
		d.Sample(k.ids, k.logp, logits, k.vocab, k.random, k.sampling())
	}
	return d.Sync()
}

// next appends to s the token that row i says.
func (k *picker) next(i int, s *sequence, prompt []int32) {
	if !k.onDevice() {
		row := k.logits[i*k.vocab : (i+1)*k.vocab]
		k.penalise(row, prompt, s.Tokens)
		k.ids[i] = k.choose(s)
		k.logp[i] = float32(logSoftmax(row)[k.ids[i]])
	}
	s.Tokens, s.LogProb = append(s.Tokens, k.ids[i]), append(s.LogProb, k.logp[i])
}

// penalise writes to k.score the logits of a sequence, those of the tokens
// that are in it already made smaller.
func (k *picker) penalise(logits []float32, seen ...[]int32) {
	k.score = append(k.score[:0], logits...)
	for _, tokens := range seen {
		for _, t := range tokens {
			if l := float64(logits[t]); l < 0 {
				k.score[t] = float32(l * k.o.Penalty)
			} else {
				k.score[t] = float32(l / k.o.Penalty)
			}
		}
	}
}

// choose draws the sequence's next token from k.score, or returns the likeliest one.
func (k *picker) choose(s *sequence) int32 {
	if k.o.Temperature > 0 {
		return int32(k.sampling().Draw(k.score, k.draw(s, len(s.Tokens))))
	}
	best := 0
	for i, score := range k.score {
		if score > k.score[best] {
			best = i
		}
	}
	return int32(best)
}
