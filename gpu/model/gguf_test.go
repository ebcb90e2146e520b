package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/gguf"
	"starbook/gpu/ref"
)

// withTokenizer is a copy of a golden model with a tokenizer of as many tokens.
func withTokenizer(t *testing.T, name string, vocab int) string {
	t.Helper()
	dir := t.TempDir()
	if err := copyBeside(golden(name), dir); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(golden(name, "model.safetensors"), filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	words := map[string]int{}
	for i := range vocab - 2 {
		words[fmt.Sprintf("w%d", i)] = i
	}
	raw, err := json.Marshal(map[string]any{
		"model": map[string]any{"type": "BPE", "vocab": words, "merges": []string{}}, "pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
	})
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{
		"tokenizer.json": raw, "tokenizer_config.json": []byte(`{"bos_token":"w1","eos_token":"w2"}`), "chat_template.jinja": []byte("{{ x }}"),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestGGUFIsTheSameModel: written as BF16 a model has the same weights, and so
// the same losses to the bit; as F16 and Q8_0, nearly so. What a GGUF file says
// of its shape is what config.json said.
func TestGGUFIsTheSameModel(t *testing.T) { onDevices(t, ggufIsTheSameModel) }

func ggufIsTheSameModel(t *testing.T, dev gpu.Device) {
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		dir := withTokenizer(t, name, m.Config.Vocab)
		for typ, tolerance := range map[gpu.Type]float64{gpu.BF16: 0, gpu.F32: 1e-6, gpu.F16: 1e-3, gpu.Q8_0: 0.05} {
			path := filepath.Join(t.TempDir(), "model.gguf")
			cost, err := ExportGGUF(t.Context(), dir, path, name, typ)
			if err != nil {
				t.Fatal(err)
			}
			if (cost.Error > 1e-6) != (typ == gpu.Q8_0) || cost.Error > 0.01 || cost.WorstError < cost.Error {
				t.Errorf("%s as %v: %+v", name, typ, cost)
			}
			again := openGGUF(t, dev, path, m.Config)
			want, got := lossesOf(t, m), lossesOf(t, again)
			if e := relative(got, want); e > tolerance {
				t.Errorf("%s as %v: losses are off by %.1e", name, typ, e)
			}
			again.Close()
		}
	}
}

func openGGUF(t *testing.T, dev gpu.Device, path string, was Config) *Transformer {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cfg, err := GGUFConfig(f)
	if err != nil {
		t.Fatal(err)
	}
	if f.Meta.String("tokenizer.chat_template") != "{{ x }}" || len(f.Meta.Strings("tokenizer.ggml.tokens")) != cfg.Vocab {
		t.Errorf("%s: the tokenizer got lost", path)
	}
	// A GGUF file has no words for these.
	was.Type, cfg.Type, was.NormEps, cfg.NormEps = "", "", 0, 0
	if was.Family == "MistralForCausalLM" {
		was.Family = "LlamaForCausalLM"
	}
	cfg.Window, cfg.Sliding, was.MaxPositions = was.Window, was.Sliding, cfg.MaxPositions
	if !sameConfig(was, cfg) {
		t.Errorf("%s: %+v, want %+v", path, cfg, was)
	}
	cfg.NormEps, cfg.Type = 1e-5, "bfloat16"
	if was.Family == "Qwen3ForCausalLM" {
		cfg.NormEps = 1e-6
	}
	dir := filepath.Dir(path)
	if cfg.Window > 0 && cfg.Sliding == nil {
		cfg.Family = "MistralForCausalLM"
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), cfg.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dev, dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func lossesOf(t *testing.T, m *Transformer) []float32 {
	t.Helper()
	p := newPass(t, m, nil, false)
	defer p.Close()
	nll, err := p.Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), nll...)
}

// TestQuantisedBaseIsTrained: an adapter of a Q8_0 base has the gradients that
// it has on the decoded weights.
func TestQuantisedBaseIsTrained(t *testing.T) { onDevices(t, quantisedBaseIsTrained) }

func quantisedBaseIsTrained(t *testing.T, dev gpu.Device) {
	m := openGolden(t, dev, "qwen2")
	path := filepath.Join(t.TempDir(), "model.gguf")
	if _, err := ExportGGUF(t.Context(), withTokenizer(t, "qwen2", m.Config.Vocab), path, "q", gpu.Q8_0); err != nil {
		t.Fatal(err)
	}
	quantised := openGGUF(t, dev, path, m.Config)
	defer quantised.Close()
	decoded := t.TempDir()
	if err := quantised.Save(decoded, "F32"); err != nil {
		t.Fatal(err)
	}
	plain, err := Open(dev, decoded)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	var grads [2][]float32
	for i, m := range []*Transformer{quantised, plain} {
		a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
		p := newPass(t, m, a, true)
		if _, err := p.Gradient(packed(m.Config), 0); err != nil {
			t.Fatal(err)
		}
		grads[i] = gradients(p)
	}
	if e := relative(grads[0], grads[1]); e > 1e-6 {
		t.Errorf("gradients are off by %.1e", e)
	}
}

// TestMergeIntoQuantisedBase: the base is decoded first, and asks into what.
func TestMergeIntoQuantisedBase(t *testing.T) {
	m := openGolden(t, ref.New(), "qwen3")
	path := filepath.Join(t.TempDir(), "model.gguf")
	if _, err := ExportGGUF(t.Context(), withTokenizer(t, "qwen3", m.Config.Vocab), path, "q", gpu.Q8_0); err != nil {
		t.Fatal(err)
	}
	quantised := openGGUF(t, ref.New(), path, m.Config)
	defer quantised.Close()
	a := livelyAdapter(t, quantised, LoRA{Rank: 2, Alpha: 2, Targets: []string{"q_proj", "down_proj"}})
	if _, err := a.Merge(t.Context(), filepath.Dir(path), t.TempDir(), MergeOptions{}); err == nil || !strings.Contains(err.Error(), "is quantised") {
		t.Errorf("error %v", err)
	}
	out := t.TempDir()
	report, err := a.Merge(t.Context(), filepath.Dir(path), out, MergeOptions{Type: "F32"})
	if err != nil || len(report.Tensors) != 4 || report.Total.Error > 1e-5 {
		t.Fatalf("%+v, %v", report, err)
	}
	merged, err := Open(ref.New(), out)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	p := newPass(t, quantised, a, false)
	nll, err := p.Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	if e := relative(lossesOf(t, merged), nll); e > 1e-6 {
		t.Errorf("losses are off by %.1e", e)
	}
}

func TestGGUFRefusesWhatItWouldComputeWrongly(t *testing.T) {
	good := func() (gguf.Meta, []gguf.Tensor) {
		cfg := tiny(true)
		cfg.Rope = Rope{Theta: 1e4, Kind: "default"}
		return cfg.ggufMeta("x", gpu.F32), (&ggufExport{cfg: cfg}).layout(gpu.F32)
	}
	for want, change := range map[string]func(*gguf.Meta, *[]gguf.Tensor){
		`architecture "gemma2"`:  func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("general.architecture", "gemma2") },
		`rope scaling "yarn"`:    func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.rope.scaling.type", "yarn") },
		"with experts":           func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.expert_count", uint32(8)) },
		"3 of 6 dimensions":      func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.rope.dimension_count", uint32(3)) },
		"values of 3":            func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.attention.value_length", uint32(3)) },
		"want an integer":        func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.block_count", "two") },
		"num_hidden_layers is 0": func(m *gguf.Meta, _ *[]gguf.Tensor) { m.Set("llama.block_count", uint32(0)) },
		"want 3 numbers": func(_ *gguf.Meta, t *[]gguf.Tensor) {
			*t = append(*t, gguf.Tensor{Name: "rope_freqs.weight", Type: gpu.F32, Shape: []int{9}})
		},
		"only llama3's": func(_ *gguf.Meta, t *[]gguf.Tensor) {
			*t = append(*t, gguf.Tensor{Name: "rope_freqs.weight", Type: gpu.F32, Shape: []int{3}})
		},
	} {
		meta, tensors := good()
		change(&meta, &tensors)
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := gguf.WriteFile(path, &meta, tensors, func(x gguf.Tensor) ([]byte, error) {
			ones := make([]float32, x.Len())
			for i := range ones {
				ones[i] = float32(math.Exp2(float64(i)))
			}
			return gguf.Encode(x.Type, ones)
		}); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := GGUFConfig(f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		f.Close()
	}
	m := lively(t, ref.New(), tiny(true))
	dir := t.TempDir()
	if err := m.Save(dir, "F32"); err != nil {
		t.Fatal(err)
	}
	if _, err := ExportGGUF(t.Context(), dir, filepath.Join(dir, "x.gguf"), "x", gpu.Q8_0); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("without a tokenizer: %v", err)
	}
	if _, err := ExportGGUF(t.Context(), dir, filepath.Join(dir, "x.gguf"), "x", gpu.Q4_K); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("as Q4_K: %v", err)
	}
}
