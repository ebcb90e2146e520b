package model

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"starbook/gpu"
)

// Transformer is the weights of a model on a device. They are frozen until
// Unfreeze. It is used by one goroutine at a time, as its device is.
type Transformer struct {
	Config     Config
	Generation Generation

	dev     gpu.Device
	weights []*weight // in the order of torch's named_parameters
	embed   *weight   // (V, D)
	layers  []layer
	norm    *weight    // (D)
	heads   [1]*weight // (V, D); the same as embed if tied
	params  *Params    // nil while frozen

	files  files // what frozen weights are mapped from, or nil
	rotary *rotary

	outline bool // without contents: see Outline
	rounded bool // when it was loaded: see OpenQuantised
}

// rotary is the tables of the rotary embedding.
type rotary struct {
	cos, sin  gpu.Buf // (positions, E/2)
	positions int
}

// layer is one block: attention and feed-forward, each after a norm.
type layer struct {
	norm1 *weight // (D), before attention
	norm2 *weight // (D), before the feed-forward block
	proj  [projections]*weight
	bias  [projV + 1]*weight // of q, k and v (out); nil in families without
	norms [projK + 1]*weight // of the heads of q and k (E); nil in families without
}

// weight is one named tensor and, if it is trained, its gradient.
type weight struct {
	name    string
	out, in int // (out, in); a vector has out 1
	vector  bool
	w       gpu.Buf
	dw      gpu.Buf // zero while frozen
}

func (w *weight) shape() []int {
	if w.vector {
		return []int{w.in}
	}
	return []int{w.out, w.in}
}

func (w *weight) len() int { return w.out * w.in }

func (w *weight) bias() bool { return strings.HasSuffix(w.name, ".bias") }

// The projections of a layer, in the order of torch's named_modules.
const (
	projQ = iota
	projK
	projV
	projO
	projGate
	projUp
	projDown
	projections
)

var projNames = [projections]string{
	"self_attn.q_proj",
	"self_attn.k_proj",
	"self_attn.v_proj",
	"self_attn.o_proj",
	"mlp.gate_proj",
	"mlp.up_proj",
	"mlp.down_proj",
}

// projDims returns the outputs and inputs of a projection.
func (c Config) projDims(p int) (out, in int) {
	switch p {
	case projQ:
		return c.Heads * c.HeadDim, c.Hidden
	case projK, projV:
		return c.KVHeads * c.HeadDim, c.Hidden
	case projO:
		return c.Hidden, c.Heads * c.HeadDim
	case projDown:
		return c.Hidden, c.FeedForward
	}
	return c.FeedForward, c.Hidden // gate, up
}

func layerName(l int, rest string) string { return fmt.Sprintf("model.layers.%d.%s", l, rest) }

// lay returns a Transformer whose weights have names and shapes but no memory.
func lay(dev gpu.Device, cfg Config) *Transformer {
	m := &Transformer{Config: cfg, dev: dev, layers: make([]layer, cfg.Layers), rotary: new(rotary)}
	matrix := func(name string, out, in int) *weight {
		w := &weight{name: name, out: out, in: in}
		m.weights = append(m.weights, w)
		return w
	}
	vector := func(name string, n int) *weight {
		w := matrix(name, 1, n)
		w.vector = true
		return w
	}
	m.embed = matrix("model.embed_tokens.weight", cfg.Vocab, cfg.Hidden)
	f := cfg.family()
	for i := range m.layers {
		l := &m.layers[i]
		for p := range l.proj {
			out, in := cfg.projDims(p)
			l.proj[p] = matrix(layerName(i, projNames[p]+".weight"), out, in)
			if f.qkvBias && p <= projV {
				l.bias[p] = vector(layerName(i, projNames[p]+".bias"), out)
			}
			if f.qkNorm && p == projO {
				l.norms[projQ] = vector(layerName(i, "self_attn.q_norm.weight"), cfg.HeadDim)
				l.norms[projK] = vector(layerName(i, "self_attn.k_norm.weight"), cfg.HeadDim)
			}
		}
		l.norm1 = vector(layerName(i, "input_layernorm.weight"), cfg.Hidden)
		l.norm2 = vector(layerName(i, "post_attention_layernorm.weight"), cfg.Hidden)
	}
	m.norm = vector("model.norm.weight", cfg.Hidden)
	m.heads[0] = m.embed
	if !cfg.Tied {
		m.heads[0] = matrix("lm_head.weight", cfg.Vocab, cfg.Hidden)
	}
	return m
}

// New returns a Transformer with random weights: matrices from a normal
// distribution of deviation 0.02, norms one, biases zero. Equal seeds give
// equal weights.
func New(dev gpu.Device, cfg Config, seed uint64) (*Transformer, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m := lay(dev, cfg)
	for i, w := range m.weights {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		values := make([]float32, w.len())
		for j := range values {
			switch {
			case !w.vector:
				values[j] = float32(0.02 * random.NormFloat64())
			case !w.bias():
				values[j] = 1
			}
		}
		w.w = dev.Alloc(gpu.F32, len(values))
		dev.Upload(w.w, values)
	}
	if err := dev.Sync(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return m, nil
}

// Device returns the device that m lives on.
func (m *Transformer) Device() gpu.Device { return m.dev }

// Size returns the number of weights; a tied table counts once.
func (m *Transformer) Size() int {
	n := 0
	for _, w := range m.weights {
		n += w.len()
	}
	return n
}

// Unfreeze moves all weights into one flat float32 buffer with gradients, so
// that full training can begin, and returns it. Passes made before are void.
func (m *Transformer) Unfreeze() (*Params, error) {
	if m.params != nil {
		return m.params, nil
	}
	p := newParams(m.dev, m.weights)
	if m.Config.Tied {
		p.apart = m.dev.Alloc(gpu.F32, m.embed.len())
	}
	place := func(i int) (from, to int) { return p.Tensors[i].From, p.Tensors[i].From + p.Tensors[i].Len() }
	for i, w := range p.order {
		m.dev.Copy(p.W.Slice(place(i)), w.w)
	}
	if err := m.dev.Sync(); err != nil { // the frozen weights are still in place
		p.free()
		return nil, fmt.Errorf("model: unfreeze %d weights: %w", p.Len(), err)
	}
	for i, w := range p.order {
		m.dev.Free(w.w)
		w.w, w.dw = p.W.Slice(place(i)), p.G.Slice(place(i))
	}
	if m.Config.Tied {
		p.tied = m.embed.dw
	}
	m.params = p
	return p, m.closeFiles()
}

// Params returns what Unfreeze returned, or nil while m is frozen.
func (m *Transformer) Params() *Params { return m.params }

// Close gives the memory of the weights back and closes their files.
func (m *Transformer) Close() error {
	if m.params != nil {
		m.params.free()
	} else {
		for _, w := range m.weights {
			m.dev.Free(w.w)
		}
	}
	m.dev.Free(m.rotary.cos)
	m.dev.Free(m.rotary.sin)
	m.weights, m.params = nil, nil
	return m.closeFiles()
}

func (m *Transformer) closeFiles() error {
	if m.files == nil {
		return nil
	}
	err := m.files.Close()
	m.files = nil
	return err
}

// angles makes sure that the rotary tables cover positions 0 to n-1.
func (m *Transformer) angles(n int) {
	r := m.rotary
	if n <= r.positions {
		return
	}
	if r.positions > 0 {
		m.dev.Free(r.cos)
		m.dev.Free(r.sin)
	}
	cos, sin := m.Config.Rope.table(n, m.Config.HeadDim)
	r.cos, r.sin = m.dev.Alloc(gpu.F32, len(cos)), m.dev.Alloc(gpu.F32, len(sin))
	m.dev.Upload(r.cos, cos)
	m.dev.Upload(r.sin, sin)
	r.positions = n
}
