package model

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
)

// Soft is what a larger model predicts at some rows: its K likeliest tokens,
// by falling log-probability, and how likely all others are together. The
// probabilities are those at a temperature: softmax(logits / Temperature).
type Soft struct {
	K       int
	IDs     []int32   // (rows, K)
	LogProb []float32 // (rows, K+1) in nats; the last is that of all other tokens
}

// Rows returns the number of rows.
func (s *Soft) Rows() int { return len(s.IDs) / max(1, s.K) }

// Append adds the rows of o, which has as many tokens in each.
func (s *Soft) Append(o Soft) {
	s.K = o.K
	s.IDs, s.LogProb = append(s.IDs, o.IDs...), append(s.LogProb, o.LogProb...)
}

// Slice returns the rows from to up to.
func (s *Soft) Slice(from, to int) Soft {
	return Soft{s.K, s.IDs[from*s.K : to*s.K], s.LogProb[from*(s.K+1) : to*(s.K+1)]}
}

// Distil says how a model learns from another's predictions. The loss of a row is
//
//	Weight·Temperature²·KL(other ‖ own) + (1-Weight)·NLL
//
// where KL is that of the probabilities at Temperature of the K tokens and of
// the rest as one, and NLL is that of the target at temperature 1.
type Distil struct {
	Weight      float64 `json:"weight"` // 0: the other's predictions do not count
	Temperature float64 `json:"temperature"`
}

func (d Distil) check() error {
	if !(d.Weight >= 0 && d.Weight <= 1) || !(d.Temperature > 0) || math.IsInf(d.Temperature, 0) {
		return fmt.Errorf("model: distil: weight is %g and temperature %g: want 0 to 1, and more than 0", d.Weight, d.Temperature)
	}
	return nil
}

// Predict appends to s what the pass's model predicts at the rows of b that
// have a target, whatever it is, of the first vocab tokens; what lies behind
// them fills a table up and belongs to the rest.
func (p *Pass) Predict(b *Batch, s *Soft, vocab int, temperature float64) error {
	vocab = min(vocab, p.m.Config.Vocab)
	if s.K < 1 || s.K > vocab {
		return fmt.Errorf("model: predict: %d tokens of %d: want 1 at least, and no more than there are", s.K, vocab)
	}
	if err := (Distil{0, temperature}).check(); err != nil {
		return err
	}
	return p.Logits(b, func(_ int, logits []float32) { s.add(logits, vocab, temperature) })
}

// add appends a row. Of equally likely tokens the first ones are kept.
func (s *Soft) add(logits []float32, vocab int, temperature float64) {
	top := make([]int32, 0, s.K+1)
	for id := range int32(vocab) {
		if len(top) == s.K && logits[id] <= logits[top[s.K-1]] {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, logits[id], func(t int32, x float32) int {
			if logits[t] >= x {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, id)
		top = top[:min(len(top), s.K)]
	}
	kept := map[int32]bool{}
	for _, id := range top {
		kept[id] = true
	}
	var all, rest float64
	first := float64(logits[top[0]])
	for id, l := range logits {
		e := math.Exp((float64(l) - first) / temperature)
		if all += e; !kept[int32(id)] {
			rest += e
		}
	}
	for _, id := range top {
		s.IDs = append(s.IDs, id)
		s.LogProb = append(s.LogProb, float32((float64(logits[id])-first)/temperature-math.Log(all)))
	}
	s.LogProb = append(s.LogProb, float32(math.Log(rest/all)))
}

// losses computes the losses of rows of logits (len(targets), V) on the host,
// the first of which is that of s's row from. If gradient, the logits become
// the gradient. A row without a target has neither.
func (s *Soft) losses(losses, logits []float32, targets []int32, from int, d Distil, gradient bool) {
	vocab := len(logits) / len(targets)
	workers := min(runtime.GOMAXPROCS(0), len(targets))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			e := make([]float64, vocab)
			for i := w; i < len(targets); i += workers {
				row := logits[i*vocab : (i+1)*vocab]
				if targets[i] < 0 {
					losses[i] = 0
					clear(row)
					continue
				}
				at := s.Slice(from+i, from+i+1)
				losses[i] = float32(at.loss(row, targets[i], e, d, gradient))
			}
		})
	}
	wg.Wait()
}

// loss is that of s's only row. e (V) is room.
func (s *Soft) loss(logits []float32, target int32, e []float64, d Distil, gradient bool) float64 {
	first := float64(slices.Max(logits))
	var plain float64 // Σ exp(logit), at temperature 1
	for j, l := range logits {
		x := float64(l) - first
		plain += math.Exp(x)
		e[j] = math.Exp(x / d.Temperature)
	}
	kept := make([]float64, s.K)
	var all, rest float64
	for i, id := range s.IDs {
		kept[i], e[id] = e[id], 0
		all += kept[i]
	}
	for _, x := range e {
		rest += x
	}
	all += rest
	divergence := part(float64(s.LogProb[s.K]), math.Log(rest/all))
	for i := range kept {
		divergence += part(float64(s.LogProb[i]), math.Log(kept[i]/all))
	}
	soft, hard := d.Weight*d.Temperature, 1-d.Weight
	loss := soft*d.Temperature*divergence + hard*(math.Log(plain)+first-float64(logits[target]))
	if !gradient {
		return loss
	}
	// Of the divergence by logit/Temperature: q - p of a token that was kept, and
	// q·(1 - p/q of the rest) of another.
	others := 1 - math.Exp(float64(s.LogProb[s.K]))/max(rest/all, math.SmallestNonzeroFloat64)
	for j, l := range logits {
		g := hard * math.Exp(float64(l)-first) / plain
		if e[j] > 0 {
			g += soft * e[j] / all * others
		}
		logits[j] = float32(g)
	}
	logits[target] -= float32(hard)
	for i, id := range s.IDs {
		logits[id] += float32(soft * (kept[i]/all - math.Exp(float64(s.LogProb[i]))))
	}
	return loss
}

// part is a term of KL(p ‖ q), of logarithms.
func part(p, q float64) float64 {
	if math.IsInf(p, -1) {
		return 0
	}
	return math.Exp(p) * (p - max(q, -math.MaxFloat32))
}
