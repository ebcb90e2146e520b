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
	p.pick(b)
	p.cost(false)
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
	p.pick(b)
	p.cost(true)
	p.backward(b.IDs, s)
	p.drop = 0
	return p.collect()
}

// pick lists the rows that have a target, in segments of C rows at most.
func (p *Pass) pick(b *Batch) {
	p.picked, p.targets = p.picked[:0], p.targets[:0]
	p.parts.reset()
	for s := range b.Sequences() {
		cut, from := uint64(0), len(p.picked)
		end := func() {
			if len(p.picked) > from {
				p.parts.add(len(p.picked), mix(uint64(b.First+s), cut))
				cut, from = cut+1, len(p.picked)
			}
		}
		for i := b.Starts[s]; i < b.Starts[s+1]; i++ {
			if b.Targets[i] < 0 {
				continue
			}
			p.picked, p.targets = append(p.picked, i), append(p.targets, b.Targets[i])
			if len(p.picked)-from == p.c {
				end()
			}
		}
		end()
	}
}

// chunks calls work with as many whole segments of the picked rows at a time
// as C rows hold.
func (p *Pass) chunks(work func(from, to int) error) error {
	for i := 0; i < len(p.parts.salts); {
		from := int(p.parts.starts[i])
		to := from
		p.inChunk.reset()
		for ; i < len(p.parts.salts) && int(p.parts.starts[i+1])-from <= p.c; i++ {
			to = int(p.parts.starts[i+1])
			p.inChunk.add(to-from, p.parts.salts[i])
		}
		if err := work(from, to); err != nil {
			return err
		}
	}
	return nil
}

// head computes the logits of one chunk of the picked rows, x.
func (p *Pass) head(from, to int) (f fan, x, logits gpu.Buf) {
	c, n := p.m.Config, to-from
	x, logits = p.chunk.Slice(0, n*c.Hidden), p.logits.Slice(0, n*c.Vocab)
	f = p.atHead(n)
	p.m.dev.Embed(x, p.norm, p.picked[from:to], c.Hidden) // gathers the rows
	p.project(f, n, x, logits)
	return f, x, logits
}

// cost computes logits and losses of the picked rows; if train, also the
// gradient of p.norm, in p.dnorm.
func (p *Pass) cost(train bool) {
	if train {
		p.m.dev.Zero(p.dnorm)
	}
	p.chunks(func(from, to int) error {
		d, c, n := p.m.dev, p.m.Config, to-from
		f, x, logits := p.head(from, to)
		losses, targets := p.losses.Slice(from, to), p.targets[from:to]
		if !train {
			d.CrossEntropy(losses, logits, targets, c.Vocab, 0)
			return nil
		}
		d.CrossEntropy(losses, logits, targets, c.Vocab, 1)
		dx := p.dchunk.Slice(0, n*c.Hidden)
		p.back(f, n, x, dx, 0, logits)
		d.EmbedBack(p.dnorm, dx, p.picked[from:to], c.Hidden) // scatters them
		return nil
	})
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
