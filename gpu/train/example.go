package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"starbook/gpu/model"
)

// Example is one text to learn from.
type Example struct {
	Tokens  []int32
	Trained []bool // of each token, whether it is to be predicted; the first never is

	// Soft is what a larger model predicts in place of each trained token, if
	// that is to be learnt: see Options.Distil.
	Soft model.Soft
}

// rows returns how many rows it takes to compute e: tokens that nothing
// trained comes after have no effect and are left out.
func (e Example) rows() int {
	for i := len(e.Tokens) - 1; i > 0; i-- {
		if e.Trained[i] {
			return i
		}
	}
	return 0
}

// Targets returns the number of trained tokens.
func (e Example) Targets() int {
	n := 0
	for i := 1; i < len(e.Trained); i++ {
		if e.Trained[i] {
			n++
		}
	}
	return n
}

// check returns an error if there is nothing to learn from one of the examples.
func check(what string, examples []Example, cfg model.Config, d model.Distil) error {
	for i, e := range examples {
		if len(e.Trained) != len(e.Tokens) {
			return fmt.Errorf("train: %s example %d: %d tokens, but %d marks of what is trained", what, i, len(e.Tokens), len(e.Trained))
		}
		rows := e.rows()
		switch {
		case rows == 0:
			return fmt.Errorf("train: %s example %d: none of its %d tokens is trained: was the answer cut off?", what, i, len(e.Tokens))
		case rows > cfg.MaxPositions:
			return fmt.Errorf("train: %s example %d: %d tokens, but the model's context is %d: shorten or drop it", what, i, rows, cfg.MaxPositions)
		}
		if d.Weight > 0 && e.Soft.Rows() != e.Targets() {
			return fmt.Errorf("train: %s example %d: predictions for %d of %d trained tokens", what, i, e.Soft.Rows(), e.Targets())
		}
		for at, id := range e.Tokens {
			if id < 0 || int(id) >= cfg.Vocab {
				return fmt.Errorf("train: %s example %d: token %d is %d, but the vocabulary has %d: is this the model's tokenizer?", what, i, at, id, cfg.Vocab)
			}
		}
	}
	return nil
}

// appendTo packs e into b.
func (e Example) appendTo(b *model.Batch) {
	rows := e.rows()
	b.IDs = append(b.IDs, e.Tokens[:rows]...)
	for i := 1; i <= rows; i++ {
		target := int32(-1)
		if e.Trained[i] {
			target = e.Tokens[i]
		}
		b.Targets = append(b.Targets, target)
	}
	b.Starts = append(b.Starts, int32(len(b.IDs)))
	b.Soft.Append(e.Soft)
}

// pack fills b with the first of the listed examples that fit into so many
// rows, at least one, and returns how many.
func pack(b *model.Batch, examples []Example, list []int, rows int) int {
	b.Reset()
	for i, at := range list {
		if i > 0 && b.Rows()+examples[at].rows() > rows {
			return i
		}
		examples[at].appendTo(b)
	}
	return len(list)
}

// Pack is pack for examples in their own order.
func Pack(b *model.Batch, examples []Example, rows int) int {
	b.Reset()
	for i, e := range examples {
		if i > 0 && b.Rows()+e.rows() > rows {
			return i
		}
		e.appendTo(b)
	}
	return len(examples)
}

// roomFor returns the rows of the longest example, and of the largest batch
// that pack will make.
func roomFor(train, eval []Example, o Options) (longest, largest int) {
	var all int
	sizes := sizesOf(train)
	longest = sizes[len(sizes)-1]
	for _, e := range eval {
		all += e.rows()
		longest = max(longest, e.rows())
	}
	return longest, max(longest, min(o.MicroTokens, max(largestUpdate(sizes, o.Batch), all)))
}

// sizesOf returns the rows of each example, ascending.
func sizesOf(examples []Example) []int {
	var sizes []int
	for _, e := range examples {
		sizes = append(sizes, e.rows())
	}
	slices.Sort(sizes)
	return sizes
}

// largestUpdate returns the rows of the n longest examples.
func largestUpdate(sizes []int, n int) int {
	sum := 0
	for _, size := range sizes[max(0, len(sizes)-n):] {
		sum += size
	}
	return sum
}

// digest identifies the examples, so that a State is not continued with others.
func digest(train, eval []Example) string {
	h := sha256.New()
	var b []byte
	for _, examples := range [][]Example{train, eval} {
		b = binary.LittleEndian.AppendUint64(b[:0], uint64(len(examples)))
		h.Write(b)
		for _, e := range examples {
			b = e.text(b[:0])
			for _, id := range e.Soft.IDs {
				b = binary.LittleEndian.AppendUint32(b, uint32(id))
			}
			for _, p := range e.Soft.LogProb {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(p))
			}
			h.Write(b)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Key identifies what is read and what is predicted of an example.
func (e Example) Key() [sha256.Size]byte { return sha256.Sum256(e.text(nil)) }

// text appends the tokens and whether each is trained.
func (e Example) text(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(e.Tokens)))
	for i, id := range e.Tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
		if e.Trained[i] {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}
