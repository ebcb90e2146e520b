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
	logits []float32    // (C, V) on the host, when sampling
	order  []int        // tokens by falling probability
	prob   []float64    // (V)
	random []*rand.Rand // by prompt, so that no draw depends on another prompt
}

func newPicker(o Decoding, prompts, vocab int) picker {
	k := picker{o: o, vocab: vocab}
	if o.Temperature == 0 {
		return k
	}
	k.prob, k.order = make([]float64, vocab), make([]int, vocab)
	for i := range prompts {
		key := uint64(i)
		if o.Keys != nil {
			key = o.Keys[i]
		}
		k.random = append(k.random, rand.New(rand.NewPCG(o.Seed, mix(o.Seed, key))))
	}
	return k
}

// pick appends one token to each sequence. logits (len(seqs), V).
func (k *picker) pick(d gpu.Device, logits gpu.Buf, seqs []*sequence) error {
	n := len(seqs)
	k.ids, k.logp = slices.Grow(k.ids[:0], n)[:n], slices.Grow(k.logp[:0], n)[:n]
	if k.o.Temperature == 0 {
		d.Argmax(k.ids, k.logp, logits, k.vocab)
	} else {
		k.logits = slices.Grow(k.logits[:0], logits.Len)[:logits.Len]
		d.Download(k.logits, logits)
	}
	if err := d.Sync(); err != nil {
		return err
	}
	for i, s := range seqs {
		if k.o.Temperature > 0 {
			k.ids[i], k.logp[i] = k.sample(k.logits[i*k.vocab:(i+1)*k.vocab], k.random[s.Prompt])
		}
		s.Tokens, s.LogProb = append(s.Tokens, k.ids[i]), append(s.LogProb, k.logp[i])
	}
	return nil
}

// sample draws from softmax(logits/Temperature), cut down to TopP, and returns
// the token and its log-probability in softmax(logits).
func (k *picker) sample(logits []float32, random *rand.Rand) (int32, float32) {
	top := float64(slices.Max(logits))
	var all float64 // Σ exp(logit - top)
	var sum float64 // the same at this temperature
	for i, l := range logits {
		k.order[i] = i
		all += math.Exp(float64(l) - top)
		k.prob[i] = math.Exp((float64(l) - top) / k.o.Temperature)
		sum += k.prob[i]
	}
	order := k.order
	if k.o.TopP > 0 && k.o.TopP < 1 {
		slices.SortFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(k.prob[b], k.prob[a]), cmp.Compare(a, b))
		})
		var kept float64
		for i, t := range order {
			if kept += k.prob[t]; kept >= k.o.TopP*sum {
				order, sum = order[:i+1], kept
				break
			}
		}
	}
	left, token := random.Float64()*sum, order[len(order)-1]
	for _, t := range order {
		if left -= k.prob[t]; left < 0 {
			token = t
			break
		}
	}
	return int32(token), float32(float64(logits[token]) - top - math.Log(all))
}
