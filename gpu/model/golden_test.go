package model

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

// The golden files are the word of transformers and PEFT: testdata/README.md.
var goldenModels = []string{"llama", "llama-tied", "mistral", "qwen2", "qwen3"}

func golden(elem ...string) string {
	return filepath.Join(append([]string{"testdata"}, elem...)...)
}

func openGolden(t *testing.T, dev gpu.Device, name string) *Transformer {
	t.Helper()
	m, err := Open(dev, golden(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func openGoldenAdapter(t *testing.T, m *Transformer, elem ...string) *Adapter {
	t.Helper()
	a, err := OpenAdapter(m, golden(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func openTensors(t *testing.T, elem ...string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(golden(elem...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func values(t *testing.T, src source, name string) []float32 {
	t.Helper()
	tensor, ok := src.Tensor(name)
	if !ok {
		t.Fatalf("golden tensor %s is missing", name)
	}
	v, err := tensor.F32()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readJSON(t *testing.T, v any, elem ...string) {
	t.Helper()
	raw, err := os.ReadFile(golden(elem...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatal(err)
	}
}

// goldenBatch is batch.json.
type goldenBatch struct {
	Rows []struct {
		IDs, Labels []int32
	}
	Tokens   int
	BaseLoss float64 `json:"base_loss"`
	LoraLoss float64 `json:"lora_loss"`
}

// batch packs the rows: targets are labels shifted by one. With all set, every
// row has a target, so that all logits are computed.
func (g goldenBatch) batch(all bool) *Batch {
	var b Batch
	for _, r := range g.Rows {
		targets := append(slices.Clone(r.Labels[1:]), -1)
		if all {
			targets = r.IDs
		}
		b.Append(r.IDs, targets)
	}
	return &b
}

func TestForwardIsThatOfTransformers(t *testing.T) { onDevices(t, forwardIsThatOfTransformers) }

func forwardIsThatOfTransformers(t *testing.T, dev gpu.Device) {
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		want := openTensors(t, name, "forward.safetensors")
		var g goldenBatch
		readJSON(t, &g, name, "batch.json")
		for kind, a := range map[string]*Adapter{"base": nil, "lora": openGoldenAdapter(t, m, name, "adapter")} {
			// Without an adapter, only an unfrozen model can train.
			twin := m
			if a == nil {
				twin = openGolden(t, dev, name)
				if _, err := twin.Unfreeze(); err != nil {
					t.Fatal(err)
				}
			}
			p, err := NewPass(twin, a, 128, true) // training keeps the residual stream
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Loss(g.batch(true)); err != nil {
				t.Fatal(err)
			}
			stream := map[string][]float32{"normed": nil, "logits": nil, "hidden.0": nil, "hidden.1": nil, "hidden.2": nil}
			for key := range stream {
				b := p.logits
				switch key {
				case "normed":
					b = p.norm
				case "hidden.0":
					b = p.layers[0].x
				case "hidden.1":
					b = p.layers[1].x
				case "hidden.2":
					b = p.last
				}
				got := make([]float32, b.Len)
				m.dev.Download(got, b)
				if e := relative(got, values(t, want, kind+"."+key)); e > 2e-6 {
					t.Errorf("%s, %s: %s is off by %.2e", name, kind, key, e)
				}
			}
		}
	}
}

func TestGradientsAreThoseOfTransformers(t *testing.T) { onDevices(t, gradientsAreThoseOfTransformers) }

func gradientsAreThoseOfTransformers(t *testing.T, dev gpu.Device) {
	for _, name := range goldenModels {
		var g goldenBatch
		readJSON(t, &g, name, "batch.json")
		m := openGolden(t, dev, name)
		lora, err := NewPass(m, openGoldenAdapter(t, m, name, "adapter"), 128, true)
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, lora, g, g.LoraLoss, openTensors(t, name, "adapter_grads.safetensors"))
		if _, err := m.Unfreeze(); err != nil {
			t.Fatal(err)
		}
		full, err := NewPass(m, nil, 128, true)
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, full, g, g.BaseLoss, openTensors(t, name, "grads.safetensors"))
	}
}

func compareGolden(t *testing.T, p *Pass, g goldenBatch, loss float64, want *safetensors.File) {
	t.Helper()
	nll, err := p.Gradient(g.batch(false), 0)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, x := range nll {
		sum += float64(x)
	}
	if got := sum / float64(g.Tokens); math.Abs(got-loss)/loss > 1e-6 {
		t.Errorf("loss %v, want %v", got, loss)
	}
	flat := gradients(p)
	for i := range flat {
		flat[i] /= float32(g.Tokens)
	}
	compared := 0
	for _, tensor := range p.Params().Tensors {
		if _, ok := want.Tensor(tensor.Name); !ok {
			continue // the tied family keeps only a few
		}
		compared++
		if e := relative(flat[tensor.From:tensor.From+tensor.Len()], values(t, want, tensor.Name)); e > 1e-5 {
			t.Errorf("gradient of %s is off by %.2e", tensor.Name, e)
		}
	}
	if compared != len(want.Names()) {
		t.Errorf("compared %d gradients of %d", compared, len(want.Names()))
	}
}

// TestFreshAdapterIsPEFTs compares files, byte by byte.
func TestFreshAdapterIsPEFTs(t *testing.T) {
	m := openGolden(t, ref.New(), "llama")
	a, err := NewAdapter(m, LoRA{Rank: 4, Alpha: 8, Targets: []string{"all-linear"}, Seed: 0})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := a.Save(dir, "llama"); err != nil {
		t.Fatal(err)
	}
	got, want := readFile(t, filepath.Join(dir, adapterWeights)), readFile(t, golden("llama", "init", adapterWeights))
	if !bytes.Equal(got, want) {
		t.Error("the weights differ from PEFT's")
	}
	// Every key that we write is one of PEFT's, with PEFT's value.
	var ours, theirs map[string]any
	if json.Unmarshal(readFile(t, filepath.Join(dir, adapterConfig)), &ours) != nil {
		t.Fatal("our configuration is not JSON")
	}
	readJSON(t, &theirs, "llama", "init", adapterConfig)
	for key, value := range ours {
		want, ok := theirs[key]
		if key == "target_modules" { // PEFT's is a set
			slices.SortFunc(want.([]any), func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		}
		g, _ := json.Marshal(value)
		w, _ := json.Marshal(want)
		if !ok || !bytes.Equal(g, w) {
			t.Errorf("%s: %s, PEFT writes %s", key, g, w)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAdapterRoundTrips saves what PEFT saved, and gets its bytes.
func TestAdapterRoundTrips(t *testing.T) {
	for _, name := range goldenModels {
		m := openGolden(t, ref.New(), name)
		dir := t.TempDir()
		if err := openGoldenAdapter(t, m, name, "adapter").Save(dir, name); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readFile(t, filepath.Join(dir, adapterWeights)), readFile(t, golden(name, "adapter", adapterWeights))) {
			t.Errorf("%s: saved again, the adapter has other bytes", name)
		}
	}
}

// TestModelRoundTrips saves a model as it is stored, and gets its tensors.
func TestModelRoundTrips(t *testing.T) {
	for _, name := range goldenModels {
		m := openGolden(t, ref.New(), name)
		dir := t.TempDir()
		if err := m.Save(dir, "BF16"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readFile(t, filepath.Join(dir, "model.safetensors")), readFile(t, golden(name, "model.safetensors"))) {
			t.Errorf("%s: saved again, the model has other bytes", name)
		}
		again, err := Open(ref.New(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if !sameConfig(again.Config, m.Config) {
			t.Errorf("%s: saved again, the configuration is %+v, not %+v", name, again.Config, m.Config)
		}
		again.Close()
	}
}

func sameConfig(a, b Config) bool { return bytes.Equal(a.JSON(), b.JSON()) }

func TestGreedyTokensAreThoseOfTransformers(t *testing.T) {
	onDevices(t, greedyTokensAreThoseOfTransformers)
}

func greedyTokensAreThoseOfTransformers(t *testing.T, dev gpu.Device) {
	for _, name := range goldenModels {
		if name != "llama-tied" {
			greedyTokensOf(t, dev, name)
		}
	}
}

func greedyTokensOf(t *testing.T, dev gpu.Device, name string) {
	m := openGolden(t, dev, name)
	var cases []struct {
		Model  string
		Prompt []int32
		EOS    int32
		Tokens []int32
	}
	readJSON(t, &cases, name, "generation.json")
	adapters := map[string]*Adapter{"base": nil, "lora": openGoldenAdapter(t, m, name, "adapter")}
	for i, c := range cases {
		for got, err := range m.Generate(t.Context(), adapters[c.Model], [][]int32{c.Prompt}, Decoding{MaxNew: 32, EOS: []int32{c.EOS}}) {
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Tokens, c.Tokens) || got.Stopped != (c.EOS >= 0) {
				t.Errorf("%s, case %d, %s: %v (stopped %v), want %v", name, i, c.Model, got.Tokens, got.Stopped, c.Tokens)
			}
		}
	}
}

// TestDecodingIsThatOfTransformers: a penalty of repetition, and what is left
// to draw from.
func TestDecodingIsThatOfTransformers(t *testing.T) {
	var g struct {
		Prompt, Tokens []int32
		Penalty        float64
		Logits         []float32
		Warped         []struct {
			Temperature float64
			TopK        int     `json:"top_k"`
			TopP        float64 `json:"top_p"`
			Tokens      []int
			Prob        []float64
		}
	}
	readJSON(t, &g, "llama", "decoding.json")
	m := openGolden(t, ref.New(), "llama")
	c := collect(t, m, nil, [][]int32{g.Prompt}, Decoding{MaxNew: 32, EOS: []int32{}, Penalty: g.Penalty})[0]
	if !slices.Equal(c.Tokens, g.Tokens) {
		t.Errorf("under a penalty of %g: %v, want %v", g.Penalty, c.Tokens, g.Tokens)
	}
	for _, w := range g.Warped {
		var kept []int
		var probs []float64
		weights, sum := gpu.Sampling{Temperature: w.Temperature, TopK: w.TopK, TopP: w.TopP}.Weights(g.Logits), 0.
		for token, weight := range weights {
			if sum += float64(weight); weight > 0 {
				kept, probs = append(kept, token), append(probs, float64(weight))
			}
		}
		if !slices.Equal(kept, w.Tokens) {
			t.Errorf("%+v: %v are left", w, kept)
			continue
		}
		for i, token := range kept {
			if p := probs[i] / sum; math.Abs(p-w.Prob[i]) > 1e-6 {
				t.Errorf("temperature %g, top_k %d, top_p %g: token %d has probability %v, want %v", w.Temperature, w.TopK, w.TopP, token, p, w.Prob[i])
			}
		}
	}
}

// TestGenerationConfig: the ending tokens of generation_config.json go before
// those of config.json.
func TestGenerationConfig(t *testing.T) {
	m := lively(t, ref.New(), tiny(true))
	dir := t.TempDir()
	if err := m.Save(dir, "F32"); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Generation{
		`{}`: {Temperature: 1, TopP: 1, TopK: 50, Penalty: 1},
		`{"eos_token_id":[5,6],"do_sample":true,"temperature":0.7,"top_p":0.8,"top_k":20,"repetition_penalty":1.05}`: {
			EOS: []int32{5, 6}, Sample: true, Temperature: 0.7, TopP: 0.8, TopK: 20, Penalty: 1.05,
		},
	} {
		if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		again, err := Open(ref.New(), dir)
		if err != nil {
			t.Fatal(err)
		}
		stops := m.Config.EOS
		if want.EOS != nil {
			stops = want.EOS
		}
		if !reflect.DeepEqual(again.Generation, want) || !slices.Equal(again.Stops(), stops) {
			t.Errorf("%s: %+v, stops %v", text, again.Generation, again.Stops())
		}
		again.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "generation_config.json"), []byte(`{"eos_token_id":"x"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ref.New(), dir); err == nil || !strings.Contains(err.Error(), "generation_config.json") {
		t.Errorf("error %v", err)
	}
}

// TestStories runs a real model: its text is that of llama2.c, word for word.
func TestStories(t *testing.T) { onDevices(t, stories) }

func stories(t *testing.T, dev gpu.Device) {
	m := openGolden(t, dev, "stories260k")
	var g struct {
		Prompt []int32 `json:"prompt_ids"`
		Greedy []int32 `json:"greedy_ids"`
	}
	readJSON(t, &g, "stories260k", "golden.json")
	want := g.Greedy[len(g.Prompt):]
	for c, err := range m.Generate(t.Context(), nil, [][]int32{g.Prompt}, Decoding{MaxNew: len(want)}) {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Tokens, want) {
			t.Errorf("tokens %v, want %v", c.Tokens, want)
		}
		if !(c.MinLogProb() < c.MeanLogProb() && c.MeanLogProb() < 0 && c.MeanLogProb() > -2) {
			t.Errorf("log-probabilities: mean %v, least %v", c.MeanLogProb(), c.MinLogProb())
		}
	}
}
