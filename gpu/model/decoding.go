package model

import (
	"fmt"
	"slices"
)

// Decoding says how completions are chosen.
type Decoding struct {
	MaxNew      int      // tokens of a completion at most
	Limits      []int    // the same for each prompt, where fewer; nil: none
	EOS         []int32  // each ends a completion; nil: Transformer.Stops
	Batch       int      // sequences at a time; 0: 32
	Rows        int      // prompt tokens computed at a time; 0: 1024
	Temperature float64  // 0: the likeliest token, else sampling
	TopK        int      // sample from so many of the likeliest tokens; 0: from all
	TopP        float64  // of these, from the fewest of this probability together; 0: from all
	Penalty     float64  // of tokens that were there already: positive logits are divided, others multiplied by it; 0: 1
	Seed        uint64   // of sampling
	Keys        []uint64 // of sampling, one for each prompt; nil: the prompts' places
	Draft       *Draft   // proposes tokens, to be faster; nil: none. Of no influence on completions
}

// Completion is what follows a prompt. Which other prompts were computed with
// it has no influence on it, to the last bit.
type Completion struct {
	Prompt  int       // its place among the prompts
	Tokens  []int32   // the ending EOS included
	LogProb []float32 // of each token, in nats, before temperature, TopK, TopP and Penalty
	Stopped bool      // by an EOS; otherwise it was cut off
}

// Body returns the tokens without the ending EOS.
func (c Completion) Body() []int32 {
	if c.Stopped {
		return c.Tokens[:len(c.Tokens)-1]
	}
	return c.Tokens
}

// MeanLogProb returns the mean of LogProb: how sure the model was all along.
func (c Completion) MeanLogProb() float64 {
	var sum float64
	for _, l := range c.LogProb {
		sum += float64(l)
	}
	return sum / float64(len(c.LogProb))
}

// MinLogProb returns the least of LogProb: how sure it was where it was least.
func (c Completion) MinLogProb() float64 { return float64(slices.Min(c.LogProb)) }

// Check returns an error that names the first number that makes no sense.
func (o Decoding) Check() error {
	switch {
	case o.MaxNew <= 0:
		return fmt.Errorf("max_new_tokens is %d: it must be positive", o.MaxNew)
	case o.Batch < 0 || o.Rows < 0:
		return fmt.Errorf("batch_size is %d and rows %d: neither may be negative", o.Batch, o.Rows)
	case !(o.Temperature >= 0) || !(o.TopP >= 0 && o.TopP <= 1):
		return fmt.Errorf("temperature is %g and top_p %g: they must be at least 0, and top_p at most 1", o.Temperature, o.TopP)
	case o.TopK < 0 || !(o.Penalty >= 0):
		return fmt.Errorf("top_k is %d and repetition_penalty %g: neither may be negative", o.TopK, o.Penalty)
	}
	return nil
}

// check looks at what belongs to the prompts, too.
func (o Decoding) check(prompts int) error {
	if err := o.Check(); err != nil {
		return fmt.Errorf("model: generate: %w", err)
	}
	switch {
	case o.Draft != nil && o.Draft.Tokens < 0:
		return fmt.Errorf("model: generate: the draft proposes %d tokens at a time: it must be positive", o.Draft.Tokens)
	case o.Keys != nil && len(o.Keys) != prompts:
		return fmt.Errorf("model: generate: %d keys for %d prompts", len(o.Keys), prompts)
	case o.Limits != nil && len(o.Limits) != prompts:
		return fmt.Errorf("model: generate: %d limits for %d prompts", len(o.Limits), prompts)
	case slices.ContainsFunc(o.Limits, func(n int) bool { return n <= 0 }):
		return fmt.Errorf("model: generate: limits %v: each must be positive", o.Limits)
	}
	return nil
}

// limit returns how many tokens the completion of prompt i may have.
func (o Decoding) limit(i int) int {
	if o.Limits == nil {
		return o.MaxNew
	}
	return min(o.MaxNew, o.Limits[i])
}
