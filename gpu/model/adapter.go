package model

import (
	"fmt"
	"math"
	"strings"

	"starbook/gpu"
)

// LoRA says what an adapter is like, in PEFT's terms.
type LoRA struct {
	Rank    int
	Alpha   float64
	Dropout float64  // probability that an input of A is dropped in training
	Targets []string // as PEFT matches them: "q_proj", "layers.0.mlp.up_proj", or just "all-linear"
	RSLoRA  bool     // scale by 1/sqrt(Rank) instead of 1/Rank
	Seed    uint64   // of A, and of dropout
}

// Scale returns the factor of B·A.
func (l LoRA) Scale() float64 {
	if l.RSLoRA {
		return l.Alpha / math.Sqrt(float64(l.Rank))
	}
	return l.Alpha / float64(l.Rank)
}

func (l LoRA) check() error {
	switch {
	case l.Rank <= 0:
		return fmt.Errorf("lora: rank is %d: it must be positive", l.Rank)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("lora: alpha is %g: it must be positive", l.Alpha)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("lora: dropout is %g: it must be at least 0 and below 1", l.Dropout)
	case len(l.Targets) == 0:
		return fmt.Errorf(`lora: no target modules: name some, such as "q_proj" and "v_proj", or "all-linear"`)
	}
	return nil
}

// Adapter is a LoRA adapter for models of one shape: for each targeted
// projection W a pair A, B of float32 matrices, W becoming W + Scale·B·A.
type Adapter struct {
	LoRA   LoRA
	Params *Params

	cfg   Config
	scale float32
	sites [][sites]branch // by layer
	head  branch
	width int // the largest sum of ranks at one site
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
	ranks  int        // adapted projections × R; 0: none
	a, da  gpu.Buf    // (ranks, in)
	b, db  [3]gpu.Buf // (out, R) by projection; none where not adapted
	column [3]int     // of x·Aᵀ, by projection
}

// module is a projection that an adapter targets.
type module struct {
	name    string
	out, in int
	layer   int // -1: lm_head
	proj    int
}

// NewAdapter returns an adapter whose A is what PEFT makes of the same seed and
// whose B is zero, so that it changes nothing yet.
func NewAdapter(m *Transformer, l LoRA) (*Adapter, error) {
	a, modules, err := layAdapter(m.dev, m.Config, l)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	values := make([]float32, a.Params.Len())
	random := newMersenne(l.Seed)
	for i, mod := range modules {
		t := a.Params.Tensors[i]
		// PEFT makes two nn.Linear, which draw their own start, and then A's anew.
		random.skip(l.Rank*mod.in + mod.out*l.Rank)
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

// layAdapter gives an adapter its memory. Tensors holds all A in the order of
// the modules, then all B.
func layAdapter(dev gpu.Device, cfg Config, l LoRA) (*Adapter, []module, error) {
	modules, err := l.modules(cfg)
	if err != nil {
		return nil, nil, err
	}
	p := &Params{dev: dev}
	n := 0
	add := func(name string, rows, cols int) {
		p.Tensors = append(p.Tensors, Tensor{"base_model.model." + name, []int{rows, cols}, n})
		n += rows * cols
	}
	for _, m := range modules {
		add(m.name+".lora_A.weight", l.Rank, m.in)
	}
	p.Split = n
	for _, m := range modules {
		add(m.name+".lora_B.weight", m.out, l.Rank)
	}
	p.alloc(n)
	a := &Adapter{LoRA: l, Params: p, cfg: cfg, scale: float32(l.Scale()), sites: make([][sites]branch, cfg.Layers)}
	for i, m := range modules {
		a.join(m, p.Tensors[i], p.Tensors[len(modules)+i])
	}
	return a, modules, dev.Sync()
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
	br.column[at] = br.ranks
	br.ranks += a.LoRA.Rank
	br.a, br.da = p.W.Slice(from, ta.From+ta.Len()), p.G.Slice(from, ta.From+ta.Len())
	br.b[at], br.db[at] = p.W.Slice(tb.From, tb.From+tb.Len()), p.G.Slice(tb.From, tb.From+tb.Len())
	a.width = max(a.width, br.ranks)
}

// modules returns the targeted projections in torch's module order.
func (l LoRA) modules(cfg Config) ([]module, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	used := make([]bool, len(l.Targets))
	var found []module
	consider := func(m module) {
		hit := false
		for i, t := range l.Targets {
			all := t == "all-linear" && m.layer >= 0
			if all || m.name == t || strings.HasSuffix(m.name, "."+t) {
				hit, used[i] = true, true
			}
		}
		if hit {
			found = append(found, m)
		}
	}
	for layer := range cfg.Layers {
		for p := range projections {
			out, in := cfg.projDims(p)
			consider(module{layerName(layer, projNames[p]), out, in, layer, p})
		}
	}
	consider(module{"lm_head", cfg.Vocab, cfg.Hidden, -1, 0})
	for i, ok := range used {
		if !ok {
			return nil, fmt.Errorf("lora: target %q names no projection: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj and lm_head exist", l.Targets[i])
		}
	}
	if cfg.Tied && found[len(found)-1].layer < 0 {
		return nil, fmt.Errorf("lora: target lm_head is tied to the embedding table of this model: leave it out, or untie the model first")
	}
	return found, nil
}

// Close gives the adapter's memory back.
func (a *Adapter) Close() {
	a.Params.free()
	a.Params = nil
}
