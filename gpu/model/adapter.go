package model

import (
	"fmt"
	"math"
	"strings"

	"starbook/gpu"
)

// Adapter is a LoRA adapter for models of one shape: for each targeted
// projection W a pair A, B of float32 matrices, W becoming W + scale·B·A.
type Adapter struct {
	LoRA   LoRA
	Params *Params

	cfg     Config
	modules []module
	sites   [][sites]branch // by layer
	head    branch
	width   int // the largest sum of ranks at one site
	saved   []saved
	first   []float32 // what Params began with and the base gave up; nil: nothing
}

// A site is where projections share an input, so that their A matrices, which
// lie one below the other, are one matrix.
const (
	siteQKV = iota
	siteO
	siteGateUp
	siteDown
	sites
)

// siteProjs is the first projection of each site, and behind the last one.
var siteProjs = [sites + 1]int{projQ, projO, projGate, projDown, projections}

// branch is the part of an adapter at one site. Up to three projections begin
// there, and each that is adapted owns R columns of x·Aᵀ, in their order.
type branch struct {
	ranks  int        // sum of R of the adapted projections; 0: none
	a, da  gpu.Buf    // (ranks, in)
	b, db  [3]gpu.Buf // (out, R) by projection; none where not adapted
	rank   [3]int     // R, by projection
	scale  [3]float32 // of B·A, by projection
	column [3]int     // of x·Aᵀ, by projection
}

// NewAdapter returns an adapter whose A is what PEFT makes of the same seed and
// whose B is zero, so that it changes nothing yet; or as l.Init says.
func NewAdapter(m *Transformer, l LoRA) (*Adapter, error) {
	if len(l.Save) > 0 {
		return nil, fmt.Errorf("model: lora: modules to save (%s) are read from adapters of PEFT, and not trained here", strings.Join(l.Save, ", "))
	}
	if l.Init == PiSSA {
		first, err := Principal(m, l)
		if err != nil {
			return nil, err
		}
		return NewPrincipal(m, l, first)
	}
	a, err := layAdapter(m.dev, m.Config, l)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if m.outline {
		return a, nil
	}
	values := make([]float32, a.Params.Len())
	random := newMersenne(l.Seed)
	for i, mod := range a.modules {
		t := a.Params.Tensors[i]
		// PEFT makes two nn.Linear, which draw their own start, and then A's anew.
		random.skip(mod.rank*mod.in + mod.out*mod.rank)
		random.uniform(values[t.From:t.From+t.Len()], kaimingBound(mod.in))
	}
	if err := a.Params.Write(values); err != nil {
		return nil, err
	}
	return a, nil
}

// kaimingBound is 1/sqrt(in) by the steps that torch takes to it
// (kaiming_uniform_ with a = sqrt(5)), for the sake of the last bit.
func kaimingBound(in int) float32 {
	a := math.Sqrt(5)
	gain := math.Sqrt(2 / (1 + a*a))
	deviation := gain / math.Sqrt(float64(in))
	return float32(math.Sqrt(3) * deviation)
}

// layAdapter gives an adapter its memory.
func layAdapter(dev gpu.Device, cfg Config, l LoRA) (*Adapter, error) {
	modules, err := l.modules(cfg)
	if err != nil {
		return nil, err
	}
	p := &Params{dev: dev}
	n := 0
	p.Tensors, p.Split, n = factorsOf(modules)
	p.alloc(n)
	a := &Adapter{LoRA: l, Params: p, cfg: cfg, modules: modules, sites: make([][sites]branch, cfg.Layers)}
	for i, m := range modules {
		a.join(m, p.Tensors[i], p.Tensors[len(modules)+i])
	}
	return a, dev.Sync()
}

// factorsOf returns the n elements of an adapter: all A in the order of the modules, then
// from split on all B.
func factorsOf(modules []module) (list []Tensor, split, n int) {
	add := func(name string, rows, cols int) {
		list = append(list, Tensor{inside + name, []int{rows, cols}, n})
		n += rows * cols
	}
	for _, m := range modules {
		add(m.name+".lora_A.weight", m.rank, m.in)
	}
	split = n
	for _, m := range modules {
		add(m.name+".lora_B.weight", m.out, m.rank)
	}
	return list, split, n
}

// join adds a module to the branch at its site. Modules come in order, so the
// A of one branch are neighbours.
func (a *Adapter) join(m module, ta, tb Tensor) {
	br, at := &a.head, 0
	if m.layer >= 0 {
		s := 0
		for m.proj >= siteProjs[s+1] {
			s++
		}
		br, at = &a.sites[m.layer][s], m.proj-siteProjs[s]
	}
	p := a.Params
	from := ta.From - br.ranks*m.in
	br.column[at], br.rank[at], br.scale[at] = br.ranks, m.rank, m.scale
	br.ranks += m.rank
	br.a, br.da = p.W.Slice(from, ta.From+ta.Len()), p.G.Slice(from, ta.From+ta.Len())
	br.b[at], br.db[at] = p.W.Slice(tb.From, tb.From+tb.Len()), p.G.Slice(tb.From, tb.From+tb.Len())
	a.width = max(a.width, br.ranks)
}

// Close gives the adapter's memory back.
func (a *Adapter) Close() {
	for _, s := range a.saved {
		a.Params.dev.Free(s.weight.w)
	}
	a.Params.free()
	a.Params, a.saved = nil, nil
}
