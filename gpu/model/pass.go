package model

import (
	"fmt"
	"math"
	"strings"

	"starbook/gpu"
)

// Pass is a Transformer, an adapter or none, and the activations of one
// micro-batch. They lie in two arenas that are allocated once, for a number of
// rows that no batch may exceed.
type Pass struct {
	m      *Transformer
	a      *Adapter // nil: none
	train  bool
	again  int  // what the backward pass computes again: see NewTraining
	full   bool // every weight gets a gradient, not only the adapter
	lowest int  // the lowest layer that is trained
	rows   int  // the most rows of a batch
	c      int  // C: logits are never whole, see LogitRows

	n       int        // rows of the present batch, filled up
	real    int        // of them are not filling
	ids     []int32    // (N)
	pos     []int32    // (N) position in its own sequence
	whole   segments   // its sequences
	picked  []int32    // rows with a target
	targets []int32    // of the picked rows
	parts   segments   // of them, none longer than C
	inChunk segments   // those of the present chunk
	filled  [2][]int32 // its rows and targets
	nll     []float32
	picknll []float32
	sum     gpu.Buf // where losses are added up; none: nowhere
	key     uint64  // of dropout in this batch
	drop    float32 // probability; 0 except while training
	soft    Soft    // of the present batch
	distil  Distil
	host    []float32 // logits and losses, if they are computed on the host

	cache    *cache // of generation, or nil
	slots    []int32
	lens     []int32
	decoding bool

	acts  arena // in the device's type for activations
	exact arena // in F32: what sums are kept in
	activations
}

// arena is memory that is allocated once and laid out anew for each batch.
type arena struct {
	buf   gpu.Buf
	taken int
}

// take returns the next n elements, at a multiple of 64 elements. Before there
// is memory, it only counts.
func (a *arena) take(n int) gpu.Buf {
	from := a.taken
	a.taken += (n + 63) &^ 63
	if a.buf.Len == 0 {
		return gpu.Buf{}
	}
	return a.buf.Slice(from, from+n)
}

// activations are views of the arenas, laid anew for each batch's N.
type activations struct {
	layers []layerActivations
	last   gpu.Buf // (N, D) residual stream behind the last layer
	inv    gpu.Buf // (N) of the last norm
	norm   gpu.Buf // (N, D) output of the last norm, and of others that keep none of their own
	act    gpu.Buf // (N, F) output of SwiGLU, likewise
	chunk  gpu.Buf // (C, D) the rows of norm that logits are computed for
	thead  gpu.Buf // (C, ranks) chunk·Aᵀ
	logits gpu.Buf // (C, V), then their gradient
	losses gpu.Buf // (N), the first ones of as many as are picked
	xdrop  gpu.Buf // (N, max(D, H·E, F)) input after dropout

	dx     gpu.Buf // (N, D) of the residual stream
	dnorm  gpu.Buf // (N, D)
	datt   gpu.Buf // (N, H·E)
	dq     gpu.Buf // (N, H·E)
	dk, dv gpu.Buf // (N, K·E)
	dact   gpu.Buf // (N, F)
	dchunk gpu.Buf // (C, D)
	dt     gpu.Buf // (N, ranks) of whichever x·Aᵀ
}

// layerActivations are kept from forward to backward. Without training, all
// layers share one.
type layerActivations struct {
	x    gpu.Buf        // (N, D) residual stream before the block
	nrm1 gpu.Buf        // (N, D) x normed
	inv1 gpu.Buf        // (N)
	q    gpu.Buf        // (N, H·E), normed and rotated
	k, v gpu.Buf        // (N, K·E), k normed and rotated
	rawQ gpu.Buf        // (N, H·E) as projected; none if nothing needs it
	rawK gpu.Buf        // (N, K·E) as projected
	invQ gpu.Buf        // (N, H) of the norms of heads
	invK gpu.Buf        // (N, K)
	att  gpu.Buf        // (N, H·E)
	lse  gpu.Buf        // (N, H)
	mid  gpu.Buf        // (N, D) residual stream between attention and feed-forward
	nrm2 gpu.Buf        // (N, D) mid normed
	inv2 gpu.Buf        // (N)
	gate gpu.Buf        // (N, F), then its gradient
	up   gpu.Buf        // (N, F), then its gradient
	act  gpu.Buf        // (N, F) output of SwiGLU
	t    [sites]gpu.Buf // (N, ranks) x·Aᵀ
}

// NewPass returns a Pass for batches of at most rows rows. To train, a must
// not be nil unless the Transformer is unfrozen; gradients then go to a's
// parameters and to nothing else.
func NewPass(m *Transformer, a *Adapter, rows int, train bool) (*Pass, error) {
	return newPassOf(m, a, rows, train, RecomputeCheap)
}

// What the backward pass computes again, instead of keeping it from the forward
// pass. It changes no bit.
const (
	RecomputeNone   = iota // nothing
	RecomputeCheap         // the outputs of norms and of SwiGLU
	RecomputeBlocks        // all but the inputs of the blocks, which takes a second forward pass
)

// NewTraining returns a Pass that trains: see NewPass and RecomputeNone.
func NewTraining(m *Transformer, a *Adapter, rows, recompute int) (*Pass, error) {
	if recompute < RecomputeNone || recompute > RecomputeBlocks {
		return nil, fmt.Errorf("model: recompute is %d: it is 0, 1 or 2", recompute)
	}
	return newPassOf(m, a, rows, true, recompute)
}

func newPassOf(m *Transformer, a *Adapter, rows int, train bool, recompute int) (*Pass, error) {
	if err := check(m, a, rows, train); err != nil {
		return nil, err
	}
	p := layPass(m, a, rows, train, recompute)
	m.angles(min(rows, m.Config.MaxPositions))
	p.acts.buf, p.exact.buf = m.dev.Alloc(m.dev.Activations(), p.acts.taken), m.dev.Alloc(gpu.F32, p.exact.taken)
	if err := m.dev.Sync(); err != nil {
		return nil, fmt.Errorf("model: activations of %d rows, %d MiB: %w", rows, p.Bytes()>>20, err)
	}
	return p, nil
}

// LogitRows returns C, how many rows there are logits of at a time.
func LogitRows(dev gpu.Device, cfg Config) int { return dev.Pad(max(64, dev.Logits()/cfg.Vocab)) }

// layPass lays a Pass out without giving it memory.
func layPass(m *Transformer, a *Adapter, rows int, train bool, recompute int) *Pass {
	p := &Pass{
		m: m, a: a, train: train, again: recompute, full: train && a == nil, rows: rows, c: LogitRows(m.dev, m.Config),
		pos: make([]int32, 0, rows), picked: make([]int32, 0, rows), targets: make([]int32, 0, rows),
		nll: make([]float32, rows), picknll: make([]float32, rows),
	}
	p.layers = make([]layerActivations, m.Config.Layers)
	if a != nil {
		p.m, p.lowest = m.with(a.saved), a.lowest()
	}
	p.fit(m.dev.Pad(rows))
	return p
}

func check(m *Transformer, a *Adapter, rows int, train bool) error {
	switch {
	case rows <= 0:
		return fmt.Errorf("model: a pass of %d rows: it needs one at least", rows)
	case a != nil && !sameShape(a.cfg, m.Config):
		return fmt.Errorf("model: the adapter was made for a model of another shape")
	case train && a != nil && len(a.LoRA.Save) > 0:
		return fmt.Errorf("model: the adapter brings whole modules along (%s), which are not trained here", strings.Join(a.LoRA.Save, ", "))
	case train && a == nil && m.params == nil:
		return fmt.Errorf("model: the weights are frozen: train an adapter, or unfreeze them first")
	}
	return nil
}

// sameShape reports whether an adapter of one fits the other.
func sameShape(a, b Config) bool {
	return a.Vocab == b.Vocab && a.Hidden == b.Hidden && a.FeedForward == b.FeedForward && a.Layers == b.Layers &&
		a.Heads == b.Heads && a.KVHeads == b.KVHeads && a.HeadDim == b.HeadDim
}

// lowest returns the first layer that a adapts; all layers lie below lm_head.
func (a *Adapter) lowest() int {
	for l := range a.sites {
		for s := range a.sites[l] {
			if a.sites[l][s].ranks > 0 {
				return l
			}
		}
	}
	return len(a.sites)
}

// Params returns what the pass adds gradients to, nil if it does not train.
func (p *Pass) Params() *Params {
	switch {
	case !p.train:
		return nil
	case p.full:
		return p.m.params
	}
	return p.a.Params
}

// Bytes returns the size of the arenas in the device's memory.
func (p *Pass) Bytes() int {
	return p.m.dev.Activations().Bytes(p.acts.taken) + gpu.F32.Bytes(p.exact.taken)
}

// Close gives the arenas back. The Transformer and the adapter stay.
func (p *Pass) Close() {
	p.m.dev.Free(p.acts.buf)
	p.m.dev.Free(p.exact.buf)
	p.acts.buf, p.exact.buf = gpu.Buf{}, gpu.Buf{}
}

// fit lays the arenas out for n rows. Before there are any, it only counts.
func (p *Pass) fit(n int) {
	c, ranks, take := p.m.Config, 0, p.acts.take
	att, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	p.n, p.acts.taken, p.exact.taken = n, 0, 0
	for l := range p.layers {
		a := &p.layers[l]
		if l > 0 && p.shares() {
			if *a = p.layers[0]; p.train {
				a.x = take(n * c.Hidden)
			}
			continue
		}
		a.x, a.inv1 = take(n*c.Hidden), p.exact.take(n)
		a.q, a.k, a.v = take(n*att), take(n*kv), take(n*kv)
		if c.family().qkNorm {
			a.invQ, a.invK = p.exact.take(n*c.Heads), p.exact.take(n*c.KVHeads)
			if p.train {
				a.rawQ, a.rawK = take(n*att), take(n*kv)
			}
		}
		a.att, a.lse = take(n*att), p.exact.take(n*c.Heads)
		a.mid, a.inv2 = take(n*c.Hidden), p.exact.take(n)
		a.gate, a.up = take(n*c.FeedForward), take(n*c.FeedForward)
		if p.train && p.again == RecomputeNone {
			a.nrm1, a.nrm2, a.act = take(n*c.Hidden), take(n*c.Hidden), take(n*c.FeedForward)
		}
		p.fitAdapter(l)
	}
	rows := min(n, p.c)
	p.last, p.inv, p.norm = take(n*c.Hidden), p.exact.take(n), take(n*c.Hidden)
	if p.losses = p.exact.take(n + rows); !p.train || p.again > RecomputeNone {
		p.act = take(n * c.FeedForward)
		for l := range p.layers {
			p.layers[l].nrm1, p.layers[l].nrm2, p.layers[l].act = p.norm, p.norm, p.act
		}
	}
	p.chunk, p.logits = take(rows*c.Hidden), take(rows*c.Vocab)
	if p.a != nil {
		ranks = p.a.width
		p.thead = take(rows * p.a.head.ranks)
	}
	if !p.train {
		return
	}
	if p.a != nil && p.a.LoRA.Dropout > 0 {
		p.xdrop = take(n * max(c.Hidden, att, c.FeedForward))
	}
	p.dx, p.dnorm, p.datt = take(n*c.Hidden), take(n*c.Hidden), take(n*att)
	p.dq, p.dk, p.dv = take(n*att), take(n*kv), take(n*kv)
	p.dact, p.dchunk, p.dt = take(n*c.FeedForward), take(rows*c.Hidden), take(n*ranks)
}

// shares reports whether the layers have their activations in one place, but
// for their inputs in training.
func (p *Pass) shares() bool { return !p.train || p.again == RecomputeBlocks }

func (p *Pass) fitAdapter(l int) {
	switch t := &p.layers[l].t; {
	case p.a == nil:
	case p.train && p.shares():
		for s := range sites {
			widest := 0
			for l := range p.a.sites {
				widest = max(widest, p.a.sites[l][s].ranks)
			}
			t[s] = p.acts.take(p.n * widest)
		}
	case p.train:
		for s := range sites {
			t[s] = p.acts.take(p.n * p.a.sites[l][s].ranks)
		}
	default: // one for all sites of all layers
		shared := p.acts.take(p.n * p.a.width)
		*t = [sites]gpu.Buf{shared, shared, shared, shared}
	}
}

// scoreScale is what attention scores are multiplied by.
func (c Config) scoreScale() float32 { return float32(1 / math.Sqrt(float64(c.HeadDim))) }
