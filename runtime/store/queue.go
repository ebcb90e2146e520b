package store

import (
	"context"
	"sync"
)

const (
	groupPoints = 1 << 14 // so many queued points do not wait for more
	maxPoints   = 1 << 16 // queued; then callers wait, for nothing may be lost
	maxWrites   = 1 << 13
)

// group is what one transaction writes: first the points, then the writes in order.
type group struct {
	batches []batch // in the order of their first points
	index   map[curveName]int
	next    int // the batch that is tried first: series are mostly logged in one order
	points  int // in all batches
	writes  []write
}

// batch is the queued points of one series, in the order in which they came.
type batch struct {
	curveName
	points []Point
}

func (g *group) empty() bool { return g.points == 0 && len(g.writes) == 0 }

// emptied returns the group without what is in it, with room for the same series again.
// It forgets all if one had no points: that step may be done.
func (g *group) emptied() group {
	for i := range g.batches {
		b := &g.batches[i]
		if len(b.points) == 0 {
			return group{}
		}
		b.points = b.points[:0]
	}
	return group{batches: g.batches, index: g.index}
}

func (g *group) add(n curveName, p Point) {
	b := g.batch(n)
	b.points = append(b.points, p)
	g.points++
}

// batch returns the batch of a series, which it makes if need be.
func (g *group) batch(n curveName) *batch {
	i, known := g.next, true
	if i == len(g.batches) || g.batches[i].curveName != n {
		i, known = g.index[n]
	}
	if !known {
		if g.index == nil {
			g.index = map[curveName]int{}
		}
		i = len(g.batches)
		g.index[n] = i
		g.batches = append(g.batches, batch{curveName: n})
	}
	g.next = (i + 1) % len(g.batches)
	return &g.batches[i]
}

// write is a queued change. Done takes the outcome; nil if nobody waits, and then
// do is one statement. Do may be called again after a rollback.
type write struct {
	do   func(*conn) error
	done chan<- error
}

// point queues a point. It waits only if the queue is full.
func (w *writer) point(n curveName, p Point) {
	w.mu.Lock()
	for w.queue.points >= maxPoints && w.usable() == nil {
		w.room.Wait()
	}
	if w.usable() == nil {
		if w.queue.empty() {
			signal(w.some)
		}
		w.queue.add(n, p)
		if w.queue.points == groupPoints {
			signal(w.urgent)
		}
	}
	w.mu.Unlock()
}

// later queues a change of one statement that nobody waits for; the error is that of
// the writer as a whole.
func (w *writer) later(do func(*conn) error) error { return w.add(write{do: do}) }

// now queues a change and waits until it is durable.
func (w *writer) now(do func(*conn) error) error { return w.soon(do)() }

// soon queues a change, which is durable once the function has returned.
func (w *writer) soon(do func(*conn) error) (durable func() error) {
	done := make(chan error, 1)
	if err := w.add(write{do, done}); err != nil {
		return func() error { return err }
	}
	return sync.OnceValue(func() error { return <-done })
}

func (w *writer) add(c write) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue.writes) >= maxWrites && w.usable() == nil {
		w.room.Wait()
	}
	if err := w.usable(); err != nil {
		return err
	}
	if w.queue.empty() {
		signal(w.some)
	}
	w.queue.writes = append(w.queue.writes, c)
	if c.done != nil || len(w.queue.writes) == maxWrites/2 {
		signal(w.urgent)
	}
	return nil
}

// usable says why nothing can be queued. The caller holds mu.
func (w *writer) usable() error {
	if w.err == nil && w.closed {
		return errClosed
	}
	return w.err
}

// flush waits until what was queued so far is durable; if nothing is, it costs nothing.
func (w *writer) flush(ctx context.Context) error {
	w.mu.Lock()
	idle, err := w.queue.empty() && !w.atWork, w.err
	w.mu.Unlock()
	if idle || err != nil {
		return err
	}
	done := make(chan error, 1)
	if err := w.add(write{func(*conn) error { return nil }, done}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signal leaves a token in c unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
