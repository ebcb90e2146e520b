package model

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

func moduleNames(t *testing.T, l LoRA, cfg Config) []string {
	t.Helper()
	modules, err := l.modules(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range modules {
		names = append(names, strings.TrimPrefix(m.name, "model.layers."))
	}
	return names
}

func TestTargetsAreMatchedAsPEFTDoes(t *testing.T) {
	for _, c := range []struct {
		targets, want string
		tied          bool
	}{
		{"q_proj v_proj", "0.self_attn.q_proj 0.self_attn.v_proj 1.self_attn.q_proj 1.self_attn.v_proj", true},
		{"layers.1.mlp.up_proj", "1.mlp.up_proj", true},
		{"model.layers.0.self_attn.o_proj lm_head", "0.self_attn.o_proj lm_head", false},
	} {
		l := LoRA{Rank: 1, Alpha: 1, Targets: strings.Fields(c.targets)}
		if got := strings.Join(moduleNames(t, l, tiny(c.tied)), " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.targets, got, c.want)
		}
	}
	for _, c := range []struct {
		lora LoRA
		want string
	}{
		{LoRA{Match: `.*\.0\..*(k|o)_proj`}, "0.self_attn.k_proj 0.self_attn.o_proj"},
		{LoRA{Targets: []string{"q_proj", "k_proj"}, Exclude: []string{"layers.1.self_attn.q_proj"}}, "0.self_attn.q_proj 0.self_attn.k_proj 1.self_attn.k_proj"},
		{LoRA{Targets: []string{"q_proj"}, Except: `.*layers\.0.*`}, "1.self_attn.q_proj"},
		{LoRA{Targets: []string{"q_proj", "lm_head"}, Save: []string{"lm_head"}}, "0.self_attn.q_proj 1.self_attn.q_proj"},
	} {
		c.lora.Rank, c.lora.Alpha = 1, 1
		if got := strings.Join(moduleNames(t, c.lora, tiny(false)), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.lora, got, c.want)
		}
	}
	if n := len(moduleNames(t, LoRA{Rank: 1, Alpha: 1, Targets: []string{"all-linear"}}, tiny(false))); n != 14 {
		t.Errorf("all-linear: %d modules, want 14: all but lm_head", n)
	}
	for want, l := range map[string]LoRA{
		`target "proj" names no`: {Rank: 1, Alpha: 1, Targets: []string{"q_proj", "proj"}},
		"lm_head is tied":        {Rank: 1, Alpha: 1, Targets: []string{"lm_head"}},
		"r is 0":                 {Alpha: 1, Targets: []string{"q_proj"}},
		"alpha is 0":             {Rank: 1, Targets: []string{"q_proj"}},
		"dropout is 1":           {Rank: 1, Alpha: 1, Dropout: 1, Targets: []string{"q_proj"}},
		"no target modules":      {Rank: 1, Alpha: 1},
		"look-around":            {Rank: 1, Alpha: 1, Match: "(?!q_proj).*"},
		"not by both":            {Rank: 1, Alpha: 1, Match: ".*", Targets: []string{"q_proj"}},
		"no projection is left":  {Rank: 1, Alpha: 1, Targets: []string{"q_proj"}, Except: ".*"},
		`r of "x" is -1`:         {Rank: 1, Alpha: 1, Targets: []string{"q_proj"}, Ranks: map[string]int{"x": -1}},
	} {
		if _, err := l.modules(tiny(true)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestRankAndScale(t *testing.T) {
	l := LoRA{
		Rank: 64, Alpha: 16,
		Ranks:  map[string]int{"down_proj": 4, `layers\.0\..*q_proj`: 8},
		Alphas: map[string]float64{"q_proj": 32, "model.layers.0.self_attn.q_proj": 2},
	}
	for name, want := range map[string]struct {
		rank  int
		scale float32
	}{
		"model.layers.1.self_attn.v_proj": {64, 0.25},
		"model.layers.1.self_attn.q_proj": {64, 0.5},
		"model.layers.0.self_attn.q_proj": {8, 0.25}, // the first key in their order
		"model.layers.0.mlp.down_proj":    {4, 4},
	} {
		if rank, scale, err := l.size(name); rank != want.rank || scale != want.scale || err != nil {
			t.Errorf("%s: rank %d, scale %v, %v; want %+v", name, rank, scale, err, want)
		}
	}
	l.RSLoRA = true
	if _, scale, _ := l.size("model.layers.1.self_attn.v_proj"); scale != 2 {
		t.Errorf("rank-stabilised: scale %v", scale)
	}
}

// TestAdapterConfigIsReadOrRefused starts from what PEFT 0.21 writes.
func TestAdapterConfigIsReadOrRefused(t *testing.T) {
	var peft map[string]any
	readJSON(t, &peft, "llama", "adapter", adapterConfig)
	parse := func(keys map[string]any) (LoRA, error) {
		all := maps.Clone(peft)
		maps.Copy(all, keys)
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return parseLoRA(raw)
	}
	l, err := parse(map[string]any{"use_rslora": true, "lora_dropout": 0.05})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(l.Targets)
	if l.Rank != 4 || l.Alpha != 8 || l.Dropout != 0.05 || !l.RSLoRA || len(l.Targets) != 7 {
		t.Errorf("%+v", l)
	}
	if l, err = parse(map[string]any{"target_modules": `.*\.1\..*\.(q|v)_proj`}); err != nil || len(moduleNames(t, l, tiny(true))) != 2 {
		t.Errorf("targets of an expression: %+v, %v", l, err)
	}
	for key, value := range map[string]any{
		"use_dora": true, "bias": "all", "lora_bias": true, "trainable_token_indices": []int{1}, "peft_type": "LOHA",
		"init_lora_weights": "pissa", "layers_to_transform": []int{1},
		"fan_in_fan_out": true, "something_of_2027": 1,
	} {
		if _, err := parse(map[string]any{key: value}); err == nil || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: %v is not refused: %v", key, value, err)
		}
	}
}

// TestAdapterLoadingIsStrict: an adapter that does not fit is never half loaded.
func TestAdapterLoadingIsStrict(t *testing.T) {
	m := openGolden(t, ref.New(), "llama")
	source := openTensors(t, "llama", "adapter", adapterWeights)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, adapterConfig), readFile(t, golden("llama", "adapter", adapterConfig)), 0o644); err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, name := range source.Names()[1:] {
		tensor, _ := source.Tensor(name)
		tensors = append(tensors, tensor)
	}
	if err := safetensors.WriteFile(filepath.Join(dir, adapterWeights), tensors, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAdapter(m, dir); err == nil || !strings.Contains(err.Error(), "1 missing: "+source.Names()[0]) {
		t.Errorf("error %v", err)
	}
	other := lively(t, ref.New(), tiny(false))
	a := livelyAdapter(t, other, LoRA{Rank: 2, Alpha: 2, Targets: []string{"q_proj"}})
	if _, err := NewPass(m, a, 8, false); err == nil {
		t.Error("a model was run with the adapter of another")
	}
	if _, err := a.Merge(t.Context(), golden("llama"), t.TempDir(), MergeOptions{}); err == nil || !strings.Contains(err.Error(), "another model") {
		t.Errorf("merging into another model: %v", err)
	}
}

// TestPassRefusesWhatItCannotRun checks the arguments that come from outside.
func TestPassRefusesWhatItCannotRun(t *testing.T) {
	m := lively(t, ref.New(), tiny(true))
	if _, err := NewPass(m, nil, 8, true); err == nil || !strings.Contains(err.Error(), "frozen") {
		t.Errorf("training frozen weights: %v", err)
	}
	p := newPass(t, m, nil, false)
	if _, err := p.Gradient(packed(m.Config), 0); err == nil {
		t.Error("a pass without gradients computed some")
	}
	for want, b := range map[string]Batch{
		"empty":                      {},
		"33 rows":                    {IDs: make([]int32, 33), Targets: make([]int32, 33), Starts: []int32{0, 33}},
		"1 rows and 0 targets":       {IDs: []int32{1}, Starts: []int32{0, 1}},
		"do not cover":               {IDs: []int32{1, 2}, Targets: []int32{1, 2}, Starts: []int32{0, 1}},
		"token 0 of the batch is -1": {IDs: []int32{-1}, Targets: []int32{1}, Starts: []int32{0, 1}},
		"target 0 of the batch is":   {IDs: []int32{1}, Targets: []int32{99}, Starts: []int32{0, 1}},
		"sequence 0 of the batch":    {IDs: []int32{1}, Targets: []int32{1}, Starts: []int32{0, 0, 1}},
	} {
		if _, err := p.Loss(&b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
