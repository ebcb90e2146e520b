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
	p.forward(p.ids, p.m.Config.seqs(p.whole.starts))
	p.pick(b)
	p.cost(false)
	return p.collect()
}

// collect waits for the losses and puts them in their rows.
func (p *Pass) collect() ([]float32, error) {
	nll, got := p.nll[:p.real], p.picknll[:len(p.picked)]
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

// Gradient returns what Loss does, with dropout, and adds the gradient of the
// sum to Params().G. key decides what is dropped.
func (p *Pass) Gradient(b *Batch, key uint64) ([]float32, error) {
	if err := p.gradient(b, key, gpu.Buf{}); err != nil {
		return nil, err
	}
	p.Params().Join()
	return p.collect()
}

// Losses are the negative log-probabilities of a batch's targets, on their way.
type Losses struct {
	counts []int // of the targets of each sequence
	wait   func(dst []float32) error
}

// Begin is Gradient that waits for nothing, and leaves Params().Join to its
// caller. It adds the sum of the losses to sum, a number on the device.
func (p *Pass) Begin(b *Batch, key uint64, sum gpu.Buf) (Losses, error) {
	if err := p.gradient(b, key, sum); err != nil {
		return Losses{}, err
	}
	l := Losses{make([]int, b.Sequences()), p.m.dev.Fetch(p.losses.Slice(0, len(p.picked)))}
	s := 0
	for _, row := range p.picked {
		for row >= b.Starts[s+1] {
			s++
		}
		l.counts[s]++
	}
	return l, nil
}

// Wait returns the losses of each sequence's targets, in their order.
func (l Losses) Wait() ([][]float32, error) {
	n := 0
	for _, c := range l.counts {
		n += c
	}
	all, out := make([]float32, n), make([][]float32, len(l.counts))
	if err := l.wait(all); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	for i, c := range l.counts {
		out[i], all = all[:c], all[c:]
	}
	return out, nil
}

// gradient puts a batch's way there and back into the device's hands. The sum
// of the losses is added to sum, if that is given.
func (p *Pass) gradient(b *Batch, key uint64, sum gpu.Buf) error {
	if !p.train {
		return fmt.Errorf("model: gradient: the pass was not made for training")
	}
	if err := p.begin(b); err != nil {
		return err
	}
	if p.key = key; p.a != nil {
		p.key, p.drop = mix(key, p.a.LoRA.Seed), float32(p.a.LoRA.Dropout)
	}
	s := p.m.Config.seqs(p.whole.starts)
	p.forward(p.ids, s)
	p.pick(b)
	p.sum = sum
	p.cost(true)
	p.backward(p.ids, s)
	p.drop, p.sum = 0, gpu.Buf{}
	return nil
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

// chunks calls work with C of the picked rows at a time. If sums over them are
// made, a chunk has whole segments only.
func (p *Pass) chunks(work func(from, to int) error) error {
	summed := p.full || p.a != nil && p.a.head.ranks > 0
	for i, from, to := 0, 0, 0; to < len(p.picked); from = to {
		to = min(from+p.c, len(p.picked))
		if p.inChunk.reset(); summed {
			for to = from; i < len(p.parts.salts) && int(p.parts.starts[i+1])-from <= p.c; i++ {
				to = int(p.parts.starts[i+1])
				p.inChunk.add(to-from, p.parts.salts[i])
			}
			p.inChunk.pad(p.m.dev, p.m.dev.Pad(to-from))
		}
		if err := work(from, to); err != nil {
			return err
		}
	}
	return nil
}

// chunk is some of the picked rows, filled up to a number that the device likes
// with rows that have no target.
type chunk struct {
	fan
	n         int
	rows      []int32 // of the batch
	targets   []int32
	x, logits gpu.Buf
}

// head computes the logits of the picked rows from to to.
func (p *Pass) head(from, to int) chunk {
	c, n := p.m.Config, p.m.dev.Pad(to-from)
	k := chunk{fan: p.atHead(n), n: n, x: p.chunk.Slice(0, n*c.Hidden), logits: p.logits.Slice(0, n*c.Vocab)}
	k.rows = append(p.filled[0][:0], p.picked[from:to]...)
	k.targets = append(p.filled[1][:0], p.targets[from:to]...)
	for len(k.rows) < n {
		k.rows, k.targets = append(k.rows, 0), append(k.targets, -1)
	}
	p.filled = [2][]int32{k.rows, k.targets}
	p.m.dev.Embed(k.x, p.norm, k.rows, c.Hidden) // gathers the rows
	p.project(k.fan, n, k.x, k.logits)
	return k
}

// cost computes logits and losses of the picked rows; if train, also the
// gradient of p.norm, in p.dnorm.
func (p *Pass) cost(train bool) {
	d, c := p.m.dev, p.m.Config
	if train {
		d.Zero(p.dnorm)
	}
	p.chunks(func(from, to int) error {
		k := p.head(from, to)
		losses := p.losses.Slice(from, from+k.n) // the next chunk overwrites those of the filling
		if !train {
			p.surprise(losses, k, from, 0)
			return nil
		}
		p.surprise(losses, k, from, 1)
		if p.sum.Len > 0 {
			d.Sum(p.sum, losses) // those of the filling are 0
		}
		dx := p.dchunk.Slice(0, k.n*c.Hidden)
		p.back(k.fan, k.n, k.x, dx, 0, k.logits)
		d.EmbedBack(p.dnorm, dx, k.rows, c.Hidden) // scatters them
		return nil
	})
}

// surprise computes the losses of a chunk, whose logits become scale times the
// gradient if scale is not 0. Against a larger model's predictions it is
// computed on the host, in float64: it is a small part of a step, and so the
// same on every device.
func (p *Pass) surprise(losses gpu.Buf, k chunk, from int, scale float32) {
	d := p.m.dev
	if p.distil.Weight == 0 {
		d.CrossEntropy(losses, k.logits, k.targets, p.m.Config.Vocab, scale)
		return
	}
	p.host = grow(p.host, k.logits.Len+losses.Len)
	logits, out := p.host[:k.logits.Len], p.host[k.logits.Len:]
	d.Download(logits, k.logits)
	p.soft.losses(out, logits, k.targets, from, p.distil, scale != 0)
	d.Upload(losses, out)
	if scale != 0 {
		d.Upload(k.logits, logits)
	}
}
