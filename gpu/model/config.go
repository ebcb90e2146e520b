package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Config is the shape of a Llama, read from and written as the config.json of
// a Hugging Face model directory.
type Config struct {
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

// ErrArchitecture is what reading the configuration of anything but a plain
// Llama is refused with.
var ErrArchitecture = errors.New("not an architecture this engine runs")

// wireConfig is config.json. Pointers tell an absent key from a zero.
type wireConfig struct {
	Architectures    []string        `json:"architectures"`
	AttentionBias    bool            `json:"attention_bias"`
	BOS              *int32          `json:"bos_token_id"`
	DType            string          `json:"dtype,omitempty"`
	EOS              json.RawMessage `json:"eos_token_id"`
	HeadDim          *int            `json:"head_dim"`
	HiddenAct        string          `json:"hidden_act"`
	HiddenSize       int             `json:"hidden_size"`
	IntermediateSize int             `json:"intermediate_size"`
	MaxPositions     int             `json:"max_position_embeddings"`
	MLPBias          bool            `json:"mlp_bias"`
	ModelType        string          `json:"model_type"`
	Heads            int             `json:"num_attention_heads"`
	Layers           int             `json:"num_hidden_layers"`
	KVHeads          *int            `json:"num_key_value_heads"`
	Quantization     json.RawMessage `json:"quantization_config,omitempty"`
	NormEps          *float64        `json:"rms_norm_eps"`
	RopeParameters   *wireRope       `json:"rope_parameters,omitempty"`
	RopeScaling      *wireRope       `json:"rope_scaling"`
	RopeTheta        *float64        `json:"rope_theta,omitempty"`
	Tied             bool            `json:"tie_word_embeddings"`
	TorchDType       string          `json:"torch_dtype,omitempty"`
	Vocab            int             `json:"vocab_size"`
}

// wireRope is rope_scaling (transformers 4) or rope_parameters (transformers 5).
type wireRope struct {
	Type   string   `json:"rope_type,omitempty"`
	Legacy string   `json:"type,omitempty"`
	Theta  *float64 `json:"rope_theta,omitempty"`
	Factor float64  `json:"factor,omitempty"`
	Low    float64  `json:"low_freq_factor,omitempty"`
	High   float64  `json:"high_freq_factor,omitempty"`
	Old    int      `json:"original_max_position_embeddings,omitempty"`
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
	if err := w.refuse(); err != nil {
		return Config{}, err
	}
	eos, err := parseEOS(w.EOS)
	if err != nil {
		return Config{}, err
	}
	c := Config{
		Vocab: w.Vocab, Hidden: w.HiddenSize, FeedForward: w.IntermediateSize,
		Layers: w.Layers, Heads: w.Heads, KVHeads: or(w.KVHeads, w.Heads),
		MaxPositions: w.MaxPositions, NormEps: or(w.NormEps, 1e-6), Tied: w.Tied,
		BOS: or(w.BOS, -1), EOS: eos, Type: "float32",
	}
	for _, t := range []string{w.DType, w.TorchDType} {
		if t != "" {
			c.Type = strings.TrimPrefix(t, "torch.")
			break
		}
	}
	if c.Heads > 0 {
		c.HeadDim = or(w.HeadDim, c.Hidden/c.Heads)
	}
	if c.Rope, err = w.rope(); err != nil {
		return Config{}, err
	}
	return c, c.Check()
}

// or returns *p, or other where p is nil.
func or[T any](p *T, other T) T {
	if p == nil {
		return other
	}
	return *p
}

func (w *wireConfig) refuse() error {
	const only = "starbook runs LlamaForCausalLM without biases"
	switch {
	case len(w.Architectures) != 1 || w.Architectures[0] != "LlamaForCausalLM":
		return fmt.Errorf("config: architectures %q: %w: %s", w.Architectures, ErrArchitecture, only)
	case w.AttentionBias:
		return fmt.Errorf("config: attention_bias is true: %w: %s", ErrArchitecture, only)
	case w.MLPBias:
		return fmt.Errorf("config: mlp_bias is true: %w: %s", ErrArchitecture, only)
	case w.HiddenAct != "" && w.HiddenAct != "silu":
		return fmt.Errorf("config: hidden_act %q: %w: only silu is", w.HiddenAct, ErrArchitecture)
	case len(w.Quantization) > 0 && !bytes.Equal(w.Quantization, []byte("null")):
		return fmt.Errorf("config: quantization_config: %w: use the unquantised model", ErrArchitecture)
	}
	return nil
}

func parseEOS(raw json.RawMessage) ([]int32, error) {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil, nil
	}
	var one int32
	if json.Unmarshal(raw, &one) == nil {
		return []int32{one}, nil
	}
	var many []int32
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("config: eos_token_id %s: neither a token id nor a list of them", raw)
	}
	return many, nil
}

// rope merges the three places where transformers has kept these numbers.
func (w *wireConfig) rope() (Rope, error) {
	r := Rope{Theta: or(w.RopeTheta, 10000), Kind: "default"}
	s := w.RopeParameters
	if s == nil {
		s = w.RopeScaling
	}
	if s == nil {
		return r, nil
	}
	r.Theta = or(s.Theta, r.Theta)
	if s.Legacy != "" {
		r.Kind = s.Legacy
	}
	if s.Type != "" {
		r.Kind = s.Type
	}
	switch r.Kind {
	case "default":
	case "linear":
		r.Factor = s.Factor
	case "llama3":
		r.Factor, r.Low, r.High, r.Old = s.Factor, s.Low, s.High, s.Old
	default:
		return r, fmt.Errorf("config: rope_type %q: %w: default, linear and llama3 are", r.Kind, ErrArchitecture)
	}
	return r, nil
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
		if n.value <= 0 {
			return fmt.Errorf("config: %s is %d: it must be positive", n.key, n.value)
		}
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
	for _, id := range c.EOS {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("config: eos_token_id %d is outside the vocabulary of %d", id, c.Vocab)
		}
	}
	return nil
}

// JSON returns the config.json of c, with the keys of transformers 4 that
// version 5 still reads, sorted.
func (c Config) JSON() []byte {
	w := wireConfig{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama", HiddenAct: "silu",
		Vocab: c.Vocab, HiddenSize: c.Hidden, IntermediateSize: c.FeedForward, Layers: c.Layers,
		Heads: c.Heads, KVHeads: &c.KVHeads, HeadDim: &c.HeadDim, MaxPositions: c.MaxPositions,
		NormEps: &c.NormEps, RopeTheta: &c.Rope.Theta, Tied: c.Tied, TorchDType: c.Type,
		EOS: json.RawMessage("null"),
	}
	if c.BOS >= 0 {
		w.BOS = &c.BOS
	}
	switch len(c.EOS) {
	case 0:
	case 1:
		w.EOS = must(json.Marshal(c.EOS[0]))
	default:
		w.EOS = must(json.Marshal(c.EOS))
	}
	if r := c.Rope; r.Kind != "" && r.Kind != "default" {
		w.RopeScaling = &wireRope{Type: r.Kind, Factor: r.Factor, Low: r.Low, High: r.High, Old: r.Old}
	}
	return append(must(json.MarshalIndent(w, "", "  ")), '\n')
}

// must is for values that cannot fail to marshal: numbers, strings and lists of them.
func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// positionsFit returns an error if a sequence of n tokens is longer than the model allows.
func (c Config) positionsFit(n int) error {
	if n > c.MaxPositions {
		return fmt.Errorf("model: a sequence of %d tokens is longer than max_position_embeddings %d: shorten it", n, c.MaxPositions)
	}
	return nil
}
