package model

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

// pissa is how the golden adapter begins.
var pissa = LoRA{
	Rank: 3, Alpha: 6, Targets: []string{"all-linear"}, Ranks: map[string]int{"down_proj": 2},
	Alphas: map[string]float64{"o_proj": 1}, Init: PiSSA,
}

// TestPiSSAIsPEFTs begins as PEFT does, has its loss once A and B have changed, and saves
// the adapter of the whole base that PEFT converts that to.
func TestPiSSAIsPEFTs(t *testing.T) { onDevices(t, pissaIsPEFTs) }

func pissaIsPEFTs(t *testing.T, dev gpu.Device) {
	base := filepath.Join(t.TempDir(), "f32") // PEFT had it in float32, and so rounds nothing
	source := openGolden(t, ref.New(), "llama")
	if err := source.Save(base, "F32"); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dev, base)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := NewAdapter(m, pissa)
	if err != nil {
		t.Fatal(err)
	}
	values, err := a.Params.Read()
	if err != nil {
		t.Fatal(err)
	}
	sign := signs(t, a, values)
	var want struct{ Loss float64 }
	readJSON(t, &want, "llama", "pissa", "loss.json")
	var g goldenBatch
	readJSON(t, &g, "llama", "batch.json")
	if got := meanLoss(t, m, a, g); math.Abs(got-g.BaseLoss) > 1e-5*g.BaseLoss {
		t.Errorf("at first the loss is %v, and that of the base %v", got, g.BaseLoss)
	}
	for i := range values {
		if i < a.Params.Split {
			values[i] *= 1.25
		} else {
			values[i] *= 0.7
		}
	}
	if err := a.Params.Write(values); err != nil {
		t.Fatal(err)
	}
	if got := meanLoss(t, m, a, g); math.Abs(got-want.Loss) > 1e-5*want.Loss {
		t.Errorf("loss %v, want %v", got, want.Loss)
	}
	dir := t.TempDir()
	if err := a.Save(dir, "llama"); err != nil {
		t.Fatal(err)
	}
	got, theirs := readFile(t, filepath.Join(dir, adapterConfig)), conservative(t, readFile(t, golden("llama", "pissa", "whole", adapterConfig)))
	if string(got) != string(theirs) {
		t.Errorf("we write\n%s\nPEFT writes\n%s", got, theirs)
	}
	ours, err := safetensors.Open(filepath.Join(dir, adapterWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if worst := difference(t, ours, golden("llama", "pissa", "whole", adapterWeights), sign); worst > 2e-5 {
		t.Errorf("an adapter of the whole base is %g from PEFT's", worst)
	}
	whole, err := Open(dev, base)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	again, err := OpenAdapter(whole, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := meanLoss(t, whole, again, g); math.Abs(got-want.Loss) > 1e-5*want.Loss {
		t.Errorf("opened for the whole base: loss %v, want %v", got, want.Loss)
	}
}

// signs compares what an adapter begins with with PEFT's, and returns the sign of each
// singular vector, by module, relative to PEFT's.
func signs(t *testing.T, a *Adapter, begun []float32) map[string][]float32 {
	t.Helper()
	theirs, err := safetensors.Open(golden("llama", "pissa", "init", adapterWeights))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	out := map[string][]float32{}
	for _, x := range a.Params.Tensors[:len(a.modules)] {
		want := values(t, theirs, x.Name)
		var s []float32
		for row := range x.Shape[0] {
			var along float64
			for j := range x.Shape[1] {
				along += float64(begun[x.From+row*x.Shape[1]+j]) * float64(want[row*x.Shape[1]+j])
			}
			s = append(s, float32(math.Copysign(1, along)))
		}
		out[strings.TrimSuffix(x.Name, ".lora_A.weight")] = s
	}
	for _, x := range a.Params.Tensors {
		want := values(t, theirs, x.Name)
		for i, v := range begun[x.From:][:x.Len()] {
			if d := math.Abs(float64(v*signOf(out, x.Name, x.Shape, i) - want[i])); d > 2e-5 {
				t.Fatalf("%s[%d] begins with %v, PEFT's with %v", x.Name, i, v, want[i])
			}
		}
	}
	return out
}

// signOf returns the sign of the vector that element i of a tensor belongs to. Those of
// the whole base have two of each.
func signOf(signs map[string][]float32, name string, shape []int, i int) float32 {
	module, isA := strings.CutSuffix(name, ".lora_A.weight")
	at := i / shape[1]
	if !isA {
		module, at = strings.TrimSuffix(name, ".lora_B.weight"), i%shape[1]
	}
	s := signs[module]
	return s[at%len(s)]
}

// difference returns the largest difference of an element between two files of an adapter.
func difference(t *testing.T, ours *safetensors.File, path string, sign map[string][]float32) (worst float64) {
	t.Helper()
	theirs, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if len(ours.Names()) != len(theirs.Names()) {
		t.Fatalf("tensors %q, want %q", ours.Names(), theirs.Names())
	}
	for _, name := range theirs.Names() {
		x, _ := ours.Tensor(name)
		got, want := values(t, ours, name), values(t, theirs, name)
		for i := range want {
			worst = max(worst, math.Abs(float64(got[i]*signOf(sign, name, x.Shape, i)-want[i])))
		}
	}
	return worst
}

func meanLoss(t *testing.T, m *Transformer, a *Adapter, g goldenBatch) float64 {
	t.Helper()
	p, err := NewPass(m, a, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	nll, err := p.Loss(g.batch(false))
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, x := range nll {
		sum += float64(x)
	}
	return sum / float64(g.Tokens)
}

// A base that has not all of its precision is not taken apart, and neither are more
// singular values than there are.
func TestPiSSARefusals(t *testing.T) {
	m, err := OpenQuantised(ref.New(), golden("llama"), gpu.Q8_0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := NewAdapter(m, pissa); err == nil || !strings.Contains(err.Error(), "quantised") {
		t.Errorf("a quantised base: %v", err)
	}
	large := pissa
	large.Rank = 33
	if _, err := NewAdapter(openGolden(t, ref.New(), "llama"), large); err == nil || !strings.Contains(err.Error(), "k_proj.weight has 32 singular values") {
		t.Errorf("33 singular values of 32: %v", err)
	}
	both := pissa
	both.RSLoRA = true
	if _, err := NewAdapter(openGolden(t, ref.New(), "llama"), both); err == nil || !strings.Contains(err.Error(), "rslora") {
		t.Errorf("rslora and patterns: %v", err)
	}
}
