package model

import (
	"bytes"
	"encoding/json"
	"fmt"
)

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
