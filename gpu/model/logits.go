package model

import (
	"context"
	"fmt"
	"math"
)

// Logits computes the logits behind the rows of b that have a target, whatever
// it is, and shows them in the order of the rows. They are valid until see
// returns.
func (p *Pass) Logits(b *Batch, see func(row int, logits []float32)) error {
	if err := p.begin(b); err != nil {
		return err
	}
	p.drop = 0
	p.forward(p.ids, p.m.Config.seqs(p.whole.starts))
	p.pick(b)
	vocab := p.m.Config.Vocab
	host := make([]float32, min(p.c, len(p.picked))*vocab)
	return p.chunks(func(from, to int) error {
		logits := p.head(from, to).logits.Slice(0, (to-from)*vocab)
		p.m.dev.Download(host[:logits.Len], logits)
		if err := p.m.dev.Sync(); err != nil {
			return fmt.Errorf("model: %w", err)
		}
		for i := range to - from {
			see(int(p.picked[from+i]), host[i*vocab:(i+1)*vocab])
		}
		return nil
	})
}

// Divergence says how far the predictions of one model are from another's.
type Divergence struct {
	KL     float64 // Kullback-Leibler, in nats, the mean over the tokens
	Worst  float64 // the largest of a token
	Agree  float64 // share of the tokens after which both hold the same one to be likeliest
	Tokens int
}

// Diverge compares what other predicts after every token of the texts with
// what m with a predicts, rows tokens at a time (0: 1024).
func (m *Transformer) Diverge(ctx context.Context, a *Adapter, other *Transformer, texts [][]int32, rows int) (Divergence, error) {
	if rows <= 0 {
		rows = 1024
	}
	for _, t := range texts {
		rows = max(rows, len(t))
	}
	first, err := NewPass(m, a, rows, false)
	if err != nil {
		return Divergence{}, err
	}
	defer first.Close()
	second, err := NewPass(other, nil, rows, false)
	if err != nil {
		return Divergence{}, err
	}
	defer second.Close()
	var d Divergence
	agree := 0
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return d, fmt.Errorf("model: divergence: %w", err)
		}
		var b Batch
		b.Append(text, make([]int32, len(text)))
		logp := make([][]float64, len(text))
		if err := first.Logits(&b, func(row int, l []float32) { logp[row] = logSoftmax(l) }); err != nil {
			return d, fmt.Errorf("model: divergence on text %d: %w", i, err)
		}
		if err := second.Logits(&b, func(row int, l []float32) {
			kl, same := compare(logp[row], logSoftmax(l))
			d.KL += kl
			d.Worst = max(d.Worst, kl)
			if same {
				agree++
			}
		}); err != nil {
			return d, fmt.Errorf("model: divergence on text %d: %w", i, err)
		}
		d.Tokens += len(text)
	}
	if d.Tokens == 0 {
		return d, fmt.Errorf("model: divergence: there is no text")
	}
	d.KL, d.Agree = d.KL/float64(d.Tokens), float64(agree)/float64(d.Tokens)
	return d, nil
}

func logSoftmax(logits []float32) []float64 {
	out, top := make([]float64, len(logits)), math.Inf(-1)
	for _, l := range logits {
		top = max(top, float64(l))
	}
	var sum float64
	for i, l := range logits {
		out[i] = float64(l) - top
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

// compare returns KL(p‖q) of log-probabilities, and whether their peaks agree.
func compare(p, q []float64) (kl float64, same bool) {
	top, other := 0, 0
	for i := range p {
		kl += math.Exp(p[i]) * (p[i] - q[i])
		if p[i] > p[top] {
			top = i
		}
		if q[i] > q[other] {
			other = i
		}
	}
	return max(0, kl), top == other
}
