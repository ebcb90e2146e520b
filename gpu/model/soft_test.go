package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
)

// TestDistilGradient compares the gradient of every logit with a central
// difference.
func TestDistilGradient(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	draw := func(vocab int) []float32 {
		x := make([]float32, vocab)
		for i := range x {
			x[i] = float32(math.Round(random.NormFloat64()*2*1024)) / 1024 // so that a step of 1/1024 is exact
		}
		return x
	}
	for _, c := range []struct {
		vocab, k int
		d        Distil
	}{
		{11, 3, Distil{1, 1}},
		{11, 3, Distil{0.7, 2}},
		{11, 11, Distil{0.5, 3}}, // nothing is left for the rest
		{50, 1, Distil{0.2, 0.5}},
	} {
		s := Soft{K: c.k}
		s.add(draw(c.vocab), c.vocab, c.d.Temperature)
		logits, target, e := draw(c.vocab), int32(random.IntN(c.vocab)), make([]float64, c.vocab)
		loss := func() float64 { return s.loss(slices.Clone(logits), target, e, c.d, false) }
		got := slices.Clone(logits)
		if s.loss(got, target, e, c.d, true) != loss() {
			t.Error("the loss with its gradient is another one")
		}
		for j := range logits {
			const h = 1.0 / 1024
			logits[j] += h
			up := loss()
			logits[j] -= 2 * h
			down := loss()
			logits[j] += h
			if want := (up - down) / (2 * h); math.Abs(float64(got[j])-want) > 2e-6*(1+math.Abs(want)) {
				t.Errorf("%+v, logit %d: gradient %v, difference %v", c, j, got[j], want)
			}
		}
	}
}

// TestDistilIsKL: with all tokens kept, the loss is KL as a sum over the
// vocabulary; with some, it is no larger, and 0 for equal predictions.
func TestDistilIsKL(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	a, b, e := make([]float32, 40), make([]float32, 40), make([]float64, 40)
	for i := range a {
		a[i], b[i] = float32(3*random.NormFloat64()), float32(3*random.NormFloat64())
	}
	p, q := logSoftmax(a), logSoftmax(b)
	want, _ := compare(p, q)
	last := want
	for _, k := range []int{40, 20, 4, 1} {
		s := Soft{K: k}
		s.add(a, 40, 1)
		got := s.loss(slices.Clone(b), 0, e, Distil{1, 1}, false)
		if k == 40 && math.Abs(got-want) > 1e-5 || got > last+1e-6 || got <= 0 {
			t.Errorf("%d tokens: %v, of all: %v", k, got, want)
		}
		last = got
		if same := s.loss(slices.Clone(a), 0, e, Distil{1, 1}, false); math.Abs(same) > 1e-6 {
			t.Errorf("%d tokens: KL of itself is %v", k, same)
		}
		if !slices.IsSortedFunc(s.IDs, func(x, y int32) int { return int(1e6 * (a[y] - a[x])) }) || len(s.IDs) != k {
			t.Errorf("%d tokens: %v of %v", k, s.IDs, a)
		}
	}
}

// TestDistilThroughAModel: predictions that are sure of the targets make the
// losses and gradients that the targets alone do, and a model's own
// predictions make none; cut in two batches, the same bits.
func TestDistilThroughAModel(t *testing.T) { onDevices(t, distilThroughAModel) }

func distilThroughAModel(t *testing.T, dev gpu.Device) {
	m := lively(t, dev, tiny(true))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: []string{"all-linear"}})
	p := newPass(t, m, a, true)
	b := packed(m.Config)
	run := func(b *Batch) ([]float32, []float32) {
		t.Helper()
		nll, err := p.Gradient(b, 1)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(nll), slices.Clone(gradients(p))
	}
	dev.Zero(p.Params().G)
	loss, grad := run(b)
	for _, target := range b.Targets {
		if target >= 0 {
			b.Soft.Append(Soft{1, []int32{target}, []float32{0, float32(math.Inf(-1))}})
		}
	}
	b.Distil = Distil{0.5, 1}
	dev.Zero(p.Params().G)
	sure, sureGrad := run(b)
	if d := apart(loss, sure); d > 1e-5 {
		t.Errorf("losses are apart by %g", d)
	}
	if d := apart(grad, sureGrad); d > 1e-4 {
		t.Errorf("gradients are apart by %g", d)
	}

	own := Soft{K: 4}
	if err := p.Predict(b, &own, 99, 2); err != nil {
		t.Fatal(err)
	}
	b.Soft, b.Distil = own, Distil{1, 2}
	dev.Zero(p.Params().G)
	none, noneGrad := run(b)
	if apart(none, make([]float32, len(none))) > 1e-5 || apart(noneGrad, make([]float32, len(noneGrad))) > 1e-4 {
		t.Errorf("a model's own predictions: losses %v, gradients %v", none, noneGrad)
	}

	b.Distil = Distil{0.6, 1.5} // not what was predicted for, so that there is something to learn
	dev.Zero(p.Params().G)
	whole, wholeGrad := run(b)
	dev.Zero(p.Params().G)
	var parts []float32
	ids, targets := sequences(m.Config.Vocab)
	row := 0
	for i := range ids {
		var one Batch
		one.Append(ids[i], targets[i])
		one.First, one.Distil = i, b.Distil
		n := 0
		for _, target := range targets[i] {
			if target >= 0 {
				n++
			}
		}
		one.Soft, row = own.Slice(row, row+n), row+n
		l, g := run(&one)
		parts = append(parts, l...)
		if i == len(ids)-1 && apart(g, wholeGrad) != 0 {
			t.Errorf("gradients of three batches are apart by %g from those of one", apart(g, wholeGrad))
		}
	}
	if apart(parts, whole) != 0 || apart(whole, make([]float32, len(whole))) < 0.01 {
		t.Errorf("losses of three batches %v, of one %v", parts, whole)
	}

	for want, spoil := range map[string]func(b *Batch){
		"rows of predictions":   func(b *Batch) { b.Soft = b.Soft.Slice(1, 3) },
		"prediction of token":   func(b *Batch) { b.Soft.IDs = slices.Clone(b.Soft.IDs); b.Soft.IDs[2] = 19 },
		"weight is 2":           func(b *Batch) { b.Distil.Weight = 2 },
		"temperature 0":         func(b *Batch) { b.Distil.Temperature = 0 },
		"predict: 20 tokens of": func(b *Batch) { b.Distil.Weight = 0 },
	} {
		bad := *b
		spoil(&bad)
		_, err := p.Gradient(&bad, 1)
		if err == nil {
			err = p.Predict(&bad, &Soft{K: 20}, 19, 1)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// apart returns the largest difference.
func apart(a, b []float32) (d float64) {
	for i := range a {
		d = max(d, math.Abs(float64(a[i])-float64(b[i])))
	}
	if len(a) != len(b) {
		return math.Inf(1)
	}
	return d
}

// BenchmarkDistil is what the host does in a step: rows of 49,152 logits.
func BenchmarkDistil(b *testing.B) {
	const rows, vocab = 64, 49152
	logits, targets, losses := make([]float32, rows*vocab), make([]int32, rows), make([]float32, rows)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range logits {
		logits[i] = float32(3 * random.NormFloat64())
	}
	s := Soft{K: 32}
	for i := range rows {
		s.add(logits[i*vocab:(i+1)*vocab], vocab, 2)
	}
	b.SetBytes(4 * rows * vocab)
	for b.Loop() {
		s.losses(losses, slices.Clone(logits), targets, 0, Distil{0.5, 2}, true)
	}
}
