//go:build cuda

package model

import (
	"bytes"
	"math"
	"path/filepath"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/cuda"
)

// onCUDA opens the GPU, or the fake driver that STARBOOK_LIBCUDA names.
func onCUDA(t *testing.T) gpu.Device {
	t.Helper()
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// yardstick is how far transformers and PEFT in BF16 are from their own fp32,
// by what is compared. We may be off half as much again.
func yardstick(t *testing.T, name string) map[string]float64 {
	t.Helper()
	var all map[string]map[string]float64
	readJSON(t, &all, "bf16.json")
	return all[name]
}

// judge compares what the device computed with fp32, by the yardstick.
func judge(t *testing.T, theirs map[string]float64, key string, got, want []float32) {
	t.Helper()
	var diff, norm float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		diff, norm = diff+d*d, norm+float64(w)*float64(w)
	}
	ours, limit := math.Sqrt(diff/norm), 1.5*theirs[key]
	t.Logf("%s: off by %.1e, transformers by %.1e", key, ours, theirs[key])
	if !(ours <= limit) {
		t.Errorf("%s: off by %.2e, which is over %.2e", key, ours, limit)
	}
}

func TestForwardInBF16(t *testing.T) {
	dev := onCUDA(t)
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		want := openTensors(t, name, "forward.safetensors")
		var g goldenBatch
		readJSON(t, &g, name, "batch.json")
		p, err := NewPass(m, openGoldenAdapter(t, m, name, "adapter"), 128, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Loss(g.batch(true)); err != nil {
			t.Fatal(err)
		}
		theirs := yardstick(t, name)
		for key, b := range map[string]gpu.Buf{"hidden.0": p.layers[0].x, "hidden.1": p.layers[1].x, "normed": p.norm, "logits": p.logits} {
			got := make([]float32, b.Len)
			dev.Download(got, b)
			judge(t, theirs, key, got, values(t, want, "lora."+key))
		}
		p.Close()
	}
}

func TestRecomputingOnCUDA(t *testing.T) { recomputing(t, onCUDA(t)) }

func TestGradientsInBF16(t *testing.T) {
	dev := onCUDA(t)
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		var g goldenBatch
		readJSON(t, &g, name, "batch.json")
		p, err := NewPass(m, openGoldenAdapter(t, m, name, "adapter"), 128, true)
		if err != nil {
			t.Fatal(err)
		}
		nll, err := p.Gradient(g.batch(false), 0)
		if err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, x := range nll {
			sum += float64(x)
		}
		if got := sum / float64(g.Tokens); !(math.Abs(got-g.LoraLoss)/g.LoraLoss <= 5e-3) {
			t.Errorf("%s: loss %v, want %v", name, got, g.LoraLoss)
		}
		theirs, flat, want := yardstick(t, name), gradients(p), openTensors(t, name, "adapter_grads.safetensors")
		for i := range flat {
			flat[i] /= float32(g.Tokens)
		}
		for _, tensor := range p.Params().Tensors {
			judge(t, theirs, tensor.Name, flat[tensor.From:tensor.From+tensor.Len()], values(t, want, tensor.Name))
		}
		p.Close()
	}
}

// Completions by a cache are those of full attention, as near as BF16 comes,
// and none depends on which others it was computed with.
func TestGenerateInBF16(t *testing.T) {
	dev := onCUDA(t)
	completionsDoNotDependOnEachOther(t, dev)
	for _, name := range goldenModels {
		m := openGolden(t, dev, name)
		a, prompts := openGoldenAdapter(t, m, name, "adapter"), somePrompts()
		var texts [][]int32
		found := collect(t, m, a, prompts, Decoding{MaxNew: 20, EOS: []int32{}, Batch: 4})
		for _, c := range found {
			texts = append(texts, c.Tokens)
		}
		scores, err := m.Score(t.Context(), a, prompts, texts, 50)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range found {
			if got := c.MeanLogProb(); !(math.Abs(scores[i].NLL+got) <= 0.03) {
				t.Errorf("%s: prompt %d: mean log-probability %v while generating, %v of the whole", name, i, got, -scores[i].NLL)
			}
		}
	}
}

// A merge on the GPU writes the bytes that one on the CPU does.
func TestMergeOnCUDA(t *testing.T) {
	host, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for _, o := range []MergeOptions{{}, {TwoRoundings: true}, {Type: "F32"}, {Type: "F16"}} {
		var files [2][]byte
		var reports [2]Merged
		for i, dev := range []gpu.Device{onCUDA(t), host} {
			m, out := openGolden(t, dev, "llama"), t.TempDir()
			a := openGoldenAdapter(t, m, "llama", "adapter")
			if reports[i], err = a.Merge(t.Context(), golden("llama"), out, o); err != nil {
				t.Fatal(err)
			}
			files[i] = readFile(t, filepath.Join(out, "model.safetensors"))
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("%+v: other bytes than on the CPU", o)
		}
		got, want := reports[0].Total, reports[1].Total
		if math.Abs(got.Retained-want.Retained) > 1e-12 || math.Abs(got.Error-want.Error) > 1e-12 || got.Changed != want.Changed {
			t.Errorf("%+v: %+v, on the CPU %+v", o, got, want)
		}
	}
}

// PiSSA takes apart what the device holds, and puts the rest back there: together they are
// the base, but for the rounding of the rest to BF16.
func TestPiSSAOnCUDA(t *testing.T) {
	m := openGolden(t, onCUDA(t), "llama")
	a, err := NewAdapter(m, pissa)
	if err != nil {
		t.Fatal(err)
	}
	var g goldenBatch
	readJSON(t, &g, "llama", "batch.json")
	if got := meanLoss(t, m, a, g); math.Abs(got-g.BaseLoss) > 0.02*g.BaseLoss {
		t.Errorf("loss %v, and that of the base %v", got, g.BaseLoss)
	}
}
