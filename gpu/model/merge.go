package model

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// MergeOptions say how a merge rounds.
type MergeOptions struct {
	// Type is "": every weight keeps its type; "F32": those that change become
	// float32, so that nothing is lost; or "F16": all weights become float16,
	// which has 8 times bfloat16's precision and ends at 65504. A quantised
	// weight, changed or not, is decoded to Type, which it asks for.
	Type string

	// TwoRoundings rounds the change to the weight's type before it is added,
	// as PEFT's safe_merge does, and not only the sum.
	TwoRoundings bool
}

func (o MergeOptions) check() error {
	if !slices.Contains([]string{"", "F16", "F32"}, o.Type) {
		return fmt.Errorf("model: merge: type %q: F16, F32 and the base's own exist", o.Type)
	}
	return nil
}

// of returns the type that a tensor is written in.
func (o MergeOptions) of(t safetensors.Tensor, changes bool) string {
	float := slices.Contains([]string{"F32", "BF16", "F16"}, t.DType)
	switch {
	case quantised(t), float && o.Type != "" && (changes || o.Type == "F16"):
		return o.Type
	}
	return t.DType
}

// quantised reports whether the elements of t share scales.
func quantised(t safetensors.Tensor) bool {
	typ, ok := typeOf(t.DType)
	return ok && typ.Block() > 1
}

// Merge writes the model in the directory base, with a folded into its
// weights, to the directory out: W' = W + scale·B·A, rounded once, computed where
// a is; every device makes the same bytes (gpu.Ops.Merge). It reads and writes
// tensor by tensor; files, shards and everything beside the weights stay as they
// are, but for what o.Type changes.
func (a *Adapter) Merge(ctx context.Context, base, out string, o MergeOptions) (Merged, error) {
	if err := o.check(); err != nil {
		return Merged{}, err
	}
	if same(base, out) {
		return Merged{}, fmt.Errorf("model: merge: %s is the base: name another directory", out)
	}
	_, files, err := openWeights(base)
	if err != nil {
		return Merged{}, err
	}
	defer files.Close()
	m, err := newMerger(ctx, a, files, o)
	if err != nil {
		return Merged{}, fmt.Errorf("model: merge: %w", err)
	}
	if err := m.beside(base, out); err != nil {
		return Merged{}, fmt.Errorf("model: merge: %w", err)
	}
	for _, s := range m.shards {
		if err := safetensors.WriteFile(filepath.Join(out, s.name), m.layout(s), s.metadata, m.merge); err != nil {
			return Merged{}, fmt.Errorf("model: merge: %w", err)
		}
	}
	return m.report(), nil
}

// merger is a Merge on its way.
type merger struct {
	ctx    context.Context
	a      *Adapter
	o      MergeOptions
	files  source
	shards []shard
	pairs  map[string]pair  // by the name of the weight
	whole  map[string]saved // by the name of the weight
	untied bool             // the last shard gets an lm_head of its own
	raw    []byte           // of the present tensor
	total  gpu.Merged
	merged []Fidelity
}

// shard is a file of the result.
type shard struct {
	name     string
	tensors  []string
	metadata map[string]string
}

// shardsOf returns the files of a model; a GGUF file becomes one of safetensors.
func shardsOf(src source) []shard {
	set, ok := src.(*safetensors.Set)
	if !ok {
		return []shard{{"model.safetensors", src.Names(), map[string]string{"format": "pt"}}}
	}
	var all []shard
	for _, f := range set.Files() {
		all = append(all, shard{filepath.Base(f.Path()), f.Names(), f.Metadata()})
	}
	return all
}

// pair is the A and B of one projection.
type pair struct {
	module
	a, b gpu.Buf // (R, in), (out, R)
}

// blockRows is how many rows of a matrix are on the device at a time.
const blockRows = 1024

func newMerger(ctx context.Context, a *Adapter, files source, o MergeOptions) (*merger, error) {
	m := &merger{ctx: ctx, a: a, o: o, files: files, shards: shardsOf(files), pairs: make(map[string]pair), whole: make(map[string]saved)}
	m.total.Broken = -1
	for _, name := range files.Names() {
		if t, _ := files.Tensor(name); quantised(t) && o.Type == "" {
			return nil, fmt.Errorf("%s is quantised (%s): a sum is not; say whether to decode to float16 or float32", name, t.DType)
		}
	}
	p, modules := a.Params, a.modules
	for i, mod := range modules {
		ta, tb := p.Tensors[i], p.Tensors[len(modules)+i]
		m.pairs[mod.name+".weight"] = pair{mod, p.W.Slice(ta.From, ta.From+ta.Len()), p.W.Slice(tb.From, tb.From+tb.Len())}
		if err := m.fits(mod.name+".weight", []int{mod.out, mod.in}); err != nil {
			return nil, err
		}
	}
	for _, s := range a.saved {
		name := s.weight.name
		if m.whole[name] = s; a.cfg.Tied && name == "lm_head.weight" {
			m.untied = true
		} else if err := m.fits(name, s.weight.shape()); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *merger) fits(name string, shape []int) error {
	if t, ok := m.files.Tensor(name); !ok || !slices.Equal(t.Shape, shape) {
		return fmt.Errorf("the base has no tensor %s of shape %v: the adapter belongs to another model", name, shape)
	}
	return nil
}

// changes reports whether the tensor of that name will have other numbers.
func (m *merger) changes(name string) bool {
	_, pair := m.pairs[name]
	_, whole := m.whole[name]
	return pair || whole
}

// layout returns the tensors of a file as they will be written, without data.
func (m *merger) layout(s shard) []safetensors.Tensor {
	var all []safetensors.Tensor
	for _, name := range s.tensors {
		t, _ := m.files.Tensor(name)
		if m.untied && name == "lm_head.weight" {
			continue // the copy of a tied table, which other readers ignore
		}
		t.DType = m.o.of(t, m.changes(name))
		all = append(all, t)
	}
	if m.untied && s.name == m.shards[len(m.shards)-1].name {
		t, _ := m.files.Tensor("model.embed_tokens.weight")
		t.Name, t.DType = "lm_head.weight", m.o.of(t, true)
		all = append(all, t)
	}
	return all
}

// merge returns the bytes of t, whose type is that of the result.
func (m *merger) merge(t safetensors.Tensor) ([]byte, error) {
	if err := m.ctx.Err(); err != nil {
		return nil, err
	}
	if s, ok := m.whole[t.Name]; ok && m.pairs[t.Name].out == 0 {
		return m.replace(t, s)
	}
	was, _ := m.files.Tensor(t.Name)
	if s, ok := m.whole[t.Name]; ok { // an lm_head that PEFT saved beside its adapter
		raw, err := m.replace(safetensors.Tensor{Name: t.Name, DType: "F32", Shape: t.Shape}, s)
		if err != nil {
			return nil, err
		}
		was.DType, was.Data = "F32", slices.Clone(raw)
	}
	p, changes := m.pairs[t.Name]
	if !changes && t.DType == was.DType {
		return was.Data, nil
	}
	if !changes {
		p.out, p.in = 1, t.Len()
		if len(t.Shape) == 2 {
			p.out, p.in = t.Shape[0], t.Shape[1]
		}
	}
	sum, err := m.fold(t, was, p)
	if err != nil {
		return nil, err
	}
	if changes {
		m.total.Add(sum)
		m.merged = append(m.merged, fidelity(t.Name, sum))
	}
	return m.raw, nil
}

// fold leaves the bytes of t in m.raw: those of was with p folded into them, on
// the device, some rows at a time. Without an adapter, p has no rank.
func (m *merger) fold(t, was safetensors.Tensor, p pair) (gpu.Merged, error) {
	typ, _ := typeOf(t.DType)
	sum, dev, row := gpu.Merged{Broken: -1}, m.a.Params.dev, typ.Bytes(p.in)
	m.raw = grow(m.raw, p.out*row)
	for from := 0; from < p.out; from += blockRows {
		to := min(from+blockRows, p.out)
		part, size := was, len(was.Data)/p.out
		part.Data = was.Data[from*size : to*size]
		w, err := place(dev, part)
		if err != nil {
			return sum, err
		}
		var b gpu.Buf
		if p.rank > 0 {
			b = p.b.Slice(from*p.rank, to*p.rank)
		}
		sum.Add(dev.Merge(m.raw[from*row:to*row], w, b, p.a, p.in, gpu.Merge{Rank: p.rank, Scale: p.scale, Type: typ, Twice: m.o.TwoRoundings}))
		dev.Free(w)
		if err := dev.Sync(); err != nil {
			return sum, err
		}
	}
	if i := sum.Broken; i >= 0 {
		x := typ.Decode(m.raw[typ.Bytes(i):typ.Bytes(i+1)])[0]
		return sum, fmt.Errorf("weight %d becomes %g: the adapter is broken, or the weight too large for %s", i, x, t.DType)
	}
	return sum, nil
}

// replace returns the bytes of a weight that the adapter brings along whole.
func (m *merger) replace(t safetensors.Tensor, s saved) ([]byte, error) {
	values := make([]float32, s.weight.len())
	m.a.Params.dev.Download(values, s.weight.w)
	if err := m.a.Params.dev.Sync(); err != nil {
		return nil, err
	}
	for i, x := range values {
		if x := float64(x); math.IsNaN(x) || math.IsInf(x, 0) || t.DType == "F16" && math.Abs(x) > 65504 {
			return nil, fmt.Errorf("weight %d is %g: the adapter is broken, or too large for %s", i, x, t.DType)
		}
	}
	var err error
	m.raw, err = safetensors.AppendF32(m.raw[:0], t.DType, values)
	return m.raw, err
}

func (m *merger) report() Merged { return Merged{fidelity("", m.total), m.merged} }

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
