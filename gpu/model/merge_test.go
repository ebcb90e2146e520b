package model

import (
	"bytes"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

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
	for base, c := range map[string]struct {
		want string
		ulp  float64 // of a weight of size 1
	}{
		golden("llama"): {"merged_bfloat16.safetensors", 1. / 128},
		floats:          {"merged_float32.safetensors", 1. / (1 << 21)},
	} {
		out := t.TempDir()
		if _, err := a.Merge(t.Context(), base, out); err != nil {
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
	report, err := a.Merge(t.Context(), base, out)
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
	if _, err := a.Merge(t.Context(), base, base); err == nil {
		t.Error("a model was merged into itself")
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
		report, err := a.Merge(t.Context(), base, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		got := report.Worst()
		if math.Abs(got.Retained-want.Retained) > 0.05 || math.Abs(got.Error-want.Error) > 0.1 {
			t.Errorf("rms(B) %g: %+v, want about %+v", rms, got, want)
		}
	}
}
