package model

import "starbook/gpu"

// fan is projections that share an input x, and the adapter there:
// yᵢ = x·Wᵢᵀ + scale·drop(x)·Aᵢᵀ·Bᵢᵀ.
type fan struct {
	ws  []*weight
	br  *branch // nil: no adapter
	t   gpu.Buf // (n, ranks) drop(x)·Aᵀ, kept for the backward pass
	key uint64  // of the first projection's dropout
}

// at returns the fan of layer l at site s.
func (p *Pass) at(l, s int) fan {
	f := fan{ws: p.m.layers[l].proj[siteProjs[s]:siteProjs[s+1]], t: p.layers[l].t[s]}
	if p.a != nil && p.a.sites[l][s].ranks > 0 {
		f.br, f.key = &p.a.sites[l][s], mix(p.key, uint64(l*projections+siteProjs[s]))
	}
	return f
}

// atHead returns the fan of the output layer for n rows.
func (p *Pass) atHead(n, first int) fan {
	f := fan{ws: []*weight{p.m.head}}
	if p.a != nil && p.a.head.ranks > 0 {
		f.br, f.t = &p.a.head, p.thead.Slice(0, n*p.a.head.ranks)
		f.key = mix(mix(p.key, uint64(len(p.layers)*projections)), uint64(first))
	}
	return f
}

// mix hashes two numbers into one (the finaliser of splitmix64).
func mix(a, b uint64) uint64 {
	x := a ^ b*0x9e3779b97f4a7c15 + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// project computes the outputs ys of a fan from n rows x.
func (p *Pass) project(f fan, n int, x gpu.Buf, ys ...gpu.Buf) {
	d := p.m.dev
	for i, w := range f.ws {
		d.MatMul(gpu.M(ys[i], n, w.out), gpu.M(x, n, w.in), gpu.M(w.w, w.out, w.in).Transposed(), 1, 0)
	}
	if f.br == nil {
		return
	}
	in := f.ws[0].in
	if p.drop == 0 {
		d.MatMul(gpu.M(f.t, n, f.br.ranks), gpu.M(x, n, in), gpu.M(f.br.a, f.br.ranks, in).Transposed(), 1, 0)
	}
	for i, w := range f.ws {
		if f.br.b[i].Len == 0 {
			continue
		}
		if p.drop > 0 {
			a, _ := p.one(f, i)
			d.MatMul(p.columns(f.t, f, n, i), gpu.M(p.dropped(f, i, n, x), n, in), a.Transposed(), 1, 0)
		}
		b := gpu.M(f.br.b[i], w.out, p.a.LoRA.Rank)
		d.MatMul(gpu.M(ys[i], n, w.out), p.columns(f.t, f, n, i), b.Transposed(), p.a.scale, 1)
	}
}

// back takes the gradients dys of a fan's outputs to those of its weights and,
// unless dx is none, to its input: dx = beta·dx + gradient.
func (p *Pass) back(f fan, n int, x, dx gpu.Buf, beta float32, dys ...gpu.Buf) {
	d := p.m.dev
	for i, w := range f.ws {
		dy := gpu.M(dys[i], n, w.out)
		if p.full {
			d.MatMul(gpu.M(w.dw, w.out, w.in), dy.Transposed(), gpu.M(x, n, w.in), 1, 1)
		}
		if dx.Len > 0 {
			d.MatMul(gpu.M(dx, n, w.in), dy, gpu.M(w.w, w.out, w.in), 1, beta)
			beta = 1
		}
	}
	if f.br != nil {
		p.backAdapter(f, n, x, dx, dys)
	}
}

func (p *Pass) backAdapter(f fan, n int, x, dx gpu.Buf, dys []gpu.Buf) {
	d, in, rank := p.m.dev, f.ws[0].in, p.a.LoRA.Rank
	dt := p.dt.Slice(0, n*f.br.ranks)
	for i, w := range f.ws {
		if f.br.b[i].Len == 0 {
			continue
		}
		dy, dti := gpu.M(dys[i], n, w.out), p.columns(dt, f, n, i)
		d.MatMul(gpu.M(f.br.db[i], w.out, rank), dy.Transposed(), p.columns(f.t, f, n, i), p.a.scale, 1)
		d.MatMul(dti, dy, gpu.M(f.br.b[i], w.out, rank), p.a.scale, 0)
		if p.drop > 0 {
			a, da := p.one(f, i)
			d.MatMul(da, dti.Transposed(), gpu.M(p.dropped(f, i, n, x), n, in), 1, 1)
			if dx.Len > 0 {
				dxd := p.xdrop.Slice(0, n*in)
				d.MatMul(gpu.M(dxd, n, in), dti, a, 1, 0)
				d.Axpy(dx, p.dropped(f, i, n, dxd), 1)
			}
		}
	}
	if p.drop > 0 {
		return
	}
	all := gpu.M(dt, n, f.br.ranks)
	d.MatMul(gpu.M(f.br.da, f.br.ranks, in), all.Transposed(), gpu.M(x, n, in), 1, 1)
	if dx.Len > 0 {
		d.MatMul(gpu.M(dx, n, in), all, gpu.M(f.br.a, f.br.ranks, in), 1, 1)
	}
}

// columns returns projection i's part of t (n, ranks), which is (n, R).
func (p *Pass) columns(t gpu.Buf, f fan, n, i int) gpu.Mat {
	from, rank := f.br.column[i], p.a.LoRA.Rank
	to := (n-1)*f.br.ranks + from + rank
	return gpu.Mat{Buf: t.Slice(from, to), Rows: n, Cols: rank, Stride: f.br.ranks}
}

// one returns projection i's own A (R, in) and its gradient.
func (p *Pass) one(f fan, i int) (a, da gpu.Mat) {
	in, rank := f.ws[0].in, p.a.LoRA.Rank
	from := f.br.column[i] * in
	to := from + rank*in
	return gpu.M(f.br.a.Slice(from, to), rank, in), gpu.M(f.br.da.Slice(from, to), rank, in)
}

// dropped returns x (n, in) as projection i's A sees it. Of a gradient it is
// the way back.
func (p *Pass) dropped(f fan, i, n int, x gpu.Buf) gpu.Buf {
	out := p.xdrop.Slice(0, n*f.ws[0].in)
	p.m.dev.Dropout(out, x, p.drop, f.key+uint64(i))
	return out
}
