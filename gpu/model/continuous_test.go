package model

import (
	"fmt"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// turns counts the passes over prompts and those that add a token to every sequence.
type turns struct {
	gpu.Device
	prompts, tokens int
}

func (d *turns) Attention(out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	d.prompts++
	d.Device.Attention(out, lse, q, k, v, s)
}

func (d *turns) AttentionCached(out, q, keys, values gpu.Buf, c gpu.Cached) {
	d.tokens++
	d.Device.AttentionCached(out, q, keys, values, c)
}

// TestBatchStaysFull: ended sequences leave and prompts enter, some at a time, so that ragged
// completions take hardly more turns than they have tokens for; limits are kept.
func TestBatchStaysFull(t *testing.T) {
	dev := &turns{Device: ref.New()}
	cfg := tiny(true)
	cfg.Layers = 1
	m := lively(t, dev, cfg)
	const batch, n = 64, 400
	prompts, limits, tokens := make([][]int32, n), make([]int, n), 0
	for i := range prompts {
		prompts[i], limits[i] = []int32{int32(i % 19), int32(i % 7)}, 2+i*13%29
		tokens += limits[i]
	}
	o := Decoding{MaxNew: 30, Limits: limits, EOS: []int32{}, Batch: batch}
	all := collect(t, m, nil, prompts, o)
	for i, c := range all {
		if len(c.Tokens) != limits[i] || c.Stopped {
			t.Errorf("prompt %d: %d tokens, want %d", i, len(c.Tokens), limits[i])
		}
	}
	if most := n / 2; dev.prompts > most { // two slots at a time, or more
		t.Errorf("prompts were begun %d times: want %d at most", dev.prompts, most)
	}
	// The first token comes with the prompt. The last batch runs out, over up to 30 turns.
	if least := (tokens - n) / batch; dev.tokens > least+30+least/10 {
		t.Errorf("%d turns for %d tokens, %d at a time: %d would do", dev.tokens, tokens-n, batch, least)
	}
	o.Batch, o.Limits = 3, limits[:9]
	if got, want := fmt.Sprint(collect(t, m, nil, prompts[:9], o)), fmt.Sprint(all[:9]); got != want {
		t.Errorf("three at a time:\n%s, 64 at a time:\n%s", got, want)
	}
}
