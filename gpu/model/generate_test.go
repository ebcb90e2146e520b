package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// collect returns the completions in the order of the prompts.
func collect(t *testing.T, m *Transformer, a *Adapter, prompts [][]int32, o Decoding) []Completion {
	t.Helper()
	all := make([]Completion, len(prompts))
	for c, err := range m.Generate(t.Context(), a, prompts, o) {
		if err != nil {
			t.Fatal(err)
		}
		if all[c.Prompt].Tokens != nil {
			t.Fatalf("prompt %d was completed twice", c.Prompt)
		}
		all[c.Prompt] = c
	}
	return all
}

func somePrompts() [][]int32 {
	return [][]int32{{3}, {5, 9, 1, 12, 4, 4, 7}, {8, 8}, {2, 14, 6, 11}, {1, 0, 3, 5, 18, 3, 9, 10, 12}, {17, 5}}
}

// TestCompletionsDoNotDependOnEachOther: tokens and log-probabilities are the
// same to the bit, whatever shares the batch and in however many pieces
// prompts are read, greedy and sampled.
func TestCompletionsDoNotDependOnEachOther(t *testing.T) {
	onDevices(t, completionsDoNotDependOnEachOther)
}

func completionsDoNotDependOnEachOther(t *testing.T, dev gpu.Device) {
	m := lively(t, dev, tiny(true))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: []string{"all-linear"}})
	for _, o := range []Decoding{
		{MaxNew: 12, EOS: []int32{4, 7}},
		{MaxNew: 12, EOS: []int32{4, 7}, Temperature: 0.8, TopP: 0.9, Seed: 3},
	} {
		prompts := somePrompts()
		want := fmt.Sprint(collect(t, m, a, prompts, o))
		for _, batch := range []int{1, 2, 5} {
			o.Batch, o.Rows = batch, 3*batch
			if got := fmt.Sprint(collect(t, m, a, prompts, o)); got != want {
				t.Errorf("temperature %g, %d at a time:\n%s, all at once:\n%s", o.Temperature, batch, got, want)
			}
		}
	}
}

// TestCacheIsFullAttention: the log-probabilities on the way are those of one
// forward pass over prompt and completion, as Score computes them.
func TestCacheIsFullAttention(t *testing.T) { onDevices(t, cacheIsFullAttention) }

func cacheIsFullAttention(t *testing.T, dev gpu.Device) {
	m := lively(t, dev, tiny(false))
	a := livelyAdapter(t, m, LoRA{Rank: 3, Alpha: 5, Targets: everything})
	prompts := somePrompts()
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
		if len(c.Tokens) != 20 || scores[i].Tokens != 20 || math.Abs(scores[i].NLL+c.MeanLogProb()) > 1e-6 {
			t.Errorf("prompt %d: %d tokens of mean log-probability %v, scored %+v", i, len(c.Tokens), c.MeanLogProb(), scores[i])
		}
	}
}

// TestSamplingFollowsTheDistribution draws the token after one prompt 4000
// times and compares the counts with the probabilities, by chi-square.
func TestSamplingFollowsTheDistribution(t *testing.T) {
	m := lively(t, ref.New(), tiny(true))
	prompt := []int32{5, 9, 1}
	probs := make([]float64, m.Config.Vocab)
	var every, same [][]int32
	for i := range probs {
		every, same = append(every, []int32{int32(i)}), append(same, prompt)
	}
	scores, err := m.Score(t.Context(), nil, same, every, 0)
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for i, s := range scores {
		probs[i] = math.Exp(-s.NLL / 1.5)
		sum += probs[i]
	}
	const draws = 4000
	prompts := slices.Repeat([][]int32{prompt}, draws)
	counts := make([]float64, len(probs))
	for _, c := range collect(t, m, nil, prompts, Decoding{MaxNew: 1, Temperature: 1.5, Seed: 11, Batch: 64}) {
		counts[c.Tokens[0]]++
	}
	var chi float64
	for i := range probs {
		e := draws * probs[i] / sum
		chi += (counts[i] - e) * (counts[i] - e) / e
	}
	if chi > 42.3 { // the 99.9th percentile for 18 degrees of freedom
		t.Errorf("chi-square %.1f over %d tokens: %v", chi, len(probs), counts)
	}
	// The nucleus of the likeliest token alone is greedy decoding.
	greedy := collect(t, m, nil, [][]int32{prompt}, Decoding{MaxNew: 8})
	nucleus := collect(t, m, nil, [][]int32{prompt}, Decoding{MaxNew: 8, Temperature: 1, TopP: 1e-9})
	if !slices.Equal(greedy[0].Tokens, nucleus[0].Tokens) {
		t.Errorf("nucleus of one: %v, greedy %v", nucleus[0].Tokens, greedy[0].Tokens)
	}
	for i := range greedy[0].LogProb { // one by Argmax, one on the host
		if math.Abs(float64(greedy[0].LogProb[i]-nucleus[0].LogProb[i])) > 1e-5 {
			t.Errorf("log-probabilities %v and %v", greedy[0].LogProb, nucleus[0].LogProb)
			break
		}
	}
}

func TestGenerateStops(t *testing.T) {
	m := lively(t, ref.New(), tiny(true))
	// At the end of the context.
	long := make([]int32, m.Config.MaxPositions-3)
	c := collect(t, m, nil, [][]int32{long}, Decoding{MaxNew: 99, EOS: []int32{}})[0]
	if len(c.Tokens) != 3 || c.Stopped {
		t.Errorf("3 tokens before the end of the context: %+v", c)
	}
	// By the first EOS, which belongs to the tokens, and not to the body.
	first := c.Tokens[0]
	c = collect(t, m, nil, [][]int32{long}, Decoding{MaxNew: 99, EOS: []int32{first}})[0]
	if len(c.Tokens) != 1 || !c.Stopped || len(c.Body()) != 0 {
		t.Errorf("EOS first: %+v", c)
	}
	// When the caller has enough, or ctx ends.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for c, err := range m.Generate(ctx, nil, somePrompts(), Decoding{MaxNew: 2, Batch: 1}) {
		if n++; n == 2 {
			cancel()
		}
		if n == 3 && !errors.Is(err, context.Canceled) || n > 3 {
			t.Errorf("cancelled: %+v, %v", c, err)
		}
	}
	if n != 3 {
		t.Errorf("cancelled after 2 completions, it yielded %d times", n)
	}
	for want, bad := range map[string]struct {
		prompts [][]int32
		o       Decoding
	}{
		"prompt 1 has 0 tokens": {[][]int32{{1}, {}}, Decoding{MaxNew: 1}},
		"max_new_tokens is 0":   {[][]int32{{1}}, Decoding{}},
		"token 0 of the batch":  {[][]int32{{99}}, Decoding{MaxNew: 1}},
		"2 keys for 1 prompts":  {[][]int32{{1}}, Decoding{MaxNew: 1, Keys: []uint64{1, 2}}},
	} {
		for _, err := range m.Generate(t.Context(), nil, bad.prompts, bad.o) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	}
}
