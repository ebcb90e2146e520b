package train

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"starbook/gpu"
	"starbook/gpu/model"
)

// Memory is what a training takes of a device. It is planned before weights are
// read or anything is allocated: a training that begins does not run out of memory.
type Memory struct {
	Rows      int // computed at a time: the micro-batch
	Recompute int // the level: see model.RecomputeNone
	Micro     int // micro-batches of the largest update

	Weights, Adapter, Moments, Activations, Scratch int // bytes; Adapter with its gradients, or those of all weights

	Peak   int // bytes that tensors take at most
	Copies int // bytes of what is trained that the host holds beside that; 0 if the device's memory is its own
	Room   int // bytes that were left; 0: not known, and then no bytes are
}

// String says what takes how much.
func (m Memory) String() string {
	s := fmt.Sprintf("%d rows at a time, in %d micro-batches an update at most, recompute %d", m.Rows, m.Micro, m.Recompute)
	if m.Room > 0 {
		s += fmt.Sprintf(": %s more of %s that are left; weights %s, adapter and gradients %s, moments %s, activations %s, scratch %s",
			mib(m.All()), mib(m.Room), mib(m.Weights), mib(m.Adapter), mib(m.Moments), mib(m.Activations), mib(m.Scratch))
		if m.Copies > 0 {
			s += ", copies " + mib(m.Copies)
		}
	}
	return s
}

// All returns the bytes that a training takes at most.
func (m Memory) All() int { return m.Peak + m.Copies }

func mib(bytes int) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

// Opener brings a model to a device, with the adapter that is trained, or
// unfrozen and without one. In a rehearsal it opens outlines.
type Opener func(dev gpu.Device) (*model.Transformer, *model.Adapter, error)

// Cheaper is a change that takes less memory, named as its user writes it.
type Cheaper struct {
	Change string
	Open   Opener
}

// Plan chooses how many rows are computed at a time, o.MicroTokens at most, and
// the recompute level if o.Recompute is below 0, so that the training fits dev; it
// rehearses it to know. Little is computed again rather than much, as long as
// micro-batches have enough rows. What does not fit is refused, with the cheapest
// change that helps.
func Plan(dev gpu.Device, open Opener, train, eval []Example, o Options, cheaper ...Cheaper) (Memory, error) {
	if len(train) == 0 {
		return Memory{}, fmt.Errorf("train: there are no examples")
	}
	longest, want := roomFor(train, eval, o)
	if onHost(dev) {
		want = max(longest, min(want, enough))
	}
	p := planner{room: dev.Room(), host: onHost(dev), open: open, longest: longest, want: want, update: largestUpdate(sizesOf(train), o.Batch), o: o}
	if p.room == 0 {
		level := o.Recompute
		if level < 0 {
			level = model.RecomputeCheap
		}
		return p.memory(want, level), nil
	}
	p.rehearse = dev.Rehearse
	m, err := p.choose()
	if err != nil || m.Rows > 0 {
		return m, err
	}
	return m, p.refuse(cheaper)
}

// planner looks for a way to train.
type planner struct {
	rehearse              func() gpu.Device
	open                  Opener
	room                  int
	host                  bool // memory is the host's
	longest, want, update int  // rows of the longest example, of the largest batch, and of the largest update
	o                     Options
}

// enough is the rows of a micro-batch that keep a device busy.
const enough = 1024

// onHost reports whether a device's memory is the host's. Others want some of it
// too: no more rows are computed at a time than is enough, and what is cheap is
// computed again.
func onHost(dev gpu.Device) bool { return strings.HasPrefix(dev.Kind(), "cpu") }

// copies is the floats on the host for each number that is trained: the best
// so far, a state of three more, one of its tensors as bytes, and what the
// garbage collector has not come to of an earlier one.
const copies = 8

// choose returns the best way that fits, the zero Memory if none does.
func (p *planner) choose() (Memory, error) {
	type way struct{ level, least int }
	ways := []way{
		{model.RecomputeNone, p.want},
		{model.RecomputeCheap, max(p.longest, min(p.want, enough))},
		{model.RecomputeBlocks, p.longest},
	}
	if p.host {
		ways = ways[1:]
	}
	if l := p.o.Recompute; l >= 0 {
		ways = []way{{l, p.longest}}
	}
	for _, w := range ways {
		m, err := p.most(w.level, w.least)
		if err != nil || m.Rows > 0 {
			return m, err
		}
	}
	return Memory{}, nil
}

// most returns the plan with the most rows that fit at a level, the zero Memory
// if that is fewer than least.
func (p *planner) most(level, least int) (Memory, error) {
	var best Memory
	var failed error
	fits := func(rows int) bool {
		m, err := p.try(rows, level)
		if err != nil {
			failed = err
		}
		if err == nil && m.All() <= p.room {
			best = m
			return true
		}
		return false
	}
	if !fits(p.want) && least < p.want {
		sort.Search(p.want-least, func(i int) bool { return failed != nil || !fits(least+i) })
	}
	return best, failed
}

// try rehearses updates and an evaluation of so many rows.
func (p *planner) try(rows, level int) (Memory, error) {
	m := p.memory(rows, level)
	dev := p.rehearse()
	if dev == nil {
		return m, fmt.Errorf("train: the device does not rehearse")
	}
	defer dev.Close()
	before := dev.Use()
	at := before.Now
	part := func() int {
		was := at
		at = dev.Use().Now
		return at - was
	}
	t, a, err := p.open(dev)
	if err != nil {
		return m, err
	}
	m.Weights = part()
	if a != nil {
		m.Adapter = a.Params.Bytes()
		m.Weights -= m.Adapter
	} else if t.Params() != nil {
		m.Adapter = t.Params().Bytes() - gpu.F32.Bytes(t.Params().Len()) // the gradients; the weights are the others
		m.Weights -= m.Adapter
	}
	o := p.o
	o.MicroTokens, o.Recompute, o.MaxSteps, o.EvalSteps = rows, level, 3, -1
	full := filled(rows, t.Config)
	o.Batch = len(full)
	tr, err := New(t, a, full, full, o)
	if err != nil {
		return m, err
	}
	if p.host {
		m.Copies = gpu.F32.Bytes(copies * tr.params.Len())
	}
	m.Moments = gpu.F32.Bytes(2*tr.params.Len() + gpu.GuardLen)
	m.Activations = part() - m.Moments
	tr.Hold(1) // as where an evaluation is due
	for _, err := range tr.Steps(context.Background()) {
		if err == nil {
			_, err = tr.Evaluate(context.Background()) // keeps no weights as the best
		}
		if err != nil {
			return m, err
		}
	}
	m.Peak = dev.Use().Peak - before.Peak
	m.Scratch = max(0, m.Peak-m.Weights-m.Adapter-m.Moments-m.Activations)
	return m, nil
}

func (p *planner) memory(rows, level int) Memory {
	return Memory{Rows: rows, Recompute: level, Micro: (p.update + rows - 1) / rows, Room: p.room}
}

// filled returns examples of so many rows together, each row with a target.
func filled(rows int, cfg model.Config) []Example {
	var all []Example
	for rows > 0 {
		n := min(rows, cfg.MaxPositions)
		e := Example{Tokens: make([]int32, n+1), Trained: make([]bool, n+1)}
		for i := range e.Trained {
			e.Trained[i] = true
		}
		all, rows = append(all, e), rows-n
	}
	return all
}

// refuse says why nothing fits, and which change helps at the least cost.
func (p *planner) refuse(cheaper []Cheaper) error {
	need, err := p.try(p.longest, model.RecomputeBlocks)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("the longest example has %d tokens, which need %s, and %s are left (weights %s, adapter and gradients %s, moments %s): ",
		p.longest, mib(need.All()), mib(p.room), mib(need.Weights), mib(need.Adapter), mib(need.Moments))
	for level := p.o.Recompute + 1; p.o.Recompute >= 0 && level <= model.RecomputeBlocks; level++ {
		if m, err := p.most(level, p.longest); err != nil || m.Rows > 0 {
			return errors.Join(err, fmt.Errorf("train: %schoose recompute = %d, with which it is %s", text, level, mib(m.All())))
		}
	}
	for _, c := range cheaper {
		q := *p
		q.open, q.o.Recompute = c.Open, -1
		if m, err := q.choose(); err != nil || m.Rows > 0 {
			return errors.Join(err, fmt.Errorf("train: %schoose %s, with which it is %s", text, c.Change, mib(m.All())))
		}
	}
	q := *p
	q.want = p.longest
	if m, err := q.most(model.RecomputeBlocks, 1); err != nil || m.Rows > 0 {
		return errors.Join(err, fmt.Errorf("train: %sleave longer examples out with max_tokens = %d, or cut them", text, m.Rows))
	}
	return fmt.Errorf("train: %schoose a smaller model, or a smaller r or fewer targets", text)
}
