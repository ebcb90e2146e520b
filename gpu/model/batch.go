package model

import "fmt"

// Batch is a packed micro-batch of N tokens: sequences one after the other,
// without padding. No sequence sees another, and positions start at 0 in each.
type Batch struct {
	IDs     []int32 // (N)
	Starts  []int32 // first row of each sequence, then N
	Targets []int32 // (N) the token to be predicted after each row; negative: none

	// First is the place of the first sequence among those whose gradients are
	// summed. Dropout in a sequence depends on its place alone, so that cutting
	// a sum into batches makes no difference.
	First int

	// Soft is what a larger model predicts at the rows with a target, in their
	// order, and Distil what is learnt from it. Without a weight it is not needed.
	Soft   Soft
	Distil Distil
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	b.IDs, b.Targets, b.First = b.IDs[:0], b.Targets[:0], 0
	b.Starts = append(b.Starts[:0], 0)
	b.Soft.IDs, b.Soft.LogProb = b.Soft.IDs[:0], b.Soft.LogProb[:0]
}

// Append adds a sequence. targets has the length of ids, or is nil for none.
func (b *Batch) Append(ids, targets []int32) {
	if len(b.Starts) == 0 {
		b.Starts = append(b.Starts, 0)
	}
	b.IDs = append(b.IDs, ids...)
	if targets == nil {
		for range ids {
			b.Targets = append(b.Targets, -1)
		}
	}
	b.Targets = append(b.Targets, targets...)
	b.Starts = append(b.Starts, int32(len(b.IDs)))
}

// Rows returns N.
func (b *Batch) Rows() int { return len(b.IDs) }

// Sequences returns the number of sequences.
func (b *Batch) Sequences() int { return max(len(b.Starts)-1, 0) }

// check returns an error if running b would read outside of a table.
func (b *Batch) check(cfg Config, rows int) error {
	n := len(b.IDs)
	switch {
	case n == 0:
		return fmt.Errorf("model: the batch is empty")
	case n > rows:
		return fmt.Errorf("model: the batch has %d rows, and the pass was made for %d", n, rows)
	case len(b.Targets) != n:
		return fmt.Errorf("model: the batch has %d rows and %d targets", n, len(b.Targets))
	case len(b.Starts) < 2 || b.Starts[0] != 0 || int(b.Starts[len(b.Starts)-1]) != n:
		return fmt.Errorf("model: the batch's sequences do not cover its %d rows", n)
	}
	for i, id := range b.IDs {
		if id < 0 || int(id) >= cfg.Vocab {
			return fmt.Errorf("model: token %d of the batch is %d: the vocabulary has %d", i, id, cfg.Vocab)
		}
		if int(b.Targets[i]) >= cfg.Vocab {
			return fmt.Errorf("model: target %d of the batch is %d: the vocabulary has %d", i, b.Targets[i], cfg.Vocab)
		}
	}
	if err := b.checkSoft(cfg); err != nil {
		return err
	}
	for s := range b.Sequences() {
		length := int(b.Starts[s+1] - b.Starts[s])
		if length <= 0 {
			return fmt.Errorf("model: sequence %d of the batch is empty", s)
		}
		if err := cfg.positionsFit(length); err != nil {
			return err
		}
	}
	return nil
}

// checkSoft returns an error if a larger model's predictions do not belong to the rows.
func (b *Batch) checkSoft(cfg Config) error {
	if b.Distil.Weight == 0 {
		return nil
	}
	if err := b.Distil.check(); err != nil {
		return err
	}
	targets, k := 0, b.Soft.K
	for _, t := range b.Targets {
		if t >= 0 {
			targets++
		}
	}
	if k < 1 || len(b.Soft.IDs) != targets*k || len(b.Soft.LogProb) != targets*(k+1) {
		return fmt.Errorf("model: the batch has %d targets, and %d rows of predictions to learn from", targets, b.Soft.Rows())
	}
	for _, id := range b.Soft.IDs {
		if id < 0 || int(id) >= cfg.Vocab {
			return fmt.Errorf("model: the batch has a prediction of token %d: the vocabulary has %d", id, cfg.Vocab)
		}
	}
	return nil
}
