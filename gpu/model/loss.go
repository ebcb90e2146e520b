package model

import (
	"fmt"

	"starbook/gpu"
)

// Loss returns for each row of b the negative log-probability of its target,
// in nats, 0 where there is none. The slice is valid until the next call.
func (p *Pass) Loss(b *Batch) ([]float32, error) {
	if err := p.begin(b); err != nil {
		return nil, err
	}
	p.drop = 0
	p.forward(b.IDs, p.m.Config.seqs(b.Starts))
	p.cost(b, false)
	return p.collect()
}

// Gradient returns what Loss does, with dropout, and adds the gradient of the
// sum to Params().G. key decides what is dropped.
func (p *Pass) Gradient(b *Batch, key uint64) ([]float32, error) {
	if !p.train {
		return nil, fmt.Errorf("model: gradient: the pass was not made for training")
	}
	if err := p.begin(b); err != nil {
		return nil, err
	}
	if p.key = key; p.a != nil {
		p.key, p.drop = mix(key, p.a.LoRA.Seed), float32(p.a.LoRA.Dropout)
	}
	s := p.m.Config.seqs(b.Starts)
	p.forward(b.IDs, s)
	p.cost(b, true)
	p.backward(b.IDs, s)
	p.drop = 0
	return p.collect()
}

// cost computes logits and losses of the rows that have a target, C rows at a
// time; if train, also the gradient of p.norm, in p.dnorm.
func (p *Pass) cost(b *Batch, train bool) {
	p.picked, p.targets = p.picked[:0], p.targets[:0]
	for i, t := range b.Targets {
		if t >= 0 {
			p.picked, p.targets = append(p.picked, int32(i)), append(p.targets, t)
		}
	}
	d, c := p.m.dev, p.m.Config
	scale := float32(0)
	if train {
		scale = 1
		d.Zero(p.dnorm)
	}
	for from := 0; from < len(p.picked); from += p.chunkRows() {
		to := min(from+p.chunkRows(), len(p.picked))
		n := to - from
		x, logits := p.chunk.Slice(0, n*c.Hidden), p.logits.Slice(0, n*c.Vocab)
		f := p.atHead(n, from)
		d.Embed(x, p.norm, p.picked[from:to], c.Hidden) // gathers the rows
		p.project(f, n, x, logits)
		d.CrossEntropy(p.losses.Slice(from, to), logits, p.targets[from:to], c.Vocab, scale)
		if train {
			dx := p.dchunk.Slice(0, n*c.Hidden)
			p.back(f, n, x, dx, 0, logits)
			d.EmbedBack(p.dnorm, dx, p.picked[from:to], c.Hidden) // scatters them
		}
	}
}

// collect waits for the losses and puts them in their rows.
func (p *Pass) collect() ([]float32, error) {
	nll, got := p.nll[:p.n], p.picknll[:len(p.picked)]
	clear(nll)
	if len(got) > 0 {
		p.m.dev.Download(got, p.losses.Slice(0, len(got)))
	}
	if err := p.m.dev.Sync(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	for i, row := range p.picked {
		nll[row] = got[i]
	}
	return nll, nil
}

// gradient returns the gradient of w, none unless every weight is trained.
func (p *Pass) gradient(w *weight) gpu.Buf {
	if p.full {
		return w.dw
	}
	return gpu.Buf{}
}
