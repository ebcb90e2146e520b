package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

// TestMergeIsPEFTs compares with merge_and_unload. The order of PEFT's sums is
// not ours, so a weight may fall on the other side of a rounding.
func TestMergeIsPEFTs(t *testing.T) {
	m := openGolden(t, ref.New(), "llama")
	a := openGoldenAdapter(t, m, "llama", "adapter")
	floats := t.TempDir()
	if err := m.Save(floats, "F32"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base string
		want string
		o    MergeOptions
		ulp  float64 // of a weight of size 1
	}{
		{golden("llama"), "merged_bfloat16.safetensors", MergeOptions{}, 1. / 128},
		{golden("llama"), "merged_safe.safetensors", MergeOptions{TwoRoundings: true}, 1. / 128},
		{floats, "merged_float32.safetensors", MergeOptions{}, 1. / (1 << 21)},
	} {
		base, out := c.base, t.TempDir()
		if _, err := a.Merge(t.Context(), base, out, c.o); err != nil {
			t.Fatal(err)
		}
		merged, err := safetensors.OpenSet(out)
		if err != nil {
			t.Fatal(err)
		}
		defer merged.Close()
		want := openTensors(t, "llama", c.want)
		others, all := 0, 0
		for _, name := range want.Names() {
			g, w := values(t, merged, name), values(t, want, name)
			for i := range g {
				if all++; g[i] != w[i] {
					others++
				}
				if d := math.Abs(float64(g[i] - w[i])); d > c.ulp*max(0.25, math.Abs(float64(w[i]))) {
					t.Fatalf("%s %d: %v, PEFT has %v", name, i, g[i], w[i])
				}
			}
		}
		t.Logf("%s: %d of %d weights differ from PEFT's", c.want, others, all)
		if base == golden("llama") && others > all/1000 {
			t.Errorf("%d of %d weights differ from PEFT's", others, all)
		}
		if !bytes.Equal(readFile(t, filepath.Join(out, "config.json")), readFile(t, filepath.Join(base, "config.json"))) {
			t.Error("config.json was not copied")
		}
	}
}

// TestMergedModelIsModelWithAdapter: in float32, both have the same losses.
func TestMergedModelIsModelWithAdapter(t *testing.T) {
	m := lively(t, ref.New(), tiny(false))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
	base, out := t.TempDir(), t.TempDir()
	if err := m.Save(base, "F32"); err != nil {
		t.Fatal(err)
	}
	report, err := a.Merge(t.Context(), base, out, MergeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f := report.Total; f.Error > 1e-5 || math.Abs(f.Retained-1) > 1e-6 || f.Changed < 0.99 || len(report.Tensors) != 15 {
		t.Errorf("in float32, %d tensors: %+v", len(report.Tensors), f)
	}
	merged, err := Open(ref.New(), out)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	want, err := newPass(t, m, a, false).Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	got, err := newPass(t, merged, nil, false).Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	if e := relative(got, want); e > 1e-5 {
		t.Errorf("losses are off by %.2e", e)
	}
	if _, err := a.Merge(t.Context(), base, base, MergeOptions{}); err == nil {
		t.Error("a model was merged into itself")
	}
}

// TestMergeChangesTypes: in float32 nothing is lost, in float16 little, and
// the files say what they hold: two shards, an index, a configuration.
func TestMergeChangesTypes(t *testing.T) {
	m := openGolden(t, ref.New(), "llama")
	a := livelyAdapter(t, m, LoRA{Rank: 2, Alpha: 1, Targets: []string{"q_proj"}})
	base := sharded(t, "llama")
	for _, c := range []struct {
		o      MergeOptions
		config string // of the result
		q, k   string // types of a weight that changed and of one that did not
		error  float64
	}{
		{MergeOptions{}, "bfloat16", "BF16", "BF16", 0.1},
		{MergeOptions{Type: "F32"}, "float32", "F32", "BF16", 1e-5},
		{MergeOptions{Type: "F16"}, "float16", "F16", "F16", 0.01},
	} {
		out := t.TempDir()
		report, err := a.Merge(t.Context(), base, out, c.o)
		if err != nil {
			t.Fatal(err)
		}
		if report.Total.Error > c.error || len(report.Tensors) != 2 {
			t.Errorf("%+v: %d tensors, %+v", c.o, len(report.Tensors), report.Total)
		}
		if advice := report.Advice("BF16"); advice != "" {
			t.Errorf("%+v: %s", c.o, advice)
		}
		files, err := safetensors.OpenSet(out) // compares shards and index
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		size := 0
		for _, name := range files.Names() {
			tensor, _ := files.Tensor(name)
			size += len(tensor.Data)
		}
		var index struct {
			Metadata struct {
				Size int `json:"total_size"`
			}
		}
		if err := json.Unmarshal(readFile(t, filepath.Join(out, "model.safetensors.index.json")), &index); err != nil || index.Metadata.Size != size {
			t.Errorf("%+v: the index says %d bytes and %v, the shards have %d", c.o, index.Metadata.Size, err, size)
		}
		cfg, err := ReadConfig(filepath.Join(out, "config.json"))
		q, _ := files.Tensor("model.layers.0.self_attn.q_proj.weight")
		k, _ := files.Tensor("model.layers.0.self_attn.k_proj.weight")
		if err != nil || cfg.Type != c.config || q.DType != c.q || k.DType != c.k {
			t.Errorf("%+v: configuration %s, weights %s and %s, %v", c.o, cfg.Type, q.DType, k.DType, err)
		}
		again, err := Open(ref.New(), out)
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
	}
	if _, err := a.Merge(t.Context(), base, t.TempDir(), MergeOptions{Type: "F8"}); err == nil {
		t.Error("merged into F8")
	}
}

// sharded is a golden model in two files with an index.
func sharded(t *testing.T, name string) string {
	t.Helper()
	dir, source := t.TempDir(), openTensors(t, name, "model.safetensors")
	if err := copyBeside(golden(name), dir); err != nil {
		t.Fatal(err)
	}
	where, size := map[string]string{}, 0
	var parts [2][]safetensors.Tensor
	for i, name := range source.Names() {
		tensor, _ := source.Tensor(name)
		parts[i%2] = append(parts[i%2], tensor)
		where[name] = fmt.Sprintf("model-0000%d-of-00002.safetensors", i%2+1)
		size += len(tensor.Data)
	}
	for i, part := range parts {
		path := filepath.Join(dir, fmt.Sprintf("model-0000%d-of-00002.safetensors", i+1))
		if err := safetensors.WriteFile(path, part, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	index := pythonJSON(map[string]any{"metadata": map[string]int{"total_size": size}, "weight_map": where})
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), index, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMergeOfWholeModules: what an adapter brings along replaces the base's, and
// an lm_head of its own unties a tied model.
func TestMergeOfWholeModules(t *testing.T) {
	for _, name := range []string{"save", "head"} {
		m := openGolden(t, ref.New(), "mistral")
		mergeAndCompare(t, m, openGoldenAdapter(t, m, "mistral", "peft", name), golden("mistral"), false)
	}
	m := openGolden(t, ref.New(), "llama-tied")
	a := livelyAdapter(t, m, LoRA{Rank: 2, Alpha: 2, Targets: []string{"v_proj"}})
	head := make([]float32, m.Config.Vocab*m.Config.Hidden)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range head {
		head[i] = float32(0.2 * random.NormFloat64())
	}
	raw, err := safetensors.AppendF32(nil, "F32", head)
	if err != nil {
		t.Fatal(err)
	}
	s := saved{Tensor{Name: inside + "lm_head.weight"}, &weight{name: "lm_head.weight", out: m.Config.Vocab, in: m.Config.Hidden, w: m.dev.Load(gpu.F32, raw)}}
	a.saved, a.LoRA.Save = []saved{s}, []string{"lm_head"}
	mergeAndCompare(t, m, a, golden("llama-tied"), true)
}

func mergeAndCompare(t *testing.T, m *Transformer, a *Adapter, base string, untied bool) {
	t.Helper()
	out := t.TempDir()
	if _, err := a.Merge(t.Context(), base, out, MergeOptions{Type: "F32"}); err != nil {
		t.Fatal(err)
	}
	merged, err := Open(ref.New(), out)
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if m.Config.Tied && merged.Config.Tied == untied {
		t.Errorf("merged, the model is tied: %v", merged.Config.Tied)
	}
	want, err := newPass(t, m, a, false).Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	got, err := newPass(t, merged, nil, false).Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	if e := relative(got, want); e > 1e-6 {
		t.Errorf("losses are off by %.2e", e)
	}
}

// TestDivergence: a merge in float32 predicts what the model with the adapter
// does, one in bfloat16 nearly so, and the base something else.
func TestDivergence(t *testing.T) {
	m := openGolden(t, ref.New(), "llama")
	a := openGoldenAdapter(t, m, "llama", "adapter")
	texts := [][]int32{{5, 9, 200, 31}, {7}, {8, 8, 3}}
	var kl [3]float64
	for i, dtype := range []string{"F32", ""} {
		out := t.TempDir()
		if _, err := a.Merge(t.Context(), golden("llama"), out, MergeOptions{Type: dtype}); err != nil {
			t.Fatal(err)
		}
		merged, err := Open(ref.New(), out)
		if err != nil {
			t.Fatal(err)
		}
		defer merged.Close()
		d, err := m.Diverge(t.Context(), a, merged, texts, 3)
		if err != nil {
			t.Fatal(err)
		}
		kl[i] = d.KL
		if d.Tokens != 8 || d.Worst < d.KL || dtype == "F32" && d.Agree != 1 {
			t.Errorf("%q: %+v", dtype, d)
		}
	}
	d, err := m.Diverge(t.Context(), a, m, texts, 0)
	if err != nil {
		t.Fatal(err)
	}
	if kl[2] = d.KL; !(kl[0] < 1e-9 && kl[1] > 1e-7 && kl[1] < 0.05 && kl[2] > 0.1) {
		t.Errorf("divergence of the merge in float32, in bfloat16, of the base: %v", kl)
	}
	// By hand: a coin of 1:3 against a fair one.
	want := 0.25*math.Log(0.5) + 0.75*math.Log(1.5)
	if got, same := compare(logSoftmax([]float32{0, float32(math.Log(3))}), logSoftmax([]float32{7, 7})); math.Abs(got-want) > 1e-7 || same {
		t.Errorf("divergence %v, want %v", got, want)
	}
}

// TestMergeTellsWhatBF16Loses: of a small adapter most is lost, of a large one
// little. The figures are those of a simulation made apart (W of deviation
// 0.02, A as initialised, rank 64, scale 0.25).
func TestMergeTellsWhatBF16Loses(t *testing.T) {
	cfg := tiny(true)
	cfg.Hidden, cfg.Layers = 512, 1
	m, err := New(ref.New(), cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	if err := m.Save(base, "BF16"); err != nil {
		t.Fatal(err)
	}
	a, err := NewAdapter(m, LoRA{Rank: 64, Alpha: 16, Targets: []string{"q_proj"}})
	if err != nil {
		t.Fatal(err)
	}
	// The simulation's A has an input of 3584, so its entries are smaller.
	shrink := math.Sqrt(3584. / 512)
	for rms, want := range map[float64]Fidelity{
		1e-3: {Retained: 0.51, Error: 0.80},
		1e-2: {Retained: 1.00, Error: 0.17},
	} {
		values, err := a.Params.Read()
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for i := a.Params.Split; i < len(values); i++ {
			values[i] = float32(rms / shrink * random.NormFloat64())
		}
		if err := a.Params.Write(values); err != nil {
			t.Fatal(err)
		}
		report, err := a.Merge(t.Context(), base, t.TempDir(), MergeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := report.Worst()
		if advised := report.Advice("BF16") != ""; advised != (rms == 1e-3) {
			t.Errorf("rms(B) %g: advice %q", rms, report.Advice("BF16"))
		}
		if math.Abs(got.Retained-want.Retained) > 0.05 || math.Abs(got.Error-want.Error) > 0.1 {
			t.Errorf("rms(B) %g: %+v, want about %+v", rms, got, want)
		}
	}
}
