package model

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"starbook/gpu"
	"starbook/gpu/gguf"
	"starbook/gpu/safetensors"
)

// ggufFamilies are the architectures by their names in GGUF files. There,
// Mistral is a llama.
var ggufFamilies = map[string]string{"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

// ggufName returns the name of an architecture in GGUF files.
func (c Config) ggufName() string {
	if t := c.family().modelType; t != "mistral" {
		return t
	}
	return "llama"
}

// ggufParts translate parts of names, ours and theirs.
var ggufParts = [][2]string{
	{"model.embed_tokens.", "token_embd."},
	{"model.norm.", "output_norm."},
	{"lm_head.", "output."},
	{"model.layers.", "blk."},
	{".self_attn.q_proj.", ".attn_q."},
	{".self_attn.k_proj.", ".attn_k."},
	{".self_attn.v_proj.", ".attn_v."},
	{".self_attn.o_proj.", ".attn_output."},
	{".self_attn.q_norm.", ".attn_q_norm."},
	{".self_attn.k_norm.", ".attn_k_norm."},
	{".mlp.gate_proj.", ".ffn_gate."},
	{".mlp.up_proj.", ".ffn_up."},
	{".mlp.down_proj.", ".ffn_down."},
	{".input_layernorm.", ".attn_norm."},
	{".post_attention_layernorm.", ".ffn_norm."},
}

// toGGUF and fromGGUF translate the name of a weight.
func toGGUF(name string) string   { return translate(name, 0, 1) }
func fromGGUF(name string) string { return translate(name, 1, 0) }

func translate(name string, from, to int) string {
	dotted := "\x00" + name // so that output. is not found in attn_output.
	for _, part := range ggufParts {
		whole := part[from]
		if !strings.HasPrefix(whole, ".") {
			dotted = strings.Replace(dotted, "\x00"+whole, "\x00"+part[to], 1)
		} else {
			dotted = strings.Replace(dotted, whole, part[to], 1)
		}
	}
	return dotted[1:]
}

// GGUFConfig reads the shape of a model from the metadata and the tensors of a
// GGUF file.
func GGUFConfig(f *gguf.File) (Config, error) {
	arch := f.Meta.String("general.architecture")
	name, ok := ggufFamilies[arch]
	if !ok {
		return Config{}, fmt.Errorf("gguf: architecture %q: %w: there are llama, qwen2 and qwen3", arch, ErrArchitecture)
	}
	r := ggufReader{meta: &f.Meta, arch: arch}
	c := Config{
		Family: name, Hidden: r.int("embedding_length", 0), FeedForward: r.int("feed_forward_length", 0),
		Layers: r.int("block_count", 0), Heads: r.int("attention.head_count", 0), MaxPositions: r.int("context_length", 0),
		NormEps: r.float("attention.layer_norm_rms_epsilon", 1e-5), BOS: -1, Type: "float16",
		Window: r.int("attention.sliding_window", 0),
	}
	c.KVHeads = r.int("attention.head_count_kv", c.Heads)
	c.HeadDim = r.int("attention.key_length", c.Hidden/max(c.Heads, 1))
	c.Rope = Rope{Theta: r.float("rope.freq_base", 10000), Kind: "default", Factor: r.float("rope.scaling.factor", 0)}
	switch kind := f.Meta.String(arch + ".rope.scaling.type"); {
	case kind == "linear":
		c.Rope.Kind = kind
	case kind == "" || kind == "none":
		c.Rope.Factor = 0
	default:
		return c, fmt.Errorf("gguf: rope scaling %q: %w: linear and llama3's are", kind, ErrArchitecture)
	}
	if n := r.int("attention.value_length", c.HeadDim); n != c.HeadDim && r.err == nil {
		return c, fmt.Errorf("gguf: values of %d and keys of %d: %w: they are equally wide", n, c.HeadDim, ErrArchitecture)
	}
	if n := r.int("rope.dimension_count", c.HeadDim); n != c.HeadDim && r.err == nil {
		return c, fmt.Errorf("gguf: %d of %d dimensions are rotated: %w: whole heads are", n, c.HeadDim, ErrArchitecture)
	}
	if r.int("expert_count", 0) > 0 {
		return c, fmt.Errorf("gguf: architecture %s with experts: %w", arch, ErrArchitecture)
	}
	if table, ok := f.Tensor("token_embd.weight"); ok && len(table.Shape) == 2 {
		c.Vocab = table.Shape[0]
	}
	_, head := f.Tensor("output.weight")
	c.Tied = !head
	for _, key := range []string{"eos_token_id", "eot_token_id"} {
		if id, err := f.Meta.Int("tokenizer.ggml."+key, -1); err == nil && id >= 0 && !slices.Contains(c.EOS, int32(id)) {
			c.EOS = append(c.EOS, int32(id))
		}
	}
	if id, err := f.Meta.Int("tokenizer.ggml.bos_token_id", -1); err == nil {
		c.BOS = int32(id)
	}
	if r.err != nil {
		return c, r.err
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("gguf: %w", err)
	}
	return c, c.Rope.slowed(f, c.HeadDim)
}

// ggufReader reads keys of one architecture. The first failure sticks.
type ggufReader struct {
	meta *gguf.Meta
	arch string
	err  error
}

func (r *ggufReader) int(key string, other int) int {
	n, err := r.meta.Int(r.arch+"."+key, other)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n
}

func (r *ggufReader) float(key string, other float64) float64 {
	x, err := r.meta.Float(r.arch+"."+key, other)
	if err != nil && r.err == nil {
		r.err = err
	}
	return x
}

// slowed recognises llama3's scaling, which a GGUF file keeps as what each
// frequency is divided by.
func (r *Rope) slowed(f *gguf.File, headDim int) error {
	t, ok := f.Tensor("rope_freqs.weight")
	if !ok {
		return nil
	}
	if t.Type != gpu.F32 || t.Len() != headDim/2 {
		return fmt.Errorf("gguf: rope_freqs.weight is %v %v: want %d numbers in F32", t.Type, t.Shape, headDim/2)
	}
	divisors := gpu.F32.Decode(t.Data)
	for _, old := range []int{8192, 64, 4096, 16384, 32768} {
		try := Rope{Theta: r.Theta, Kind: "llama3", Factor: float64(slices.Max(divisors)), Low: 1, High: 4, Old: old}
		same := true
		for i, d := range try.divisors(headDim) {
			same = same && math.Abs(float64(d-divisors[i])) <= 1e-3*float64(d)
		}
		if same {
			*r = try
			return nil
		}
	}
	return fmt.Errorf("gguf: rope_freqs.weight: %w: of its kind only llama3's scaling is", ErrArchitecture)
}

// divisors returns by how much r slows each frequency down.
func (r Rope) divisors(headDim int) []float32 {
	plain := Rope{Theta: r.Theta, Kind: "default"}.frequencies(headDim)
	for i, f := range r.frequencies(headDim) {
		plain[i] /= f
	}
	return plain
}

// ggufSource shows the tensors of a GGUF file under our names.
type ggufSource struct {
	*gguf.File
	cfg Config
}

// Names returns our names of the tensors.
func (s ggufSource) Names() []string {
	var names []string
	for _, t := range s.Tensors {
		if t.Name != "rope_freqs.weight" {
			names = append(names, fromGGUF(t.Name))
		}
	}
	return names
}

// Tensor returns a tensor by our name, its rows in our order.
func (s ggufSource) Tensor(name string) (safetensors.Tensor, bool) {
	t, ok := s.File.Tensor(toGGUF(name))
	if heads := s.cfg.interleaved(name); ok && heads > 0 {
		t.Data = reorder(t, heads, func(half, i, side int) int { return 2*i + side })
	}
	return safetensors.Tensor{Name: name, DType: t.Type.String(), Shape: t.Shape, Data: t.Data}, ok
}

// interleaved returns the heads of a weight whose rows a GGUF file of the
// architecture llama keeps interleaved, as its rotary embedding turns
// neighbours and not halves; 0 for others.
func (c Config) interleaved(name string) int {
	switch {
	case c.ggufName() != "llama":
	case strings.Contains(name, ".q_proj."):
		return c.Heads
	case strings.Contains(name, ".k_proj."):
		return c.KVHeads
	}
	return 0
}

// reorder returns t's rows such that row side·half+i of each head is what from
// says of the given ones. Rows are whole blocks.
func reorder(t gguf.Tensor, heads int, from func(half, i, side int) int) []byte {
	rows := t.Shape[0]
	if rows%(2*heads) != 0 {
		return t.Data
	}
	size, dim := len(t.Data)/rows, rows/heads
	out := make([]byte, 0, len(t.Data))
	for h := range heads {
		for j := range dim {
			at := (h*dim + from(dim/2, j%(dim/2), j/(dim/2))) * size
			out = append(out, t.Data[at:at+size]...)
		}
	}
	return out
}
