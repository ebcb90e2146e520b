package model

import (
	"context"
	"fmt"
)

// Score is how likely a model holds a given completion to be.
type Score struct {
	NLL    float64 // nats per token, the mean over the completion
	Tokens int
}

// Score computes how likely m and a, which may be nil, hold each completion to
// be after its prompt, rows rows at a time (0: 1024).
func (m *Transformer) Score(ctx context.Context, a *Adapter, prompts, completions [][]int32, rows int) ([]Score, error) {
	if len(prompts) != len(completions) {
		return nil, fmt.Errorf("model: score: %d prompts and %d completions", len(prompts), len(completions))
	}
	if rows <= 0 {
		rows = 1024
	}
	all := 0
	longest := 1
	for i := range prompts {
		if len(prompts[i]) == 0 || len(completions[i]) == 0 {
			return nil, fmt.Errorf("model: score: prompt %d or its completion is empty", i)
		}
		n := len(prompts[i]) + len(completions[i]) - 1
		all, longest = all+n, max(longest, n)
	}
	p, err := NewPass(m, a, max(longest, min(rows, all)), false)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	scores := make([]Score, len(prompts))
	var b Batch
	for done := 0; done < len(prompts); {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("model: score: %w", err)
		}
		b.Reset()
		first := done
		for done < len(prompts) && (done == first || b.Rows()+len(prompts[done])+len(completions[done])-1 <= rows) {
			b.complete(prompts[done], completions[done])
			done++
		}
		nll, err := p.Loss(&b)
		if err != nil {
			return nil, fmt.Errorf("model: score: %w", err)
		}
		for i := first; i < done; i++ {
			n := len(completions[i])
			end := b.Starts[i-first+1]
			var sum float64
			for _, x := range nll[int(end)-n : end] {
				sum += float64(x)
			}
			scores[i] = Score{sum / float64(n), n}
		}
	}
	return scores, nil
}

// complete adds a prompt and its completion, of which the tokens are targets.
func (b *Batch) complete(prompt, completion []int32) {
	b.IDs = append(append(b.IDs, prompt...), completion[:len(completion)-1]...)
	for range len(prompt) - 1 {
		b.Targets = append(b.Targets, -1)
	}
	b.Targets = append(b.Targets, completion...)
	b.Starts = append(b.Starts, int32(len(b.IDs)))
}
