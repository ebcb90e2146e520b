package model

import "starbook/gpu"

// fan is projections that share an input x, and the adapter there:
// yᵢ = x·Wᵢᵀ + scaleᵢ·drop(x)·Aᵢᵀ·Bᵢᵀ.
type fan struct {
	ws  []*weight
	br  *branch   // nil: no adapter
	t   gpu.Buf   // (n, ranks) drop(x)·Aᵀ, kept for the backward pass
	seg *segments // of the n rows
	key uint64    // of the first projection's dropout
}

// segments are runs of rows of one sequence each, by which sums over rows are
// made: see gpu.Ops.
type segments struct {
	starts []int32  // first row of each, then behind the last
	salts  []uint64 // of dropout in each
	keys   []uint64 // made of salts for one projection
}

func (g *segments) reset() { g.starts, g.salts = append(g.starts[:0], 0), g.salts[:0] }

// add appends a segment that ends before row end.
func (g *segments) add(end int, salt uint64) {
	g.starts, g.salts = append(g.starts, int32(end)), append(g.salts, salt)
}

// pad fills rows up with one more segment and adds empty ones until there are
// as many as d likes.
func (g *segments) pad(d gpu.Device, rows int) {
	if rows > int(g.starts[len(g.starts)-1]) {
		g.add(rows, 0)
	}
	for want := d.Pad(len(g.salts)); len(g.salts) < want; {
		g.add(rows, 0)
	}
}

// mixed returns the segments' keys of dropout for one projection.
func (g *segments) mixed(key uint64) []uint64 {
	g.keys = g.keys[:0]
	for _, salt := range g.salts {
		g.keys = append(g.keys, mix(key, salt))
	}
	return g.keys
}

// at returns the fan of layer l at site s.
func (p *Pass) at(l, s int) fan {
	f := fan{ws: p.m.layers[l].proj[siteProjs[s]:siteProjs[s+1]], t: p.layers[l].t[s], seg: &p.whole}
	if p.a != nil && p.a.sites[l][s].ranks > 0 {
		f.br, f.key = &p.a.sites[l][s], mix(p.key, uint64(l*projections+siteProjs[s]))
	}
	return f
}

// atHead returns the fan of the output layer for n rows.
func (p *Pass) atHead(n int) fan {
	f := fan{ws: p.m.heads[:], seg: &p.inChunk}
	if p.a != nil && p.a.head.ranks > 0 {
		f.br, f.t = &p.a.head, p.thead.Slice(0, n*p.a.head.ranks)
		f.key = mix(p.key, uint64(len(p.layers)*projections))
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
	p.narrow(f, n, x)
	for i, w := range f.ws {
		if f.br.b[i].Len == 0 {
			continue
		}
		b := gpu.M(f.br.b[i], w.out, f.br.rank[i])
		d.MatMul(gpu.M(ys[i], n, w.out), p.part(gpu.M(f.t, n, f.br.ranks), f, i), b.Transposed(), f.br.scale[i], 1)
	}
}

// narrow computes f.t, which is n rows x as the adapter's A make them.
func (p *Pass) narrow(f fan, n int, x gpu.Buf) {
	d, in := p.m.dev, f.ws[0].in
	if p.drop == 0 {
		d.MatMul(gpu.M(f.t, n, f.br.ranks), gpu.M(x, n, in), gpu.M(f.br.a, f.br.ranks, in).Transposed(), 1, 0)
		return
	}
	for i := range f.ws {
		if f.br.b[i].Len > 0 {
			a, _ := p.one(f, i)
			d.MatMul(p.part(gpu.M(f.t, n, f.br.ranks), f, i), gpu.M(p.dropped(f, i, n, x), n, in), a.Transposed(), 1, 0)
		}
	}
}

// back takes the gradients dys of a fan's outputs to those of its weights and,
// unless dx is none, to its input: dx = beta·dx + gradient.
func (p *Pass) back(f fan, n int, x, dx gpu.Buf, beta float32, dys ...gpu.Buf) {
	d := p.m.dev
	for i, w := range f.ws {
		if p.full {
			d.MatMulRows(gpu.M(w.dw, w.out, w.in), gpu.M(dys[i], n, w.out), gpu.M(x, n, w.in), f.seg.starts, 1)
		}
		if dx.Len > 0 {
			d.MatMul(gpu.M(dx, n, w.in), gpu.M(dys[i], n, w.out), gpu.M(w.w, w.out, w.in), 1, beta)
			beta = 1
		}
	}
	if f.br != nil {
		p.backAdapter(f, n, x, dx, dys)
	}
}

func (p *Pass) backAdapter(f fan, n int, x, dx gpu.Buf, dys []gpu.Buf) {
	d, in, ranks := p.m.dev, f.ws[0].in, f.br.ranks
	dt := p.dt.Slice(0, n*ranks)
	for i, w := range f.ws {
		if f.br.b[i].Len == 0 {
			continue
		}
		rank, scale := f.br.rank[i], f.br.scale[i]
		dy, t := gpu.M(dys[i], n, w.out), p.part(gpu.M(f.t, n, ranks), f, i)
		d.MatMulRows(gpu.M(f.br.db[i], w.out, rank), dy, t, f.seg.starts, scale)
		dti := p.part(gpu.M(dt, n, ranks), f, i)
		d.MatMul(dti, dy, gpu.M(f.br.b[i], w.out, rank), scale, 0)
		if p.drop > 0 {
			p.backDropped(f, i, n, x, dx, dt)
		}
	}
	if p.drop > 0 {
		return
	}
	d.MatMulRows(gpu.M(f.br.da, ranks, in), gpu.M(dt, n, ranks), gpu.M(x, n, in), f.seg.starts, 1)
	if dx.Len > 0 {
		d.MatMul(gpu.M(dx, n, in), gpu.M(dt, n, ranks), gpu.M(f.br.a, ranks, in), 1, 1)
	}
}

// backDropped is the way back through projection i's A and the dropout before it.
func (p *Pass) backDropped(f fan, i, n int, x, dx, dt gpu.Buf) {
	d, in := p.m.dev, f.ws[0].in
	a, da := p.one(f, i)
	dti := p.part(gpu.M(dt, n, f.br.ranks), f, i)
	d.MatMulRows(da, dti, gpu.M(p.dropped(f, i, n, x), n, in), f.seg.starts, 1)
	if dx.Len > 0 {
		dxd := p.xdrop.Slice(0, n*in)
		d.MatMul(gpu.M(dxd, n, in), dti, a, 1, 0)
		d.Axpy(dx, p.dropped(f, i, n, dxd), 1)
	}
}

// part returns projection i's columns of t (rows, ranks), which are (rows, R).
func (p *Pass) part(t gpu.Mat, f fan, i int) gpu.Mat {
	from, rank := f.br.column[i], f.br.rank[i]
	to := (t.Rows-1)*t.Stride + from + rank
	return gpu.Mat{Buf: t.Buf.Slice(from, to), Rows: t.Rows, Cols: rank, Stride: t.Stride}
}

// one returns projection i's own A (R, in) and its gradient.
func (p *Pass) one(f fan, i int) (a, da gpu.Mat) {
	in, rank := f.ws[0].in, f.br.rank[i]
	from := f.br.column[i] * in
	to := from + rank*in
	return gpu.M(f.br.a.Slice(from, to), rank, in), gpu.M(f.br.da.Slice(from, to), rank, in)
}

// dropped returns x (n, in) as projection i's A sees it. Of a gradient it is
// the way back. x may be what it returned.
func (p *Pass) dropped(f fan, i, n int, x gpu.Buf) gpu.Buf {
	in := f.ws[0].in
	out := p.xdrop.Slice(0, n*in)
	p.m.dev.Dropout(out, x, in, f.seg.starts, f.seg.mixed(f.key+uint64(i)), p.drop)
	return out
}
