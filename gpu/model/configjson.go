package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// wireConfig is config.json. Pointers and raw messages tell an absent key from
// a zero and from null.
type wireConfig struct {
	Architectures    []string        `json:"architectures"`
	AttentionBias    bool            `json:"attention_bias"`
	AttentionDropout float64         `json:"attention_dropout,omitempty"`
	BOS              json.RawMessage `json:"bos_token_id"`
	DType            string          `json:"dtype,omitempty"`
	EOS              json.RawMessage `json:"eos_token_id"`
	HeadDim          *int            `json:"head_dim"`
	HiddenAct        string          `json:"hidden_act"`
	HiddenSize       int             `json:"hidden_size"`
	IntermediateSize int             `json:"intermediate_size"`
	LayerTypes       []string        `json:"layer_types,omitempty"`
	MaxPositions     int             `json:"max_position_embeddings"`
	MaxWindowLayers  *int            `json:"max_window_layers,omitempty"`
	MLPBias          bool            `json:"mlp_bias"`
	ModelType        string          `json:"model_type"`
	Heads            int             `json:"num_attention_heads"`
	Layers           int             `json:"num_hidden_layers"`
	KVHeads          json.RawMessage `json:"num_key_value_heads"`
	PartialRotary    *float64        `json:"partial_rotary_factor,omitempty"`
	Quantization     json.RawMessage `json:"quantization_config,omitempty"`
	NormEps          *float64        `json:"rms_norm_eps"`
	RopeParameters   json.RawMessage `json:"rope_parameters,omitempty"`
	RopeScaling      json.RawMessage `json:"rope_scaling"`
	RopeTheta        *float64        `json:"rope_theta,omitempty"`
	SlidingWindow    json.RawMessage `json:"sliding_window,omitempty"`
	Tied             bool            `json:"tie_word_embeddings"`
	TorchDType       string          `json:"torch_dtype,omitempty"`
	UseSlidingWindow bool            `json:"use_sliding_window,omitempty"`
	Vocab            int             `json:"vocab_size"`
}

// wireRope is rope_scaling (transformers 4) or rope_parameters (transformers 5).
type wireRope struct {
	Type    string   `json:"rope_type,omitempty"`
	Legacy  string   `json:"type,omitempty"`
	Theta   *float64 `json:"rope_theta,omitempty"`
	Factor  float64  `json:"factor,omitempty"`
	Low     float64  `json:"low_freq_factor,omitempty"`
	High    float64  `json:"high_freq_factor,omitempty"`
	Old     int      `json:"original_max_position_embeddings,omitempty"`
	Partial *float64 `json:"partial_rotary_factor,omitempty"`
}

func (w *wireConfig) refuse() error {
	part := func(x *float64) bool { return x != nil && *x != 1 }
	switch {
	case w.AttentionBias:
		return fmt.Errorf("config: attention_bias is true: %w: only Qwen2 has biases, on q, k and v", ErrArchitecture)
	case w.MLPBias:
		return fmt.Errorf("config: mlp_bias is true: %w: the feed-forward block has no biases", ErrArchitecture)
	case w.AttentionDropout != 0:
		return fmt.Errorf("config: attention_dropout is %g: %w: set it to 0", w.AttentionDropout, ErrArchitecture)
	case w.HiddenAct != "" && w.HiddenAct != "silu":
		return fmt.Errorf("config: hidden_act %q: %w: only silu is", w.HiddenAct, ErrArchitecture)
	case part(w.PartialRotary):
		return fmt.Errorf("config: partial_rotary_factor is %g: %w: whole heads are rotated", *w.PartialRotary, ErrArchitecture)
	case given(w.Quantization):
		return fmt.Errorf("config: quantization_config: %w: use the unquantised model, or a GGUF file", ErrArchitecture)
	}
	return nil
}

// parseIDs reads a token id or a list of them; absent, a family's own counts.
func parseIDs(key string, raw json.RawMessage, absent string) ([]int32, error) {
	if raw == nil {
		raw = json.RawMessage(absent)
	}
	if !given(raw) {
		return nil, nil
	}
	var one int32
	if json.Unmarshal(raw, &one) == nil {
		return []int32{one}, nil
	}
	var many []int32
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("config: %s %s: neither a token id nor a list of them", key, raw)
	}
	return many, nil
}

// rope merges the three places where transformers has kept these numbers.
func (w *wireConfig) rope() (Rope, error) {
	r := Rope{Theta: or(w.RopeTheta, 10000), Kind: "default"}
	raw := w.RopeParameters
	if !given(raw) {
		raw = w.RopeScaling
	}
	if !given(raw) {
		return r, nil
	}
	var s wireRope
	if err := json.Unmarshal(raw, &s); err != nil {
		return r, fmt.Errorf("config: rope parameters %s: %w", raw, err)
	}
	r.Theta = or(s.Theta, r.Theta)
	if s.Legacy != "" {
		r.Kind = s.Legacy
	}
	if s.Type != "" {
		r.Kind = s.Type
	}
	if s.Partial != nil && *s.Partial != 1 {
		return r, fmt.Errorf("config: partial_rotary_factor is %g: %w: whole heads are rotated", *s.Partial, ErrArchitecture)
	}
	switch r.Kind {
	case "default":
		if s == (wireRope{}) && string(raw) != "{}" { // by kind of layer, as in Gemma 3
			return r, fmt.Errorf("config: rope parameters %s: %w: one set for all layers is", raw, ErrArchitecture)
		}
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
	name, f, null := cmp.Or(c.Family, "LlamaForCausalLM"), c.family(), json.RawMessage("null")
	w := wireConfig{
		Architectures: []string{name}, ModelType: f.modelType, HiddenAct: "silu",
		Vocab: c.Vocab, HiddenSize: c.Hidden, IntermediateSize: c.FeedForward, Layers: c.Layers,
		Heads: c.Heads, KVHeads: must(json.Marshal(c.KVHeads)), HeadDim: &c.HeadDim, MaxPositions: c.MaxPositions,
		NormEps: &c.NormEps, RopeTheta: &c.Rope.Theta, RopeScaling: null, Tied: c.Tied, TorchDType: c.Type,
		BOS: null, EOS: null,
	}
	if c.BOS >= 0 {
		w.BOS = must(json.Marshal(c.BOS))
	}
	switch len(c.EOS) {
	case 0:
	case 1:
		w.EOS = must(json.Marshal(c.EOS[0]))
	default:
		w.EOS = must(json.Marshal(c.EOS))
	}
	if r := c.Rope; r.Kind != "" && r.Kind != "default" {
		w.RopeScaling = must(json.Marshal(wireRope{Type: r.Kind, Factor: r.Factor, Low: r.Low, High: r.High, Old: r.Old}))
	}
	if f.window != noWindow {
		w.SlidingWindow = null
	}
	if c.Window > 0 {
		w.SlidingWindow = must(json.Marshal(c.Window))
		w.UseSlidingWindow = f.window == byLayer
	}
	if first := slices.Index(c.Sliding, true); first >= 0 {
		w.MaxWindowLayers = &first
	}
	for _, slides := range c.Sliding {
		w.LayerTypes = append(w.LayerTypes, map[bool]string{false: "full_attention", true: "sliding_attention"}[slides])
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
