package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starbook/gpu"
)

// What NF4 loses of normal weights is what the paper's 16 quantiles lose with
// exact scales of 64 elements; the second quantisation adds next to nothing.
func TestNF4(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 256*40)
	for i := range x {
		x[i] = float32(0.02 * rng.NormFloat64())
	}
	clear(x[:256])           // a block of zeros
	clear(x[256+64 : 256*2]) // and of mostly zeros
	raw, err := encode(gpu.NF4, x)
	if err != nil {
		t.Fatal(err)
	}
	y := gpu.NF4.Decode(raw)
	var lost, exact, all float64
	for from := 0; from < len(x); from += 64 {
		top := float32(0)
		for _, v := range x[from : from+64] {
			top = max(top, float32(math.Abs(float64(v))))
		}
		for i := from; i < from+64; i++ {
			best := math.Inf(1)
			for _, q := range gpu.NormalFloat4 {
				best = min(best, math.Abs(float64(x[i]-top*q)))
			}
			exact += best * best
			lost += math.Pow(float64(x[i]-y[i]), 2)
			all += math.Pow(float64(x[i]), 2)
			if x[i] == 0 && y[i] != 0 {
				t.Fatalf("element %d: 0 became %v", i, y[i])
			}
		}
	}
	t.Logf("relative error %.4f, with exact scales %.4f", math.Sqrt(lost/all), math.Sqrt(exact/all))
	if lost > 1.01*exact || math.Sqrt(lost/all) > 0.1 {
		t.Errorf("relative error %.4f, with exact scales %.4f", math.Sqrt(lost/all), math.Sqrt(exact/all))
	}
	again, err := encode(gpu.NF4, y)
	if err != nil || !slices.Equal(gpu.NF4.Decode(again), y) {
		t.Errorf("what is rounded already changes again: %v", err)
	}
	if _, err := encode(gpu.NF4, append(slices.Clone(x[:255]), float32(math.NaN()))); err == nil {
		t.Error("NaN is taken")
	}
}

// An adapter of a base quantised at load has the gradients that it has on the
// decoded weights.
func TestQuantisedAtLoad(t *testing.T) { onDevices(t, quantisedAtLoad) }

func quantisedAtLoad(t *testing.T, dev gpu.Device) {
	cfg := tiny(false)
	cfg.Hidden, cfg.FeedForward = 256, 96 // whole blocks of NF4, except in the rows of down_proj
	m := lively(t, dev, cfg)
	defer m.Close()
	dir := t.TempDir()
	if err := m.Save(dir, "BF16"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenQuantised(dev, dir, gpu.Q4_0); err == nil {
		t.Error("Q4_0 is taken")
	}
	for _, typ := range []gpu.Type{gpu.NF4, gpu.Q8_0} {
		quantised, err := OpenQuantised(dev, dir, typ)
		if err != nil {
			t.Fatal(err)
		}
		decoded := t.TempDir()
		if err := quantised.Save(decoded, "F32"); err != nil {
			t.Fatal(err)
		}
		plain, err := Open(dev, decoded)
		if err != nil {
			t.Fatal(err)
		}
		var grads [3][]float32
		for i, m := range []*Transformer{quantised, plain, m} {
			a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
			p := newPass(t, m, a, true)
			if _, err := p.Gradient(packed(m.Config), 0); err != nil {
				t.Fatal(err)
			}
			grads[i] = gradients(p)
			p.Close()
		}
		if e := relative(grads[0], grads[1]); e > 1e-5 { // AMX sums products with a table in BF16 in another order
			t.Errorf("%v: gradients are off by %.1e", typ, e)
		}
		if e := relative(grads[0], grads[2]); e < 1e-4 {
			t.Errorf("%v: gradients are those of the weights before: nothing was quantised", typ)
		}
		quantised.Close()
		plain.Close()
	}
}
