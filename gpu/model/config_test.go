package model

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

// with returns a small valid config.json with some keys replaced; nil removes one.
func with(keys map[string]any) []byte {
	all := map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12,
		"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
	}
	maps.Copy(all, keys)
	for k, v := range all {
		if v == nil {
			delete(all, k)
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return raw
}

func TestConfigIsReadAsTransformersDoes(t *testing.T) {
	c, err := ParseConfig(with(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.KVHeads != 2 || c.HeadDim != 4 || c.NormEps != 1e-6 || c.Rope != (Rope{Theta: 10000, Kind: "default"}) || c.Tied || c.BOS != 1 || len(c.EOS) != 1 || c.EOS[0] != 2 {
		t.Errorf("defaults: %+v", c)
	}
	scaling := map[string]any{
		"rope_type": "llama3", "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192,
	}
	old := map[string]any{"rope_theta": 5e5, "rope_scaling": scaling, "eos_token_id": []int{3, 5}, "torch_dtype": "bfloat16", "head_dim": 6, "num_key_value_heads": 1}
	v5 := maps.Clone(old)
	parameters := maps.Clone(scaling)
	parameters["rope_theta"] = 5e5
	v5["rope_parameters"], v5["rope_theta"], v5["rope_scaling"], v5["torch_dtype"], v5["dtype"] = parameters, nil, nil, nil, "bfloat16"
	a, err1 := ParseConfig(with(old))
	b, err2 := ParseConfig(with(v5))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !sameConfig(a, b) || a.Rope != (Rope{5e5, "llama3", 32, 1, 4, 8192}) || len(a.EOS) != 2 || a.Type != "bfloat16" || a.HeadDim != 6 {
		t.Errorf("as version 4 writes it: %+v\nas version 5 does:   %+v", a, b)
	}
	again, err := ParseConfig(a.JSON())
	if err != nil || !sameConfig(a, again) {
		t.Errorf("written and read: %+v, %v", again, err)
	}
}

// qwen returns keys of a Qwen2 with windows.
func qwen(keys map[string]any) map[string]any {
	all := map[string]any{
		"architectures": []string{"Qwen2ForCausalLM"}, "num_hidden_layers": 1, "num_key_value_heads": 1,
		"use_sliding_window": true, "sliding_window": 6, "max_window_layers": 0,
	}
	maps.Copy(all, keys)
	return all
}

// TestWindows: which layers see how far, as the configurations of transformers decide.
func TestWindows(t *testing.T) {
	mistral := func(keys map[string]any) map[string]any {
		all := map[string]any{"architectures": []string{"MistralForCausalLM"}, "num_hidden_layers": 3, "num_key_value_heads": 1}
		maps.Copy(all, keys)
		return all
	}
	three := map[string]any{"num_hidden_layers": 3}
	for i, c := range []struct {
		keys map[string]any
		want [3]int
	}{
		{mistral(nil), [3]int{4096, 4096, 4096}}, // what the class assumes
		{mistral(map[string]any{"sliding_window": 7}), [3]int{7, 7, 7}},
		{mistral(map[string]any{"sliding_window": json.RawMessage("null")}), [3]int{}},
		{qwen(three), [3]int{6, 6, 6}},
		{qwen(map[string]any{"num_hidden_layers": 3, "max_window_layers": 2}), [3]int{0, 0, 6}},
		{qwen(map[string]any{"num_hidden_layers": 3, "max_window_layers": nil}), [3]int{}}, // from layer 28 on
		{qwen(map[string]any{"num_hidden_layers": 3, "use_sliding_window": false}), [3]int{}},
		{qwen(map[string]any{"num_hidden_layers": 3, "layer_types": []string{"sliding_attention", "full_attention", "sliding_attention"}}), [3]int{6, 0, 6}},
	} {
		cfg, err := ParseConfig(with(c.keys))
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		again, err := ParseConfig(cfg.JSON())
		for l, want := range c.want {
			if err != nil || cfg.windowOf(l) != want || again.windowOf(l) != want {
				t.Errorf("case %d: layer %d sees %d, want %d; written and read again %d, %v", i, l, cfg.windowOf(l), want, again.windowOf(l), err)
			}
		}
	}
}

func TestConfigRefusesWhatItWouldComputeWrongly(t *testing.T) {
	for want, keys := range map[string]map[string]any{
		`it lacks GeGLU`:                                {"architectures": []string{"Gemma2ForCausalLM"}},
		`it lacks experts`:                              {"architectures": []string{"Qwen3MoeForCausalLM"}},
		`architectures ["NewForCausalLM"]`:              {"architectures": []string{"NewForCausalLM"}},
		"one set for all layers":                        {"rope_parameters": map[string]any{"full_attention": map[string]any{"rope_theta": 1}}},
		"partial_rotary_factor is 0.5":                  {"partial_rotary_factor": 0.5},
		"attention_dropout is 0.1":                      {"attention_dropout": 0.1},
		"sliding_window or layer_types":                 {"sliding_window": 8},
		"sliding_window is 0":                           {"architectures": []string{"MistralForCausalLM"}, "num_key_value_heads": 1, "sliding_window": 0},
		"2 layer_types for 1":                           qwen(map[string]any{"layer_types": []string{"full_attention", "full_attention"}}),
		`layer_types "chunked"`:                         qwen(map[string]any{"layer_types": []string{"chunked"}}),
		"but use_sliding_window is false":               qwen(map[string]any{"use_sliding_window": false, "layer_types": []string{"sliding_attention"}}),
		`architectures []`:                              {"architectures": nil},
		"attention_bias":                                {"attention_bias": true},
		"mlp_bias":                                      {"mlp_bias": true},
		`hidden_act "gelu"`:                             {"hidden_act": "gelu"},
		"quantization_config":                           {"quantization_config": map[string]any{"bits": 4}},
		`rope_type "yarn"`:                              {"rope_scaling": map[string]any{"type": "yarn", "factor": 4}},
		"factor is 0":                                   {"rope_scaling": map[string]any{"type": "linear"}},
		"llama3: needs":                                 {"rope_scaling": map[string]any{"type": "llama3", "factor": 4}},
		"hidden_size is 0":                              {"hidden_size": nil},
		"2 heads do not divide among 3 key/value heads": {"num_key_value_heads": 3},
		"head_dim 3 is odd":                             {"head_dim": 3},
		"eos_token_id 10 is outside":                    {"eos_token_id": 10},
		"neither a token id":                            {"eos_token_id": "</s>"},
	} {
		_, err := ParseConfig(with(keys))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := ParseConfig(with(map[string]any{"architectures": []string{"GPT2LMHeadModel"}})); !errors.Is(err, ErrArchitecture) {
		t.Errorf("%v is not ErrArchitecture", err)
	}
}

// TestLlama3Frequencies checks the three branches by their definition: high
// frequencies stay, low ones slow down, those between are in between.
func TestLlama3Frequencies(t *testing.T) {
	r := Rope{Theta: 5e5, Kind: "llama3", Factor: 8, Low: 1, High: 4, Old: 64}
	plain := Rope{Theta: 5e5, Kind: "default"}.frequencies(16)
	kept, slowed, between := 0, 0, 0
	for i, f := range r.frequencies(16) {
		switch wavelength := 2 * math.Pi / float64(plain[i]); {
		case wavelength < 16:
			kept++
			if f != plain[i] {
				t.Errorf("frequency %d: %v, want %v", i, f, plain[i])
			}
		case wavelength > 64:
			slowed++
			if f != plain[i]/8 {
				t.Errorf("frequency %d: %v, want %v", i, f, plain[i]/8)
			}
		default:
			between++
			if f <= plain[i]/8 || f >= plain[i] {
				t.Errorf("frequency %d: %v is not between %v and %v", i, f, plain[i]/8, plain[i])
			}
		}
	}
	if kept == 0 || slowed == 0 || between == 0 {
		t.Errorf("%d kept, %d slowed, %d between: the test misses a branch", kept, slowed, between)
	}
}

// TestLoadingIsStrict: one error names all that is missing, too much or of another shape.
func TestLoadingIsStrict(t *testing.T) {
	m := lively(t, ref.New(), tiny(false))
	dir := t.TempDir()
	if err := m.Save(dir, "F32"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	raw := readFile(t, path)
	f, err := safetensors.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, name := range f.Names() {
		tensor, _ := f.Tensor(name)
		switch name {
		case "model.norm.weight":
			tensor.Name = "model.norm.bias"
		case "lm_head.weight":
			tensor.Shape = []int{tensor.Shape[1], tensor.Shape[0]}
		}
		tensors = append(tensors, tensor)
	}
	if err := safetensors.WriteFile(path, tensors, nil, nil); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ref.New(), dir)
	for _, want := range []string{
		"1 missing: model.norm.weight (but there is model.norm.bias)", "1 unexpected: model.norm.bias", "lm_head.weight is [16 19], not [19 16]",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	// A tied model may carry a copy of its table, which is not used.
	cfg := m.Config
	cfg.Tied = true
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), cfg.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	tied, err := Open(ref.New(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tied.Close()
	if tied.Size() != m.Size()-19*16 {
		t.Errorf("tied, it has %d weights, and untied %d", tied.Size(), m.Size())
	}
}
