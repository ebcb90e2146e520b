package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// tiny is a grouped-query Llama whose every dimension differs, so that a
// mixed-up one shows.
func tiny(tied bool) Config {
	return Config{
		Vocab: 19, Hidden: 16, FeedForward: 22, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 6,
		MaxPositions: 64, NormEps: 1e-5, Tied: tied, BOS: 1, EOS: []int32{2}, Type: "float32",
		Rope: Rope{Theta: 100, Kind: "llama3", Factor: 4, Low: 1, High: 4, Old: 16},
	}
}

// lively returns a random model large enough in its weights, norms included,
// for every path to carry signal.
func lively(t *testing.T, dev gpu.Device, cfg Config) *Transformer {
	t.Helper()
	m, err := New(dev, cfg, 7)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, w := range m.weights {
		values := make([]float32, w.len())
		for i := range values {
			if w.vector {
				values[i] = 0.5 + random.Float32()
			} else {
				values[i] = float32(0.25 * random.NormFloat64())
			}
		}
		dev.Upload(w.w, values)
	}
	return m
}

// livelyAdapter returns an adapter whose B is random too: else all dA are 0.
func livelyAdapter(t *testing.T, m *Transformer, l LoRA) *Adapter {
	t.Helper()
	a, err := NewAdapter(m, l)
	if err != nil {
		t.Fatal(err)
	}
	values, err := a.Params.Read()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	for i := a.Params.Split; i < len(values); i++ {
		values[i] = float32(0.3 * random.NormFloat64())
	}
	if err := a.Params.Write(values); err != nil {
		t.Fatal(err)
	}
	return a
}

var everything = []string{"all-linear", "lm_head"}

// sequences returns three of unequal length, some rows without a target.
func sequences(vocab int) (ids, targets [][]int32) {
	random := rand.New(rand.NewPCG(8, 9))
	for s, n := range []int{5, 1, 7} {
		var id, target []int32
		for i := range n {
			id = append(id, int32(random.IntN(vocab)))
			target = append(target, int32(random.IntN(vocab)))
			if (i+s)%4 == 1 {
				target[i] = -1
			}
		}
		ids, targets = append(ids, id), append(targets, target)
	}
	return ids, targets
}

func packed(cfg Config) *Batch {
	var b Batch
	ids, targets := sequences(cfg.Vocab)
	for i := range ids {
		b.Append(ids[i], targets[i])
	}
	return &b
}

func newPass(t *testing.T, m *Transformer, a *Adapter, train bool) *Pass {
	t.Helper()
	p, err := NewPass(m, a, 32, train)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exactLoss is the sum of the losses in the device's own precision.
func exactLoss(t *testing.T, p *Pass, b *Batch, key uint64) float64 {
	t.Helper()
	var err error
	if p.a != nil && p.a.LoRA.Dropout > 0 {
		_, err = p.Gradient(b, key)
	} else {
		_, err = p.Loss(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i := range p.picked {
		sum += ref.At(p.losses, i)
	}
	return sum
}

// TestGradientsAgreeWithFiniteDifferences compares every element of every
// gradient with a central difference, in float64.
func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	lora := LoRA{Rank: 3, Alpha: 5, Targets: everything, Seed: 1}
	dropout, some, sqrt := lora, lora, lora
	dropout.Dropout = 0.3
	some.Targets = []string{"k_proj", "layers.1.mlp.down_proj", "up_proj"}
	sqrt.Targets, sqrt.RSLoRA = []string{"model.layers.1.self_attn.o_proj"}, true
	sizes := lora
	sizes.Ranks, sizes.Alphas = map[string]int{"v_proj": 1, "gate_proj": 4}, map[string]float64{"k_proj": 9, "up_proj": 2}
	qwen2, qwen3, mistral := tiny(false), tiny(true), tiny(false)
	qwen2.Family, qwen2.Window, qwen2.Sliding = "Qwen2ForCausalLM", 3, []bool{false, true}
	qwen3.Family = "Qwen3ForCausalLM"
	mistral.Family, mistral.Window = "MistralForCausalLM", 4
	for _, c := range []struct {
		name string
		cfg  Config
		lora *LoRA
	}{
		{"full", tiny(false), nil},
		{"full, tied", tiny(true), nil},
		{"full, qwen2", qwen2, nil},
		{"full, qwen3", qwen3, nil},
		{"lora everywhere", tiny(false), &lora},
		{"lora in qwen2", qwen2, &lora},
		{"lora in qwen3", qwen3, &some},
		{"lora in mistral", mistral, &lora},
		{"lora with dropout", tiny(false), &dropout},
		{"lora of several ranks", tiny(false), &sizes},
		{"lora here and there", tiny(true), &some},
		{"rslora in the last layer", tiny(true), &sqrt},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := lively(t, ref.New64(), c.cfg)
			var a *Adapter
			if c.lora != nil {
				a = livelyAdapter(t, m, *c.lora)
			} else if _, err := m.Unfreeze(); err != nil {
				t.Fatal(err)
			}
			compareGradients(t, newPass(t, m, a, true), packed(m.Config))
		})
	}
}

func compareGradients(t *testing.T, p *Pass, b *Batch) {
	t.Helper()
	params, dev := p.Params(), p.m.dev
	const key, h = 11, 1e-4
	if _, err := p.Gradient(b, key); err != nil {
		t.Fatal(err)
	}
	grads := make([]float64, params.Len())
	for i := range grads {
		grads[i] = ref.At(params.G, i)
	}
	for _, tensor := range params.Tensors {
		var diff, norm float64
		step := max(1, tensor.Len()/8) // eight elements of each tensor
		for i := tensor.From; i < tensor.From+tensor.Len(); i += step {
			at := func(delta float64) float64 {
				was := ref.At(params.W, i)
				ref.Set(params.W, i, was+delta)
				defer ref.Set(params.W, i, was)
				return exactLoss(t, p, b, key)
			}
			// Richardson's combination of two central differences: O(h⁴).
			want := (8*(at(h)-at(-h)) - (at(2*h) - at(-2*h))) / (12 * h)
			diff += (want - grads[i]) * (want - grads[i])
			norm += want * want
		}
		if norm == 0 || math.Sqrt(diff/norm) > 1e-6 {
			t.Errorf("%s: gradient is off by %.2e of its norm %.2e", tensor.Name, math.Sqrt(diff/norm), math.Sqrt(norm))
		}
	}
	dev.Zero(params.G)
}

// TestPackingIsSeparation says that sequences packed together have the losses,
// bit for bit, and the summed gradients that they have one by one.
func TestPackingIsSeparation(t *testing.T) { onDevices(t, packingIsSeparation) }

func packingIsSeparation(t *testing.T, dev gpu.Device) {
	m := lively(t, dev, tiny(false))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
	p := newPass(t, m, a, true)
	ids, targets := sequences(m.Config.Vocab)
	var alone []float32
	for i := range ids {
		var b Batch
		b.Append(ids[i], targets[i])
		nll, err := p.Gradient(&b, 0)
		if err != nil {
			t.Fatal(err)
		}
		alone = append(alone, nll...)
	}
	separate := gradients(p)
	m.dev.Zero(a.Params.G)
	nll, err := p.Gradient(packed(m.Config), 0)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(nll) != fmt.Sprint(alone) {
		t.Errorf("losses differ:\n%v packed\n%v alone", nll, alone)
	}
	if e := relative(gradients(p), separate); e > 1e-6 {
		t.Errorf("gradients differ by %.2e of their norm", e)
	}
}

// TestLogitsComeInChunks: how many rows of logits there are at a time changes
// no loss, and gradients by the order of sums alone.
func TestLogitsComeInChunks(t *testing.T) {
	m := lively(t, ref.New(), tiny(false))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
	p := newPass(t, m, a, true)
	nll, err := p.Gradient(packed(m.Config), 1)
	if err != nil {
		t.Fatal(err)
	}
	losses, whole := fmt.Sprint(nll), gradients(p)
	for _, p.c = range []int{1, 2, 3, 4, 7} {
		m.dev.Zero(a.Params.G)
		if nll, err = p.Gradient(packed(m.Config), 1); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(nll) != losses {
			t.Errorf("%d rows at a time: losses %v, whole %v", p.c, nll, losses)
		}
		if e := relative(gradients(p), whole); e > 1e-6 {
			t.Errorf("%d rows at a time: gradients differ by %.2e of their norm", p.c, e)
		}
	}
}

func gradients(p *Pass) []float32 {
	g := make([]float32, p.Params().Len())
	p.m.dev.Download(g, p.Params().G)
	return g
}

// relative returns the L2 norm of got-want over that of want.
func relative(got, want []float32) float64 {
	var diff, norm float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff += d * d
		norm += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(diff / norm)
}

// TestFreshAdapterChangesNothing says that B = 0 gives the base's losses, bit for bit.
func TestFreshAdapterChangesNothing(t *testing.T) { onDevices(t, freshAdapterChangesNothing) }

func freshAdapterChangesNothing(t *testing.T, dev gpu.Device) {
	m := lively(t, dev, tiny(false))
	a, err := NewAdapter(m, LoRA{Rank: 4, Alpha: 8, Targets: everything, Dropout: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	base, err := newPass(t, m, nil, false).Loss(packed(m.Config))
	if err != nil {
		t.Fatal(err)
	}
	for _, train := range []bool{false, true} {
		got, err := newPass(t, m, a, train).Loss(packed(m.Config))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(base) {
			t.Errorf("train %v: losses with a fresh adapter %v, without %v", train, got, base)
		}
	}
}
