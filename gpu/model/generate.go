package model

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"starbook/gpu"
)

// Generate completes prompts with m and a, which may be nil, and yields each
// completion when it ends. Ended ones make place for the next prompts: the batch
// stays full as long as there are some. An error is the last thing it yields.
func (m *Transformer) Generate(ctx context.Context, a *Adapter, prompts [][]int32, o Decoding) iter.Seq2[Completion, error] {
	return func(yield func(Completion, error) bool) {
		if len(prompts) == 0 {
			return
		}
		g, err := newGenerator(m, a, prompts, o)
		if err != nil {
			yield(Completion{}, err)
			return
		}
		defer g.close()
		for len(g.active) > 0 || g.next < len(prompts) {
			if err := g.step(ctx); err != nil {
				yield(Completion{}, fmt.Errorf("model: generate: %w", err))
				return
			}
			for _, s := range g.retire() {
				if !yield(s.Completion, nil) {
					return
				}
			}
		}
	}
}

// generator is a Generate on its way.
type generator struct {
	p       *Pass
	o       Decoding
	prompts [][]int32
	next    int         // the first prompt not begun
	active  []*sequence // unfinished, in the order they began
	free    []int32     // slots of the cache
	filling bool        // prompts are being begun
	spare   int32       // the slot of rows that only fill a batch up
	batch   Batch
	picker  picker
	drafter *drafter // nil: no draft
}

// sequence is a completion on its way.
type sequence struct {
	Completion
	slot   int32
	cached int // tokens whose keys and values the cache holds
	limit  int // tokens that the completion may have
	done   bool
	draft  proposal
}

func newGenerator(m *Transformer, a *Adapter, prompts [][]int32, o Decoding) (*generator, error) {
	if o.Batch == 0 {
		o.Batch = 32
	}
	if o.Rows == 0 {
		o.Rows = 1024
	}
	if o.EOS == nil {
		o.EOS = m.Stops()
	}
	if err := o.check(len(prompts)); err != nil {
		return nil, err
	}
	o.Batch = min(o.Batch, len(prompts))
	context, longest, all := 0, 0, 0
	for i, prompt := range prompts {
		if len(prompt) == 0 || len(prompt) >= m.Config.MaxPositions {
			return nil, fmt.Errorf("model: generate: prompt %d has %d tokens: it needs between 1 and %d", i, len(prompt), m.Config.MaxPositions-1)
		}
		longest, all = max(longest, len(prompt)), all+len(prompt)
		context = max(context, min(len(prompt)+o.limit(i), m.Config.MaxPositions))
	}
	o.Rows = max(longest, min(o.Rows, all), o.Batch*(1+o.Draft.tokens()))
	p, err := NewPass(m, a, o.Rows, false)
	if err != nil {
		return nil, err
	}
	g := &generator{p: p, o: o, prompts: prompts}
	m.angles(context)
	p.cache = newCache(m, o.Batch+fillers(m.dev), context)
	g.spare = int32(o.Batch)
	for slot := range o.Batch {
		g.free = append(g.free, int32(slot))
	}
	if o.Draft != nil {
		if g.drafter, err = newDrafter(m, o, context); err != nil {
			g.close()
			return nil, err
		}
	}
	if err := m.dev.Sync(); err != nil {
		g.close()
		return nil, fmt.Errorf("model: generate: a cache of %d sequences of %d tokens: %w", o.Batch, context, err)
	}
	g.picker = newPicker(o, m.Config.Vocab)
	return g, nil
}

// fillers returns how many slots rows need that fill a batch up: none on a device that
// takes batches as they are.
func fillers(d gpu.Device) int {
	if d.Pad(1) == 1 {
		return 0
	}
	return 1
}

func (g *generator) close() {
	if g.drafter != nil {
		g.drafter.close()
	}
	g.p.cache.free(g.p.m.dev)
	g.p.Close()
}

// step begins prompts if enough slots are free, and otherwise adds a token to
// every sequence.
func (g *generator) step(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if begun := g.admit(); len(begun) > 0 {
		return g.prefill(begun)
	}
	if g.drafter != nil {
		return g.speculate()
	}
	return g.decode()
}

// shareFree is the share of the slots that are free before prompts are begun: a
// prompt computed by itself takes as long as many, and all others wait for it.
const shareFree = 1. / 32

// enough reports whether so many slots are free that prompts should be begun.
// Then they are, until no slot is free.
func (g *generator) enough() bool {
	want := min(len(g.prompts)-g.next, max(1, int(shareFree*float64(g.o.Batch))))
	g.filling = want > 0 && (len(g.free) >= want || g.filling && len(g.free) > 0)
	return g.filling
}

// admit takes the next prompts that fit, and packs them.
func (g *generator) admit() []*sequence {
	g.batch.Reset()
	from := len(g.active)
	if !g.enough() {
		return nil
	}
	for g.next < len(g.prompts) && len(g.free) > 0 {
		prompt := g.prompts[g.next]
		if g.batch.Rows()+len(prompt) > g.o.Rows {
			break
		}
		g.batch.Append(prompt, nil)
		slot := g.free[len(g.free)-1]
		g.free = g.free[:len(g.free)-1]
		g.active = append(g.active, &sequence{
			Completion: Completion{Prompt: g.next}, slot: slot, cached: len(prompt),
			limit: min(g.o.limit(g.next), g.p.m.Config.MaxPositions-len(prompt)),
		})
		g.next++
	}
	return g.active[from:]
}

// prefill computes whole prompts and chooses the first token of each.
func (g *generator) prefill(begun []*sequence) error {
	p := g.p
	if err := p.begin(&g.batch); err != nil {
		return err
	}
	p.slots, p.picked = p.slots[:0], p.picked[:0]
	for i, s := range begun {
		for range len(g.prompts[s.Prompt]) {
			p.slots = append(p.slots, s.slot)
		}
		p.picked = append(p.picked, g.batch.Starts[i+1]-1)
	}
	for len(p.slots) < p.n {
		p.slots = append(p.slots, g.spare)
	}
	p.decoding = false
	p.forward(p.ids, p.m.Config.seqs(p.whole.starts))
	return g.choose(begun)
}

// decode computes the last token of every sequence and chooses the next.
func (g *generator) decode() error {
	p, ids := g.p, g.batch.IDs[:0]
	p.slots, p.pos, p.lens, p.picked = p.slots[:0], p.pos[:0], p.lens[:0], p.picked[:0]
	for i, s := range g.active {
		ids = append(ids, s.Tokens[len(s.Tokens)-1])
		p.slots, p.pos = append(p.slots, s.slot), append(p.pos, int32(s.cached))
		s.cached++
		p.lens, p.picked = append(p.lens, int32(s.cached)), append(p.picked, int32(i))
	}
	for want := p.m.dev.Pad(len(ids)); len(ids) < want; {
		ids = append(ids, 0)
		p.slots, p.pos, p.lens = append(p.slots, g.spare), append(p.pos, 0), append(p.lens, 1)
	}
	g.batch.IDs = ids
	p.fit(len(ids))
	p.decoding = true
	p.forward(ids, p.m.Config.seqs(nil))
	return g.choose(g.active)
}

// choose computes the logits of the picked rows, C at a time, and gives each
// sequence its next token.
func (g *generator) choose(seqs []*sequence) error {
	p, c := g.p, g.p.m.Config
	for from := 0; from < len(seqs); from += p.c {
		to := min(from+p.c, len(seqs))
		n := p.m.dev.Pad(to - from)
		x, logits := p.chunk.Slice(0, n*c.Hidden), p.logits.Slice(0, n*c.Vocab)
		rows := append(p.filled[0][:0], p.picked[from:to]...)
		for len(rows) < n {
			rows = append(rows, 0)
		}
		p.filled[0] = rows
		p.m.dev.Embed(x, p.norm, rows, c.Hidden) // gathers the rows
		p.project(p.atHead(n), n, x, logits)
		if err := g.picker.pick(p.m.dev, logits, g.prompts, seqs[from:to]); err != nil {
			return err
		}
	}
	for _, s := range seqs {
		g.judge(s)
	}
	return nil
}

// judge finds out whether a sequence ends with its last token.
func (g *generator) judge(s *sequence) {
	s.Stopped = slices.Contains(g.o.EOS, s.Tokens[len(s.Tokens)-1])
	s.done = s.Stopped || len(s.Tokens) >= s.limit
}

// retire removes the finished sequences and returns them.
func (g *generator) retire() []*sequence {
	var finished []*sequence
	g.active = slices.DeleteFunc(g.active, func(s *sequence) bool {
		if s.done {
			finished = append(finished, s)
			g.free = append(g.free, s.slot)
		}
		return s.done
	})
	return finished
}
