package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrArchitecture is what reading the configuration of a model is refused with
// that this engine would compute wrongly.
var ErrArchitecture = errors.New("not an architecture this engine runs")

// family is what distinguishes an architecture from others of its kind, and
// what its configuration class in transformers 5 assumes of absent keys.
type family struct {
	modelType string
	kvHeads   int    // num_key_value_heads; 0: as many as heads
	headDim   int    // head_dim; 0: hidden_size/num_attention_heads
	bos, eos  string // token ids, as JSON
	window    window
	qkvBias   bool // q, k and v have a bias
	qkNorm    bool // queries and keys are normed head by head
}

// window is how a family says which layers see a window only.
type window int

const (
	noWindow  window = iota
	allLayers        // sliding_window holds for all layers
	byLayer          // use_sliding_window, and then layer_types or max_window_layers
)

// families holds the architectures by the name in config.json.
var families = map[string]family{
	"LlamaForCausalLM":   {modelType: "llama", bos: "1", eos: "2"},
	"MistralForCausalLM": {modelType: "mistral", kvHeads: 8, bos: "1", eos: "2", window: allLayers},
	"Qwen2ForCausalLM":   {modelType: "qwen2", kvHeads: 32, window: byLayer, qkvBias: true},
	"Qwen3ForCausalLM":   {modelType: "qwen3", kvHeads: 32, headDim: 128, window: byLayer, qkNorm: true},
}

// missing says what this engine lacks for the architectures that people will try.
var missing = map[string]string{
	"Gemma":    "GeGLU, scaled embeddings and norms of 1+w",
	"Phi3":     "joined projections and rotary embedding of type longrope",
	"Phi":      "LayerNorm, biases everywhere and partial rotary embedding",
	"GPT2":     "LayerNorm, learned positions and GELU",
	"GPTNeoX":  "LayerNorm, parallel blocks and partial rotary embedding",
	"Qwen2Moe": "experts", "Qwen3Moe": "experts", "Mixtral": "experts", "Deepseek": "experts and latent attention",
	"Qwen3Next": "linear attention", "Mamba": "state spaces", "Falcon": "LayerNorm and parallel blocks",
	"SmolLM3": "layers without rotary embedding", "Olmo2": "norms behind the blocks", "Cohere": "LayerNorm and parallel blocks",
	"Granite": "multipliers of embeddings, residuals and logits", "StableLm": "LayerNorm and partial rotary embedding",
	"Ministral": "windows in every other layer", "T5": "an encoder", "Bert": "a decoder",
}

// familyOf returns the family of the architectures in a config.json.
func familyOf(architectures []string) (string, family, error) {
	if len(architectures) == 1 {
		name := architectures[0]
		if f, ok := families[name]; ok {
			return name, f, nil
		}
		known := ""
		for prefix := range missing {
			if strings.HasPrefix(name, prefix) && len(prefix) > len(known) {
				known = prefix
			}
		}
		if known != "" {
			return "", family{}, fmt.Errorf("config: architecture %s: %w: it lacks %s", name, ErrArchitecture, missing[known])
		}
	}
	return "", family{}, fmt.Errorf("config: architectures %q: %w: there are %s", architectures, ErrArchitecture,
		strings.Join(slices.Sorted(maps.Keys(families)), ", "))
}

func (c Config) family() family {
	return families[cmp.Or(c.Family, "LlamaForCausalLM")]
}

// windowOf returns how many positions back layer l sees, its own included; 0: all.
func (c Config) windowOf(l int) int {
	if c.Sliding != nil && !c.Sliding[l] {
		return 0
	}
	return c.Window
}

// windows reads which layers see how far.
func (w *wireConfig) windows(f family) (size int, sliding []bool, err error) {
	switch {
	case f.window == noWindow && (given(w.SlidingWindow) || w.LayerTypes != nil),
		f.window == allLayers && w.LayerTypes != nil:
		return 0, nil, fmt.Errorf("config: sliding_window or layer_types in a %s: %w", f.modelType, ErrArchitecture)
	case f.window == noWindow, f.window == byLayer && !w.UseSlidingWindow:
		if slices.Contains(w.LayerTypes, "sliding_attention") {
			return 0, nil, fmt.Errorf("config: layer_types has sliding_attention, but use_sliding_window is false")
		}
		return 0, nil, nil
	case w.SlidingWindow == nil: // absent: what the class of the family assumes
		size = 4096
	case given(w.SlidingWindow):
		if err := json.Unmarshal(w.SlidingWindow, &size); err != nil || size <= 0 {
			return 0, nil, fmt.Errorf("config: sliding_window is %s: it must be positive, or null", w.SlidingWindow)
		}
	}
	if f.window == allLayers || size == 0 {
		return size, nil, nil
	}
	sliding = make([]bool, max(w.Layers, 0))
	for l := range sliding {
		sliding[l] = l >= or(w.MaxWindowLayers, 28)
	}
	if w.LayerTypes == nil {
		return size, sliding, nil
	}
	if len(w.LayerTypes) != w.Layers {
		return 0, nil, fmt.Errorf("config: %d layer_types for %d layers", len(w.LayerTypes), w.Layers)
	}
	for l, t := range w.LayerTypes {
		if t != "full_attention" && t != "sliding_attention" {
			return 0, nil, fmt.Errorf("config: layer_types %q: %w: full_attention and sliding_attention are", t, ErrArchitecture)
		}
		sliding[l] = t == "sliding_attention"
	}
	return size, sliding, nil
}

// given reports whether a key is there and not null.
func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
