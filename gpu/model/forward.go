package model

import "starbook/gpu"

// begin readies the pass for a batch. It is filled up to a number of rows that
// the device likes with a sequence that has no targets, and so no gradients.
func (p *Pass) begin(b *Batch) error {
	if err := b.check(p.m.Config, p.rows); err != nil {
		return err
	}
	p.soft, p.distil = b.Soft, b.Distil
	p.real, p.ids, p.pos = len(b.IDs), append(p.ids[:0], b.IDs...), p.pos[:0]
	p.whole.reset()
	for s := range b.Sequences() {
		p.whole.add(int(b.Starts[s+1]), uint64(b.First+s))
		for i := range b.Starts[s+1] - b.Starts[s] {
			p.pos = append(p.pos, i)
		}
	}
	n := p.m.dev.Pad(len(b.IDs))
	for len(p.ids) < n { // positions of a longer filling might not exist
		p.ids, p.pos = append(p.ids, 0), append(p.pos, 0)
	}
	p.whole.pad(p.m.dev, n)
	p.fit(n)
	return nil
}

// forward runs all layers. The normed output of the last is left in p.norm.
func (p *Pass) forward(ids []int32, s gpu.Seqs) {
	c, d := p.m.Config, p.m.dev
	d.Embed(p.layers[0].x, p.m.embed.w, ids, c.Hidden)
	var before gpu.Buf // what the next norm adds to the residual stream first
	for l := range p.layers {
		out := p.last
		if l+1 < len(p.layers) {
			out = p.layers[l+1].x
		}
		p.layer(l, before, out, s)
		before = p.layers[l].mid
	}
	d.RMSNorm(p.norm, p.inv, p.last, before, p.m.norm.w, c.Hidden, float32(c.NormEps))
}

// layer runs block l. The residual stream behind it is out + mid: the norm
// that follows adds them up, as the first norm here adds before to x.
func (p *Pass) layer(l int, before, out gpu.Buf, s gpu.Seqs) {
	p.block(l, before, s)
	a := &p.layers[l]
	p.m.dev.SwiGLU(a.act, a.gate, a.up)
	p.project(p.at(l, siteDown), p.n, a.act, out)
}

// block is layer up to SwiGLU.
func (p *Pass) block(l int, before gpu.Buf, s gpu.Seqs) {
	c, d, w, a := p.m.Config, p.m.dev, &p.m.layers[l], &p.layers[l]
	eps := float32(c.NormEps)
	d.RMSNorm(a.nrm1, a.inv1, a.x, before, w.norm1.w, c.Hidden, eps)
	t := p.turns(l)
	p.project(p.at(l, siteQKV), p.n, a.nrm1, t[projQ].raw, t[projK].raw, t[projV].raw)
	for _, t := range t {
		p.rotate(t)
	}
	p.attend(l, s)
	p.project(p.at(l, siteO), p.n, a.att, a.mid)
	d.RMSNorm(a.nrm2, a.inv2, a.mid, a.x, w.norm2.w, c.Hidden, eps)
	p.project(p.at(l, siteGateUp), p.n, a.nrm2, a.gate, a.up)
}

// attend mixes the rows of each sequence: among themselves, or with those that
// a cache holds.
func (p *Pass) attend(l int, s gpu.Seqs) {
	d, a := p.m.dev, &p.layers[l]
	s.Window = p.m.Config.windowOf(l)
	if p.cache != nil {
		n := len(p.slots) // rows without a slot are not kept
		p.cache.write(d, l, a.k.Slice(0, n*p.cache.width), a.v.Slice(0, n*p.cache.width), p.slots, p.pos[:n])
	}
	if p.decoding {
		d.AttentionCached(a.att, a.q, p.cache.keys[l], p.cache.values[l], gpu.Cached{
			Slot: p.slots, Len: p.lens, Context: p.cache.context,
			Heads: s.Heads, KVHeads: s.KVHeads, Dim: s.Dim, Window: s.Window, Scale: s.Scale,
		})
		return
	}
	d.Attention(a.att, a.lse, a.q, a.k, a.v, s)
}

func (c Config) seqs(starts []int32) gpu.Seqs {
	return gpu.Seqs{Starts: starts, Heads: c.Heads, KVHeads: c.KVHeads, Dim: c.HeadDim, Scale: c.scoreScale()}
}
