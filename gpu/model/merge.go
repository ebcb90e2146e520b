package model

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// Merge writes the model in the directory base, with a folded into its
// weights, to the directory out: W' = W + Scale·B·A, summed in float32 and
// rounded once to the type that W is stored in. Files, shards and everything
// beside the weights stay as they are.
func (a *Adapter) Merge(ctx context.Context, base, out string) (Merged, error) {
	if same(base, out) {
		return Merged{}, fmt.Errorf("model: merge: %s is the base: name another directory", out)
	}
	files, err := safetensors.OpenSet(base)
	if err != nil {
		return Merged{}, fmt.Errorf("model: merge: %w", err)
	}
	defer files.Close()
	m, err := newMerger(ctx, a, files)
	if err != nil {
		return Merged{}, fmt.Errorf("model: merge: %w", err)
	}
	defer m.a.Params.dev.Free(m.delta)
	if err := copyBeside(base, out); err != nil {
		return Merged{}, fmt.Errorf("model: merge: %w", err)
	}
	for _, f := range files.Files() {
		var tensors []safetensors.Tensor
		for _, name := range f.Names() {
			t, _ := f.Tensor(name)
			tensors = append(tensors, t)
		}
		path := filepath.Join(out, filepath.Base(f.Path()))
		if err := safetensors.WriteFile(path, tensors, f.Metadata(), m.merge); err != nil {
			return Merged{}, fmt.Errorf("model: merge: %w", err)
		}
	}
	return m.report(), nil
}

// merger is a Merge on its way.
type merger struct {
	ctx    context.Context
	a      *Adapter
	pairs  map[string]pair // by the name of the weight
	delta  gpu.Buf         // room for the largest W
	raw    []byte
	w, d   []float32
	sums   []sums
	merged []Fidelity
}

// pair is the A and B of one projection.
type pair struct {
	module
	a, b gpu.Buf // (R, in), (out, R)
}

func newMerger(ctx context.Context, a *Adapter, files source) (*merger, error) {
	m := &merger{ctx: ctx, a: a, pairs: make(map[string]pair)}
	largest, p, modules := 0, a.Params, a.modules
	for i, mod := range modules {
		ta, tb := p.Tensors[i], p.Tensors[len(modules)+i]
		name := mod.name + ".weight"
		t, ok := files.Tensor(name)
		if !ok || len(t.Shape) != 2 || t.Shape[0] != mod.out || t.Shape[1] != mod.in {
			return nil, fmt.Errorf("the base has no tensor %s of shape [%d %d]: the adapter belongs to another model", name, mod.out, mod.in)
		}
		m.pairs[name] = pair{mod, p.W.Slice(ta.From, ta.From+ta.Len()), p.W.Slice(tb.From, tb.From+tb.Len())}
		largest = max(largest, mod.out*mod.in)
	}
	m.delta = p.dev.Alloc(gpu.F32, largest)
	return m, p.dev.Sync()
}

// merge returns the bytes of t with its change, if it has one.
func (m *merger) merge(t safetensors.Tensor) ([]byte, error) {
	if err := m.ctx.Err(); err != nil {
		return nil, err
	}
	p, ok := m.pairs[t.Name]
	if !ok {
		return t.Data, nil
	}
	n, dev := p.out*p.in, m.a.Params.dev
	m.w, m.d = grow(m.w, n), grow(m.d, n)
	if err := t.ReadF32(m.w, 0); err != nil {
		return nil, err
	}
	delta := m.delta.Slice(0, n)
	dev.MatMul(gpu.M(delta, p.out, p.in), gpu.M(p.b, p.out, p.rank), gpu.M(p.a, p.rank, p.in), p.scale, 0)
	dev.Download(m.d, delta)
	if err := dev.Sync(); err != nil {
		return nil, err
	}
	var s sums
	for i, w := range m.w {
		m.d[i], m.w[i] = w+m.d[i], m.d[i] // now the sum, and Δ
	}
	var err error
	if m.raw, err = safetensors.AppendF32(m.raw[:0], t.DType, m.d); err != nil {
		return nil, err
	}
	was, now := t, t
	now.Data = m.raw
	if err := s.compare(was, now, m.w); err != nil {
		return nil, err
	}
	m.sums = append(m.sums, s)
	m.merged = append(m.merged, s.fidelity(t.Name))
	return m.raw, nil
}

func (m *merger) report() Merged {
	var total sums
	for _, s := range m.sums {
		total.dot += s.dot
		total.delta += s.delta
		total.lost += s.lost
		total.changed += s.changed
		total.n += s.n
	}
	return Merged{total.fidelity(""), m.merged}
}

func grow(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// copyBeside copies the files of a model directory that hold no weights.
func copyBeside(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case e.IsDir(), strings.HasPrefix(e.Name(), "."):
		case ext == ".safetensors", ext == ".bin", ext == ".pt", ext == ".pth", ext == ".gguf", ext == ".h5", ext == ".msgpack":
		default:
			if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
