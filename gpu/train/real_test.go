package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/token"
)

// real is what others make of a real model: see testdata/real.py.
type real struct {
	Texts []string
	Cases []struct {
		IDs    []int32
		Logits []float32
		Greedy []int32
	}
	Loss, Norm, After float64
}

// TestStory does with a real model what transformers and PEFT did.
func TestStory(t *testing.T) { onDevices(t, story) }

func story(t *testing.T, dev gpu.Device) {
	m, err := model.Open(dev, "../model/testdata/stories260k")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var want real
	readJSON(t, &want, "story.json")
	if dev.Activations() == gpu.BF16 {
		t.Skip("the golden numbers are of float32")
	}
	want.compare(t, m, 1e-4)
}

// compare checks logits, greedy continuations and a LoRA step.
func (want real) compare(t *testing.T, m *model.Transformer, tol float64) {
	t.Helper()
	for i := range want.Cases {
		want.continues(t, m, i, func(d float64, same int) bool { return d < tol && same == len(want.Cases[i].Greedy) })
	}
	a, err := model.NewAdapter(m, model.LoRA{Rank: 4, Alpha: 8, Targets: []string{"all-linear"}, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	e := Example{Tokens: slices.Concat(want.Cases[0].IDs, want.Cases[0].Greedy)}
	for i := range e.Tokens {
		e.Trained = append(e.Trained, i > 0)
	}
	o := Default()
	o.MaxSteps, o.EvalSteps, o.LR, o.Schedule, o.MaxGradNorm = 1, 1, 1e-3, Constant, 0
	tr, err := New(m, a, []Example{e}, []Example{e}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	u := finish(t, tr)[0]
	t.Logf("a LoRA step: loss %.6f, norm %.5f, then %.6f; theirs %.6f, %.5f, %.6f", u.Loss, u.GradNorm, u.Eval.Loss, want.Loss, want.Norm, want.After)
	if math.Abs(u.Loss-want.Loss) > tol || math.Abs(u.GradNorm-want.Norm) > 10*tol*want.Norm || math.Abs(u.Eval.Loss-want.After) > 10*tol {
		t.Errorf("a LoRA step: %+v, %+v, want %g, %g, %g", u, u.Eval, want.Loss, want.Norm, want.After)
	}
}

// continues compares the logits behind a text (by their largest distance) and
// how many tokens of the continuation are the same.
func (want real) continues(t *testing.T, m *model.Transformer, i int, good func(distance float64, same int) bool) {
	t.Helper()
	c := want.Cases[i]
	p, err := model.NewPass(m, nil, len(c.IDs), false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	targets := slices.Repeat([]int32{-1}, len(c.IDs))
	targets[len(targets)-1] = 0
	var b model.Batch
	b.Append(c.IDs, targets)
	distance, kl := math.Inf(1), 0.0
	if err := p.Logits(&b, func(_ int, logits []float32) {
		distance, kl = 0, divergence(c.Logits, logits)
		for j, l := range logits[:len(c.Logits)] {
			distance = max(distance, math.Abs(float64(l)-float64(c.Logits[j])))
		}
	}); err != nil {
		t.Fatal(err)
	}
	same := 0
	for got, err := range m.Generate(t.Context(), nil, [][]int32{c.IDs}, model.Decoding{MaxNew: len(c.Greedy), EOS: []int32{}}) {
		if err != nil {
			t.Fatal(err)
		}
		for same < len(c.Greedy) && got.Tokens[same] == c.Greedy[same] {
			same++
		}
	}
	t.Logf("text %d: logits within %.2g, KL %.2g nats; the first %d of %d greedy tokens the same", i, distance, kl, same, len(c.Greedy))
	if !good(distance, same) {
		t.Errorf("text %d: that is too little", i)
	}
}

// divergence is KL(p ‖ q) of the softmax of logits.
func divergence(p, q []float32) (kl float64) {
	norm := func(x []float32) (sum float64) {
		for _, l := range x {
			sum += math.Exp(float64(l - slices.Max(x)))
		}
		return math.Log(sum) + float64(slices.Max(x))
	}
	np, nq := norm(p), norm(q)
	for i := range p {
		lp := float64(p[i]) - np
		kl += math.Exp(lp) * (lp - float64(q[i]) + nq)
	}
	return kl
}

// TestSmolLM2 does the same with SmolLM2-135M-Instruct, from a Q4_1 file in the
// folder $STARBOOK_SMOLLM2: .ci/full smollm2. transformers decodes the weights, as
// we do. llama.cpp rounds activations to eight bits for its products, so that only
// its likeliest tokens are near.
func TestSmolLM2(t *testing.T) {
	dir := os.Getenv("STARBOOK_SMOLLM2")
	if dir == "" {
		t.Skip("STARBOOK_SMOLLM2 names no folder")
	}
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	unpacked := t.TempDir()
	if _, err := model.UnpackGGUF(filepath.Join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf"), unpacked); err != nil {
		t.Fatal(err)
	}
	m, err := model.Open(dev, unpacked)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tok, err := token.Open(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) (r real) {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(raw, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	theirs := read("transformers.json")
	for i, text := range theirs.Texts {
		if got := tok.Encode(text); !slices.Equal(got, theirs.Cases[i].IDs) {
			t.Errorf("%q: ids %v, want %v", text, got, theirs.Cases[i].IDs)
		}
		t.Logf("%q: %q", text, tok.DecodePlain(theirs.Cases[i].Greedy))
	}
	theirs.compare(t, m, 1e-3)
	t.Log("beside llama.cpp:")
	llama := read("llama.json")
	for i := range llama.Cases {
		llama.continues(t, m, i, func(_ float64, same int) bool { return same > 0 })
	}
}
