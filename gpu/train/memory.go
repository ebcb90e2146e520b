package train

import (
	"context"
	"errors"
	"fmt"
	"sort"

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

	Peak int // bytes that are taken at most
	Room int // bytes that the device had left; 0: not known, and then no bytes are
}

// String says what takes how much.
func (m Memory) String() string {
	s := fmt.Sprintf("%d rows at a time, in %d micro-batches an update at most, recompute %d", m.Rows, m.Micro, m.Recompute)
	if m.Room > 0 {
		s += fmt.Sprintf(": %s more of %s that are left; weights %s, adapter and gradients %s, moments %s, activations %s, scratch %s",
			mib(m.Peak), mib(m.Room), mib(m.Weights), mib(m.Adapter), mib(m.Moments), mib(m.Activations), mib(m.Scratch))
	}
	return s
}

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
	p := planner{room: dev.Room(), open: open, longest: longest, want: want, update: largestUpdate(sizesOf(train), o.Batch), o: o}
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
	longest, want, update int // rows of the longest example, of the largest batch, and of the largest update
	o                     Options
}

// enough is the rows of a micro-batch that keep a GPU busy.
const enough = 1024

// choose returns the best way that fits, the zero Memory if none does.
func (p *planner) choose() (Memory, error) {
	type way struct{ level, least int }
	ways := []way{
		{model.RecomputeNone, p.want},
		{model.RecomputeCheap, max(p.longest, min(p.want, enough))},
		{model.RecomputeBlocks, p.longest},
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
		if err == nil && m.Peak <= p.room {
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
		m.Adapter = t.Params().Bytes() / 2 // the gradients; the weights are the others
		m.Weights -= m.Adapter
	}
	o := p.o
	o.MicroTokens, o.Recompute, o.MaxSteps, o.EvalSteps = rows, level, 3, 1
	full := filled(rows, t.Config)
	o.Batch = len(full)
	tr, err := New(t, a, full, full, o)
	if err != nil {
		return m, err
	}
	m.Moments = gpu.F32.Bytes(2*tr.params.Len() + gpu.GuardLen)
	m.Activations = part() - m.Moments
	for _, err := range tr.Steps(context.Background()) {
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
		p.longest, mib(need.Peak), mib(p.room), mib(need.Weights), mib(need.Adapter), mib(need.Moments))
	for level := p.o.Recompute + 1; p.o.Recompute >= 0 && level <= model.RecomputeBlocks; level++ {
		if m, err := p.most(level, p.longest); err != nil || m.Rows > 0 {
			return errors.Join(err, fmt.Errorf("train: %schoose recompute = %d, with which it is %s", text, level, mib(m.Peak)))
		}
	}
	for _, c := range cheaper {
		q := *p
		q.open, q.o.Recompute = c.Open, -1
		if m, err := q.choose(); err != nil || m.Rows > 0 {
			return errors.Join(err, fmt.Errorf("train: %schoose %s, with which it is %s", text, c.Change, mib(m.Peak)))
		}
	}
	q := *p
	q.want = p.longest
	if m, err := q.most(model.RecomputeBlocks, 1); err != nil || m.Rows > 0 {
		return errors.Join(err, fmt.Errorf("train: %sleave longer examples out with max_tokens = %d, or cut them", text, m.Rows))
	}
	return fmt.Errorf("train: %schoose a smaller model, or a smaller r or fewer targets", text)
}
