package model

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"starbook/gpu"
	"starbook/gpu/gguf"
	"starbook/gpu/safetensors"
)

// fileTypes are what general.file_type says of a file's matrices.
var fileTypes = map[gpu.Type]uint32{gpu.F32: 0, gpu.F16: 1, gpu.Q8_0: 7, gpu.BF16: 32}

// Quantisation says what a type costs: the error of the matrices, relative to
// their size, root mean squares.
type Quantisation struct {
	Error      float64
	Worst      string // the matrix with the largest
	WorstError float64
	Bytes      int // of all tensors
}

// ExportGGUF writes the model directory dir as a GGUF file, its matrices of
// type t: F32, F16, BF16 or Q8_0. Vectors stay float32, as ggml wants them.
// Tokenizer and chat template go along.
func ExportGGUF(ctx context.Context, dir, path, name string, t gpu.Type) (Quantisation, error) {
	cfg, src, err := openWeights(dir)
	if err != nil {
		return Quantisation{}, err
	}
	defer src.Close()
	if _, ok := fileTypes[t]; !ok {
		return Quantisation{}, fmt.Errorf("model: gguf: matrices of %v are not written: F32, F16, BF16 and Q8_0 are", t)
	}
	meta := cfg.ggufMeta(name, t)
	if err := ggufTokenizer(&meta, dir, cfg.Vocab); err != nil {
		return Quantisation{}, fmt.Errorf("model: %w", err)
	}
	x := &ggufExport{ctx: ctx, cfg: cfg, src: src}
	if err := gguf.WriteFile(path, &meta, x.layout(t), x.data); err != nil {
		return Quantisation{}, fmt.Errorf("model: %w", err)
	}
	return x.cost(), nil
}

// ggufExport is an ExportGGUF on its way.
type ggufExport struct {
	ctx        context.Context
	cfg        Config
	src        source
	q          Quantisation
	lost, size float64 // sums of squares
}

// layout returns the tensors in the order of the model.
func (x *ggufExport) layout(t gpu.Type) []gguf.Tensor {
	var all []gguf.Tensor
	for _, w := range lay(nil, x.cfg).weights {
		to := gguf.Tensor{Name: toGGUF(w.name), Type: t, Shape: w.shape()}
		if w.vector {
			to.Type = gpu.F32
		} else if w.in%t.Block() != 0 {
			to.Type = gpu.F16 // as ggml's own converter does
		}
		all = append(all, to)
	}
	if x.cfg.Rope.Kind == "llama3" {
		all = append(all, gguf.Tensor{Name: "rope_freqs.weight", Type: gpu.F32, Shape: []int{x.cfg.HeadDim / 2}})
	}
	return all
}

// data returns the bytes of one tensor.
func (x *ggufExport) data(t gguf.Tensor) ([]byte, error) {
	if err := x.ctx.Err(); err != nil {
		return nil, err
	}
	if t.Name == "rope_freqs.weight" {
		return gguf.Encode(gpu.F32, x.cfg.Rope.divisors(x.cfg.HeadDim))
	}
	name := fromGGUF(t.Name)
	from, ok := x.src.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("the model has no %s", name)
	}
	values, err := wide(from)
	if err != nil {
		return nil, err
	}
	raw, err := gguf.Encode(t.Type, values)
	if err != nil {
		return nil, err
	}
	x.q.Bytes += len(raw)
	if len(t.Shape) == 2 {
		x.compare(name, values, t.Type.Decode(raw))
	}
	if heads := x.cfg.interleaved(name); heads > 0 {
		t.Data = raw
		raw = reorder(t, heads, func(half, i, side int) int { j := side*half + i; return j%2*half + j/2 })
	}
	return raw, nil
}

// compare adds up what was lost of a matrix.
func (x *ggufExport) compare(name string, was, now []float32) {
	var lost, size float64
	for i := range was {
		d := float64(now[i]) - float64(was[i])
		lost += d * d
		size += float64(was[i]) * float64(was[i])
	}
	x.lost += lost
	x.size += size
	if e := math.Sqrt(lost / size); size > 0 && e > x.q.WorstError {
		x.q.Worst, x.q.WorstError = name, e
	}
}

func (x *ggufExport) cost() Quantisation {
	if x.size > 0 {
		x.q.Error = math.Sqrt(x.lost / x.size)
	}
	return x.q
}

// ggufMeta returns the metadata of a model without its tokenizer.
func (c Config) ggufMeta(name string, t gpu.Type) gguf.Meta {
	var m gguf.Meta
	arch := c.ggufName()
	m.Set("general.architecture", arch)
	m.Set("general.type", "model")
	m.Set("general.name", name)
	m.Set("general.file_type", fileTypes[t])
	m.Set("general.quantization_version", uint32(2))
	for _, n := range []struct {
		key   string
		value int
	}{
		{"vocab_size", c.Vocab},
		{"context_length", c.MaxPositions},
		{"embedding_length", c.Hidden},
		{"block_count", c.Layers},
		{"feed_forward_length", c.FeedForward},
		{"attention.head_count", c.Heads},
		{"attention.head_count_kv", c.KVHeads},
		{"attention.key_length", c.HeadDim},
		{"attention.value_length", c.HeadDim},
		{"rope.dimension_count", c.HeadDim},
	} {
		m.Set(arch+"."+n.key, uint32(n.value))
	}
	m.Set(arch+".attention.layer_norm_rms_epsilon", float32(c.NormEps))
	m.Set(arch+".rope.freq_base", float32(c.Rope.Theta))
	if c.Rope.Kind == "linear" {
		m.Set(arch+".rope.scaling.type", "linear")
		m.Set(arch+".rope.scaling.factor", float32(c.Rope.Factor))
	}
	if c.Window > 0 && c.Sliding == nil {
		m.Set(arch+".attention.sliding_window", uint32(c.Window))
	}
	return m
}

// ggufTokenizer adds the tokenizer of a model directory to m.
func ggufTokenizer(m *gguf.Meta, dir string, vocab int) error {
	tokenizer, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("gguf: %s has no tokenizer.json: a GGUF file needs its tokens", dir)
	}
	if err != nil {
		return err
	}
	config, err := optional(dir, "tokenizer_config.json")
	if err != nil {
		return err
	}
	template, err := optional(dir, "chat_template.jinja")
	if err != nil {
		return err
	}
	return gguf.SetTokenizer(m, tokenizer, config, string(template), vocab)
}

// optional reads a file that need not be there.
func optional(dir, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// wide returns the elements of a tensor of any type that is read.
func wide(t safetensors.Tensor) ([]float32, error) {
	if typ, ok := typeOf(t.DType); ok && typ.WeightsOnly() {
		return typ.Decode(t.Data), nil
	}
	return t.F32()
}
