package model

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Config is the shape of a model, read from and written as the config.json of
// a Hugging Face model directory.
type Config struct {
	Family       string  // as architectures names it; "": LlamaForCausalLM
	Vocab        int     // V
	Hidden       int     // D
	FeedForward  int     // F
	Layers       int     // transformer blocks
	Heads        int     // H
	KVHeads      int     // K; divides Heads
	HeadDim      int     // E; Heads·HeadDim need not be Hidden
	MaxPositions int     // longest sequence the model was made for, in tokens
	NormEps      float64 // of RMSNorm
	Rope         Rope
	Window       int     // tokens that a position sees in the layers with a window, its own included; 0: all
	Sliding      []bool  // layers with a window; nil: all of them
	Tied         bool    // the output layer is the embedding table
	BOS          int32   // -1: none
	EOS          []int32 // any of them ends a completion
	Type         string  // of the stored weights: "float32" or "bfloat16"
}

// Rope says at which speeds the rotary embedding turns.
type Rope struct {
	Theta  float64
	Kind   string  // "default", "linear" or "llama3"
	Factor float64 // linear, llama3: how many times longer the context became
	Low    float64 // llama3: low_freq_factor
	High   float64 // llama3: high_freq_factor
	Old    int     // llama3: original_max_position_embeddings
}

// ReadConfig reads the config.json at path.
func ReadConfig(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("model: %w", err)
	}
	c, err := ParseConfig(raw)
	if err != nil {
		return Config{}, fmt.Errorf("model: %s: %w", path, err)
	}
	return c, nil
}

// ParseConfig reads the text of a config.json. It refuses what this package
// would compute wrongly, and says which key is to blame.
func ParseConfig(raw []byte) (Config, error) {
	var w wireConfig
	if err := json.Unmarshal(raw, &w); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	name, f, err := familyOf(w.Architectures)
	if err != nil {
		return Config{}, err
	}
	if err := w.refuse(); err != nil {
		return Config{}, err
	}
	c := Config{
		Family: name, Vocab: w.Vocab, Hidden: w.HiddenSize, FeedForward: w.IntermediateSize,
		Layers: w.Layers, Heads: w.Heads, KVHeads: w.Heads,
		MaxPositions: w.MaxPositions, NormEps: or(w.NormEps, 1e-6), Tied: w.Tied, BOS: -1, Type: "float32",
	}
	if w.KVHeads == nil && f.kvHeads > 0 {
		c.KVHeads = f.kvHeads
	} else if given(w.KVHeads) {
		if err := json.Unmarshal(w.KVHeads, &c.KVHeads); err != nil {
			return Config{}, fmt.Errorf("config: num_key_value_heads is %s: %w", w.KVHeads, err)
		}
	}
	if c.EOS, err = parseIDs("eos_token_id", w.EOS, f.eos); err != nil {
		return Config{}, err
	}
	bos, err := parseIDs("bos_token_id", w.BOS, f.bos)
	if err != nil {
		return Config{}, err
	}
	if len(bos) > 0 {
		c.BOS = bos[0]
	}
	for _, t := range []string{w.DType, w.TorchDType} {
		if t != "" {
			c.Type = strings.TrimPrefix(t, "torch.")
			break
		}
	}
	switch {
	case w.HeadDim != nil:
		c.HeadDim = *w.HeadDim
	case f.headDim > 0:
		c.HeadDim = f.headDim
	case c.Heads > 0:
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.Rope, err = w.rope(); err != nil {
		return Config{}, err
	}
	if err := c.Check(); err != nil { // before the windows are laid out by layers
		return Config{}, err
	}
	if c.Window, c.Sliding, err = w.windows(f); err != nil {
		return Config{}, err
	}
	return c, nil
}

// or returns *p, or other where p is nil.
func or[T any](p *T, other T) T {
	if p == nil {
		return other
	}
	return *p
}

// Check returns an error that names the first number that makes no sense.
func (c Config) Check() error {
	for _, n := range []struct {
		key   string
		value int
	}{
		{"vocab_size", c.Vocab},
		{"hidden_size", c.Hidden},
		{"intermediate_size", c.FeedForward},
		{"num_hidden_layers", c.Layers},
		{"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads},
		{"head_dim", c.HeadDim},
		{"max_position_embeddings", c.MaxPositions},
	} {
		if n.value <= 0 || n.value > 1<<28 {
			return fmt.Errorf("config: %s is %d: it must be positive, and of a size that a model has", n.key, n.value)
		}
	}
	if c.Layers > 1<<14 || c.Heads > 1<<14 {
		return fmt.Errorf("config: %d layers of %d heads: no model has as many", c.Layers, c.Heads)
	}
	r := c.Rope
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("config: %d heads do not divide among %d key/value heads", c.Heads, c.KVHeads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("config: head_dim %d is odd: rotary embedding needs pairs", c.HeadDim)
	case r.Theta <= 0:
		return fmt.Errorf("config: rope_theta is %g: it must be positive", r.Theta)
	case r.Kind != "default" && r.Factor <= 0:
		return fmt.Errorf("config: rope %s: factor is %g: it must be positive", r.Kind, r.Factor)
	case r.Kind == "llama3" && (r.Low <= 0 || r.High <= r.Low || r.Old <= 0):
		return fmt.Errorf("config: rope llama3: needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings, got %g, %g, %d", r.Low, r.High, r.Old)
	}
	if _, ok := families[c.Family]; !ok && c.Family != "" {
		return fmt.Errorf("config: architecture %s: %w", c.Family, ErrArchitecture)
	}
	if c.Window < 0 || c.Sliding != nil && len(c.Sliding) != c.Layers {
		return fmt.Errorf("config: a window of %d in %d of %d layers", c.Window, len(c.Sliding), c.Layers)
	}
	for _, id := range c.EOS {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("config: eos_token_id %d is outside the vocabulary of %d", id, c.Vocab)
		}
	}
	return nil
}

// Size returns the number of weights of a model of this shape.
func (c Config) Size() int { return lay(nil, c).Size() }

// positionsFit returns an error if a sequence of n tokens is longer than the model allows.
func (c Config) positionsFit(n int) error {
	if n > c.MaxPositions {
		return fmt.Errorf("model: a sequence of %d tokens is longer than max_position_embeddings %d: shorten it", n, c.MaxPositions)
	}
	return nil
}
