package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// draftOf returns a model like m with a little noise in its weights, which says
// what m says most of the time.
func draftOf(t *testing.T, m *Transformer, noise float64) *Transformer {
	t.Helper()
	d := lively(t, m.dev, m.Config)
	random := rand.New(rand.NewPCG(1, 2))
	for _, w := range d.weights {
		values := make([]float32, w.len())
		d.dev.Download(values, w.w)
		for i := range values {
			values[i] += float32(noise * random.NormFloat64())
		}
		d.dev.Upload(w.w, values)
	}
	return d
}

func manyPrompts(n, vocab int) [][]int32 {
	random := rand.New(rand.NewPCG(6, 1))
	prompts := make([][]int32, n)
	for i := range prompts {
		for range 1 + random.IntN(12) {
			prompts[i] = append(prompts[i], int32(random.IntN(vocab)))
		}
	}
	return prompts
}

// TestDraftChangesNothing: with a draft, completions are those without one,
// log-probabilities included and to the bit, however good the draft is and
// however tokens are chosen.
func TestDraftChangesNothing(t *testing.T) { onDevices(t, draftChangesNothing) }

func draftChangesNothing(t *testing.T, dev gpu.Device) {
	cfg := tiny(false)
	cfg.Family, cfg.Window = "MistralForCausalLM", 9
	m := lively(t, dev, cfg)
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
	other := tiny(true)
	other.Vocab, other.MaxPositions, other.Layers = 15, 30, 1
	narrow := lively(t, dev, other)
	drafts := []*Transformer{m, draftOf(t, m, 0.02), narrow}
	prompts := manyPrompts(40, cfg.Vocab)
	for _, o := range []Decoding{
		{MaxNew: 40, EOS: []int32{4}},
		{MaxNew: 99, EOS: []int32{}}, // to the end of the context
		{MaxNew: 20, EOS: []int32{4, 7}, Temperature: 0.7, TopK: 9, TopP: 0.9, Penalty: 1.2, Seed: 3},
		{MaxNew: 20, EOS: []int32{}, Penalty: 1.3},
	} {
		want := collect(t, m, a, prompts, o)
		for _, batch := range []int{1, 7} {
			for i, d := range drafts {
				o.Batch, o.Rows = batch, 8
				o.Draft = &Draft{Model: d, Tokens: 1 + 2*i, Always: i != 1}
				got := collect(t, m, a, prompts, o)
				for j := range got {
					if fmt.Sprint(got[j]) != fmt.Sprint(want[j]) {
						t.Fatalf("%+v with draft %d, prompt %d:\n%v\nwithout:\n%v", o, i, j, got[j], want[j])
					}
				}
				if f := o.Draft.Found; f.Rounds == 0 || f.Proposed == 0 || f.Accepted > f.Proposed {
					t.Errorf("draft %d found %+v", i, f)
				}
			}
		}
	}
}

// TestDraftForesees: a model foresees itself always, one like it mostly, and
// another one rarely; what is foreseen saves rounds.
func TestDraftForesees(t *testing.T) {
	m := lively(t, ref.New(), tiny(false))
	prompts := manyPrompts(20, m.Config.Vocab)
	other := tiny(true)
	other.Layers = 1
	var rates []float64
	for _, d := range []*Transformer{m, draftOf(t, m, 0.01), lively(t, m.dev, other)} {
		o := Decoding{MaxNew: 25, EOS: []int32{}, Draft: &Draft{Model: d, Always: true}}
		for _, c := range collect(t, m, nil, prompts, o) {
			if len(c.Tokens) != 25 {
				t.Fatalf("%d tokens", len(c.Tokens))
			}
		}
		rates = append(rates, o.Draft.Found.Acceptance())
		if d == m && o.Draft.Found.Rounds != 5 { // one token from the prompt, then 4+1 in each round
			t.Errorf("%d rounds for 24 tokens, 4 foreseen in each", o.Draft.Found.Rounds)
		}
	}
	if rates[0] != 1 || rates[1] < 0.5 || rates[1] == 1 || rates[2] > 0.4 {
		t.Errorf("shares foreseen: %v", rates)
	}
}

// timed is a device on which each pass through a model takes a time of its own,
// by a clock that nothing else moves.
type timed struct {
	gpu.Device
	costs map[gpu.Buf]time.Duration // by the model's last norm
	at    time.Time
}

func (d *timed) RMSNorm(out, inv, x, add, w gpu.Buf, dim int, eps float32) {
	d.at = d.at.Add(d.costs[w])
	d.Device.RMSNorm(out, inv, x, add, w, dim, eps)
}

// TestDraftThatLosesIsLeftOff: a draft that takes longer than it saves is not
// asked after its trial; one that saves is asked to the end.
func TestDraftThatLosesIsLeftOff(t *testing.T) {
	for cost, gain := range map[time.Duration]float64{
		time.Millisecond:      2.5, // 3 tokens in 10 + 2·1 ms, instead of 10 ms each
		9 * time.Millisecond:  30.0 / 28,
		20 * time.Millisecond: 0.6,
	} {
		m := lively(t, ref.New(), tiny(false))
		d := draftOf(t, m, 0)
		m.Config.MaxPositions, d.Config.MaxPositions = 300, 300
		dev := &timed{m.dev, map[gpu.Buf]time.Duration{m.norm.w: 10 * time.Millisecond, d.norm.w: cost}, time.Time{}}
		m.dev, d.dev = dev, dev
		o := Decoding{MaxNew: 200, EOS: []int32{}, Draft: &Draft{Model: d, Tokens: 2, clock: func() time.Time { return dev.at }}}
		collect(t, m, nil, [][]int32{{3}}, o)
		f, loses := o.Draft.Found, gain < 1
		if f.Off != loses || loses != (f.Rounds == trial-without) || math.Abs(f.Gain()-gain) > 0.03*gain { // it also reads what was written without it
			t.Errorf("a draft that takes %v, gain %v: found %s, %+v", cost, gain, f, f)
		}
		if says := strings.Contains(f.String(), "left off"); says != loses {
			t.Errorf("gain %v: says %s", gain, f)
		}
	}
}

func TestDraftMustBeNear(t *testing.T) {
	m := lively(t, ref.New(), tiny(true))
	for want, d := range map[string]*Draft{
		"on another device":       {Model: lively(t, gpu.Checked(ref.New()), tiny(true))},
		"proposes -1 tokens at a": {Model: m, Tokens: -1},
	} {
		for _, err := range m.Generate(t.Context(), nil, somePrompts(), Decoding{MaxNew: 3, Draft: d}) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
}
