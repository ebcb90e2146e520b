package model

import (
	"fmt"
	"time"
)

// Draft is a smaller model that proposes tokens, which the larger one then
// verifies, all of a round in one forward pass over its cache (speculative
// decoding). Every token is still chosen by the larger model, from the same
// logits and by the same draws, so completions are those without a draft, to
// the last bit: a proposal only decides how many are chosen at a time.
type Draft struct {
	Model  *Transformer // on the same device, with the same tokenizer
	Tokens int          // proposed at a time; 0: 4
	Always bool         // also where it turns out to be slower

	Found Speculation // what Generate found, once it has ended

	clock func() time.Time // nil: time.Now
}

func (d *Draft) now() time.Time {
	if d.clock == nil {
		return time.Now()
	}
	return d.clock()
}

// tokens returns how many tokens are proposed at a time, 0 for no draft.
func (d *Draft) tokens() int {
	switch {
	case d == nil:
		return 0
	case d.Tokens == 0:
		return 4
	}
	return d.Tokens
}

// Speculation is how well a draft foresaw a larger model. Its times, and with
// them Off and Gain, differ from run to run.
type Speculation struct {
	Rounds   int // of proposing and verifying
	Proposed int // tokens
	Accepted int // of them, those that the larger model chose too
	Off      bool
	with     pace
	without  pace
}

// pace is tokens written in a time.
type pace struct {
	tokens int
	spent  time.Duration
}

func (p pace) rate() float64 { return float64(p.tokens) / p.spent.Seconds() }

// Acceptance returns the share of the proposed tokens that were right.
func (s Speculation) Acceptance() float64 { return float64(s.Accepted) / float64(max(1, s.Proposed)) }

// Gain returns how many times as fast the tokens came as without a draft, 0 if
// that was not measured.
func (s Speculation) Gain() float64 {
	if s.with.tokens == 0 || s.without.tokens == 0 {
		return 0
	}
	return s.with.rate() / s.without.rate()
}

// String says it in a line.
func (s Speculation) String() string {
	said := fmt.Sprintf("draft: %d of %d proposed tokens accepted (%.1f %%), %.2f tokens a round",
		s.Accepted, s.Proposed, 100*s.Acceptance(), float64(s.with.tokens)/float64(max(1, s.Rounds)))
	switch gain := s.Gain(); {
	case gain == 0:
		return said + "; too short to measure a gain"
	case s.Off:
		return said + fmt.Sprintf("; %.2f times the speed without it, so it was left off", gain)
	default:
		return said + fmt.Sprintf("; %.2f times the speed without it", gain)
	}
}

// A draft is compared with doing without it in every trial of so many steps, of
// which the first few do without. The very first step warms up and does not count.
const (
	trial   = 32
	without = 4
)

// drafter is a Draft at work.
type drafter struct {
	*Draft
	p     *Pass // its cache has the slots of the larger model's
	steps int
}

// proposal is what a draft knows of a sequence.
type proposal struct {
	read  int     // tokens whose keys and values its cache holds
	limit int     // tokens that it may propose in this round
	guess []int32 // what it proposes
	seen  int     // of these, and the token before them, verified
	right int     // of these, what was chosen too
}

func newDrafter(m *Transformer, o Decoding, context int) (*drafter, error) {
	if o.Draft.Model.dev != m.dev {
		return nil, fmt.Errorf("model: generate: the draft is on another device: %s, not %s", o.Draft.Model.dev.Name(), m.dev.Name())
	}
	p, err := NewPass(o.Draft.Model, nil, o.Rows, false)
	if err != nil {
		return nil, err
	}
	context = min(context, p.m.Config.MaxPositions)
	p.m.angles(context)
	p.cache = newCache(p.m, o.Batch, context)
	o.Draft.Found = Speculation{}
	return &drafter{Draft: o.Draft, p: p}, nil
}

func (d *drafter) close() {
	d.p.cache.free(d.p.m.dev)
	d.p.Close()
}

// on reports whether the next step proposes. After a trial that it lost, a
// draft is left off.
func (d *drafter) on() bool {
	if d.Always {
		return true
	}
	if gain := d.Found.Gain(); d.steps > 0 && d.steps%trial == 0 && gain > 0 && gain < 1 {
		d.Found.Off = true
	}
	d.steps++
	return !d.Found.Off && (d.steps-1)%trial >= without
}
