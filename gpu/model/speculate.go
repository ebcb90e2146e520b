package model

import "starbook/gpu"

// speculate adds a token to every sequence, and those behind it that the draft
// foresaw. What the clock says decides only whether the draft is asked.
func (g *generator) speculate() error {
	d, found, begun, written := g.drafter, &g.drafter.Found, g.drafter.now(), 0
	for _, s := range g.active {
		written -= len(s.Tokens)
	}
	at := &found.without
	var err error
	if d.on() {
		at = &found.with
		if err = d.propose(g); err == nil {
			err = g.verify()
		}
	} else {
		err = g.decode()
	}
	for _, s := range g.active {
		written += len(s.Tokens)
	}
	if d.Always || d.steps > 1 {
		at.tokens += written
		at.spent += d.now().Sub(begun)
	}
	return err
}

// tail is new rows of unfinished sequences: see Pass.overCache.
type tail struct {
	ids    []int32
	owners []*sequence // of the picked rows
}

func (p *Pass) newTail() tail {
	p.slots, p.pos, p.lens, p.picked = p.slots[:0], p.pos[:0], p.lens[:0], p.picked[:0]
	return tail{}
}

// add adds the row of a sequence's token at pos, of which, if it is picked, the
// logits are asked for.
func (t *tail) add(p *Pass, s *sequence, id int32, pos int, picked bool) {
	if picked {
		p.picked, t.owners = append(p.picked, int32(len(t.ids))), append(t.owners, s)
	}
	t.ids = append(t.ids, id)
	p.slots, p.pos, p.lens = append(p.slots, s.slot), append(p.pos, int32(pos)), append(p.lens, int32(pos+1))
}

// overCache computes the rows of a tail over the cache, which gets their keys
// and values, and shows the logits of the picked ones, C at a time.
func (p *Pass) overCache(t tail, see func(logits gpu.Buf, owners []*sequence) error) error {
	c := p.m.Config
	p.fit(len(t.ids))
	p.decoding = true
	p.forward(t.ids, c.seqs(nil))
	for from := 0; from < len(p.picked); from += p.c {
		to := min(from+p.c, len(p.picked))
		n := to - from
		x, logits := p.chunk.Slice(0, n*c.Hidden), p.logits.Slice(0, n*c.Vocab)
		p.m.dev.Embed(x, p.norm, p.picked[from:to], c.Hidden) // gathers the rows
		p.project(p.atHead(n), n, x, logits)
		if err := see(logits, t.owners[from:to]); err != nil {
			return err
		}
	}
	return nil
}

// propose lets the draft go on with every sequence.
func (d *drafter) propose(g *generator) error {
	for _, s := range g.active {
		s.draft.guess = s.draft.guess[:0]
		s.draft.limit = min(d.tokens(), s.limit-len(s.Tokens)-1, d.p.cache.context-g.length(s))
	}
	for range d.tokens() {
		if err := d.read(g); err != nil {
			return err
		}
	}
	return nil
}

// length returns how many tokens a sequence has, its prompt's included.
func (g *generator) length(s *sequence) int { return len(g.prompts[s.Prompt]) + len(s.Tokens) }

// at returns token i of a sequence, behind whose own come those proposed.
func (g *generator) at(s *sequence, i int) int32 {
	prompt := g.prompts[s.Prompt]
	switch own := i - len(prompt); {
	case own < 0:
		return prompt[i]
	case own < len(s.Tokens):
		return s.Tokens[own]
	default:
		return s.draft.guess[own-len(s.Tokens)]
	}
}

// read lets the draft read what is new in the sequences of which it may propose
// more, as many rows at a time as its pass has, and proposes a token behind each.
func (d *drafter) read(g *generator) error {
	t := d.p.newTail()
	for _, s := range g.active {
		if len(s.draft.guess) >= s.draft.limit {
			continue
		}
		for end := g.length(s) + len(s.draft.guess); s.draft.read < end; s.draft.read++ {
			if len(t.ids) == d.p.rows {
				if err := d.p.overCache(t, d.guess); err != nil {
					return err
				}
				t = d.p.newTail()
			}
			// Tables of one tokenizer are filled up to different lengths: a token
			// that the draft lacks is read as another, and what follows verified.
			id := min(g.at(s, s.draft.read), int32(d.Model.Config.Vocab-1))
			t.add(d.p, s, id, s.draft.read, s.draft.read == end-1)
		}
	}
	if len(t.ids) == 0 {
		return nil
	}
	return d.p.overCache(t, d.guess)
}

// guess proposes the likeliest token to each sequence.
func (d *drafter) guess(logits gpu.Buf, owners []*sequence) error {
	ids, logp := make([]int32, len(owners)), make([]float32, len(owners))
	d.p.m.dev.Argmax(ids, logp, logits, d.Model.Config.Vocab)
	for i, s := range owners {
		s.draft.guess = append(s.draft.guess, ids[i])
	}
	return d.p.m.dev.Sync()
}

// verify computes the last token of every sequence and those proposed behind
// it, and chooses a token after each, until one is not what was proposed.
func (g *generator) verify() error {
	t := g.p.newTail()
	for _, s := range g.active {
		s.draft.seen, s.draft.right = 0, 0
		t.add(g.p, s, s.Tokens[len(s.Tokens)-1], s.cached, true)
		for i, id := range s.draft.guess {
			t.add(g.p, s, min(id, int32(g.p.m.Config.Vocab-1)), s.cached+1+i, true)
		}
	}
	if err := g.p.overCache(t, g.accept); err != nil {
		return err
	}
	found := &g.drafter.Found
	found.Rounds++
	for _, s := range g.active {
		found.Proposed += len(s.draft.guess)
		found.Accepted += s.draft.right
		s.draft.read = min(s.draft.read, g.length(s)-1) // what was wrong is written over
	}
	return nil
}

// accept chooses a token by each row of logits whose sequence went as proposed.
func (g *generator) accept(logits gpu.Buf, owners []*sequence) error {
	if err := g.picker.see(g.p.m.dev, logits, owners); err != nil {
		return err
	}
	for i, s := range owners {
		at := s.draft.seen
		if s.draft.seen++; s.done || at > s.draft.right {
			continue
		}
		g.picker.next(i, s, g.prompts[s.Prompt])
		g.judge(s)
		s.cached++
		if at < len(s.draft.guess) && s.draft.guess[at] == s.Tokens[len(s.Tokens)-1] {
			s.draft.right++
		}
	}
	return nil
}
