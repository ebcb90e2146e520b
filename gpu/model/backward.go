package model

import "starbook/gpu"

// backward takes the gradient of the last norm's output, in p.dnorm, down to
// the lowest layer that is trained. Only what is trained gets a gradient.
func (p *Pass) backward(ids []int32, s gpu.Seqs) {
	c, d := p.m.Config, p.m.dev
	if p.lowest == len(p.layers) && !p.full {
		return
	}
	d.Zero(p.dx)
	p.normBack(p.m.norm, p.last, p.inv)
	for l := len(p.layers) - 1; l >= p.lowest; l-- {
		if p.lost(l) {
			p.block(l, gpu.Buf{}, s)
		}
		p.feedForwardBack(l)
		p.attentionBack(l, s)
	}
	if !p.full {
		return
	}
	table := p.m.embed.dw
	if c.Tied {
		table = p.m.params.apart
	}
	d.EmbedBack(table, p.dx, ids, c.Hidden)
}

// lost reports whether all of layer l's activations but its input are gone: the
// last layer's are those that all layers share.
func (p *Pass) lost(l int) bool { return p.again == RecomputeBlocks && l+1 < len(p.layers) }

// feedForwardBack turns dx from the gradient of the residual stream behind
// block l into that of mid.
func (p *Pass) feedForwardBack(l int) {
	c, d, w, a := p.m.Config, p.m.dev, &p.m.layers[l], &p.layers[l]
	down, gateUp := p.at(l, siteDown), p.at(l, siteGateUp)
	again := p.again > RecomputeNone
	if again && p.reads(down) {
		d.SwiGLU(a.act, a.gate, a.up)
		if p.lost(l) && down.br != nil {
			p.narrow(down, p.n, a.act)
		}
	}
	p.back(down, p.n, a.act, p.dact, 0, p.dx)
	d.SwiGLUBack(a.gate, a.up, p.dact, a.gate, a.up)
	if again && p.reads(gateUp) {
		d.RMSNorm(a.nrm2, a.inv2, a.mid, gpu.Buf{}, w.norm2.w, c.Hidden, float32(c.NormEps))
	}
	p.back(gateUp, p.n, a.nrm2, p.dnorm, 0, a.gate, a.up)
	p.normBack(w.norm2, a.mid, a.inv2)
}

// attentionBack turns dx from the gradient of mid into that of x, which
// nobody asks for below the lowest trained layer.
func (p *Pass) attentionBack(l int, s gpu.Seqs) {
	c, d, w, a := p.m.Config, p.m.dev, &p.m.layers[l], &p.layers[l]
	p.back(p.at(l, siteO), p.n, a.att, p.datt, 0, p.dx)
	s.Window = c.windowOf(l)
	d.AttentionBack(p.dq, p.dk, p.dv, p.datt, a.att, a.lse, a.q, a.k, a.v, s)
	for i, t := range p.turns(l) {
		p.rotateBack(t, [...]gpu.Buf{p.dq, p.dk, p.dv}[i])
	}
	qkv := p.at(l, siteQKV)
	if p.again > RecomputeNone && p.reads(qkv) {
		d.RMSNorm(a.nrm1, a.inv1, a.x, gpu.Buf{}, w.norm1.w, c.Hidden, float32(c.NormEps))
	}
	if l == p.lowest && !p.full {
		p.back(qkv, p.n, a.nrm1, gpu.Buf{}, 0, p.dq, p.dk, p.dv)
		return
	}
	p.back(qkv, p.n, a.nrm1, p.dnorm, 0, p.dq, p.dk, p.dv)
	p.normBack(w.norm1, a.x, a.inv1)
}

// normBack adds to dx what flows through a norm of x from dnorm.
func (p *Pass) normBack(w *weight, x, inv gpu.Buf) {
	p.m.dev.RMSNormBack(p.dx, p.grad(w), p.dnorm, x, w.w, inv, p.whole.starts, p.m.Config.Hidden)
}

// grad returns where w's gradient goes: nowhere unless w is there and trained.
func (p *Pass) grad(w *weight) gpu.Buf {
	if !p.full || w == nil {
		return gpu.Buf{}
	}
	return w.dw
}

// reads reports whether a fan's input must be there for its backward pass.
func (p *Pass) reads(f fan) bool { return p.full || f.br != nil }
