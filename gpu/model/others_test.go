package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"starbook/gpu/cpu"
)

// TestForTransformers writes adapters, merged and converted models, and what
// we compute with them, to the folder $STARBOOK_HF, for transformers and PEFT to
// be asked: .ci/full hf.
func TestForTransformers(t *testing.T) {
	out := os.Getenv("STARBOOK_HF")
	if out == "" {
		t.Skip("STARBOOK_HF names no folder")
	}
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	type answer struct {
		Name    string    `json:"name"`
		Base    string    `json:"base"`
		Adapter string    `json:"adapter"`
		R       int       `json:"r"`
		IDs     []int32   `json:"ids"`
		Loss    float64   `json:"loss"`
		Logits  []float32 `json:"logits"`
	}
	var all []answer
	ids := []int32{5, 9, 100, 31, 77, 4, 4, 60, 12, 99, 3}
	ask := func(name, base, adapter string, r int, m *Transformer, a *Adapter) {
		p, err := NewPass(m, a, 32, false)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var b Batch
		b.Append(ids, append(slices.Clone(ids[1:]), 0))
		x := answer{Name: name, Base: base, Adapter: adapter, R: r, IDs: ids}
		if err := p.Logits(&b, func(row int, logits []float32) {
			if row == len(ids)-1 {
				x.Logits = slices.Clone(logits)
			} else {
				x.Loss -= logSoftmax(logits)[ids[row+1]] / float64(len(ids)-1)
			}
		}); err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	absolute := func(elem ...string) string {
		path, err := filepath.Abs(golden(elem...))
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		l := LoRA{Rank: 3, Alpha: 5, Targets: []string{"all-linear"}, Ranks: map[string]int{"v_proj": 2}, Alphas: map[string]float64{"o_proj": 9}, RSLoRA: true}
		a := livelyAdapter(t, m, l)
		if err := a.Save(filepath.Join(out, name+"-adapter"), name); err != nil {
			t.Fatal(err)
		}
		ask(name+" and our adapter", absolute(name), name+"-adapter", 3, m, a)
		if _, err := a.Merge(t.Context(), golden(name), filepath.Join(out, name+"-merged"), MergeOptions{}); err != nil {
			t.Fatal(err)
		}
		merged, err := Open(dev, filepath.Join(out, name+"-merged"))
		if err != nil {
			t.Fatal(err)
		}
		ask(name+" merged", name+"-merged", "", 0, merged, nil)
		if err := merged.Save(filepath.Join(out, name+"-saved"), "F32"); err != nil {
			t.Fatal(err)
		}
		ask(name+" with our config.json", name+"-saved", "", 0, merged, nil)
		merged.Close()
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "cases.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
