package model

import "starbook/gpu"

// turn is the way of the queries, the keys or the values of one layer from
// their projection to attention: see gpu.Ops.Rotary.
type turn struct {
	raw, out, inv gpu.Buf // (N, heads·E), (N, heads·E), (N, heads)
	bias, norm    *weight // nil: none
	cos, sin      gpu.Buf // none for values
	heads         int
}

// turns returns those of the queries, keys and values of layer l. Projections
// write raw, which is out unless the backward pass will need it.
func (p *Pass) turns(l int) [projV + 1]turn {
	c, r, a, w := p.m.Config, p.m.rotary, &p.layers[l], &p.m.layers[l]
	t := [projV + 1]turn{
		{a.rawQ, a.q, a.invQ, w.bias[projQ], w.norms[projQ], r.cos, r.sin, c.Heads},
		{a.rawK, a.k, a.invK, w.bias[projK], w.norms[projK], r.cos, r.sin, c.KVHeads},
		{gpu.Buf{}, a.v, gpu.Buf{}, w.bias[projV], nil, gpu.Buf{}, gpu.Buf{}, c.KVHeads},
	}
	for i := range t {
		if t[i].raw.Len == 0 {
			t[i].raw = t[i].out
		}
	}
	return t
}

// rotate runs t forward.
func (p *Pass) rotate(t turn) {
	c := p.m.Config
	if t.bias != nil || t.norm != nil || t.cos.Len > 0 {
		p.m.dev.Rotary(t.out, t.inv, t.raw, t.bias.buf(), t.norm.buf(), t.cos, t.sin, p.pos, t.heads, c.HeadDim, float32(c.NormEps))
	}
}

// rotateBack takes the gradient d of t.out to that of t.raw, in place.
func (p *Pass) rotateBack(t turn, d gpu.Buf) {
	bias, norm := p.grad(t.bias), p.grad(t.norm)
	if bias.Len > 0 || t.norm != nil || t.cos.Len > 0 {
		p.m.dev.RotaryBack(d, bias, norm, d, t.raw, t.bias.buf(), t.norm.buf(), t.inv, t.cos, t.sin, p.pos, p.whole.starts, t.heads, p.m.Config.HeadDim)
	}
}

// buf returns the elements of w, none of nil.
func (w *weight) buf() gpu.Buf {
	if w == nil {
		return gpu.Buf{}
	}
	return w.w
}
