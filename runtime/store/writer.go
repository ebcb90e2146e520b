package store

import (
	"errors"
	"sync"
	"time"
)

// groupDelay is how long a point or an event waits for company. It is how far a page that
// follows a run is behind, and a commit that few share costs a training more.
const groupDelay = time.Second

// writer is the goroutine that writes, and its queue. Everything queued while it
// commits one group is the next group, so that many callers share one fsync.
type writer struct {
	dir    string
	conn   *conn
	curves curves

	mu     sync.Mutex
	room   *sync.Cond // signalled when the queue was taken
	queue  group
	spare  group // the group before, emptied, to be filled again
	atWork bool  // a group is being committed
	closed bool
	err    error // sticky: after it nothing is written

	some   chan struct{} // holds a token when the queue is no longer empty
	urgent chan struct{} // holds a token when the queue should not wait
	failed chan struct{} // closed with err
	done   chan struct{} // closed when the goroutine has ended
}

func startWriter(c *conn, dir string) *writer {
	w := &writer{
		dir: dir, conn: c,
		some: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		failed: make(chan struct{}), done: make(chan struct{}),
	}
	w.room = sync.NewCond(&w.mu)
	w.curves.forget()
	go w.loop()
	return w
}

func (w *writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// close writes what is queued and ends the goroutine.
func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.room.Broadcast()
	signal(w.urgent)
	signal(w.some)
	<-w.done
	err := w.failure()
	if err == nil {
		_ = w.conn.script("PRAGMA optimize") // advice to the next planner, no more
	}
	if cerr := w.conn.close(); err == nil && cerr != nil {
		err = explain(w.dir, cerr)
	}
	return err
}

func (w *writer) loop() {
	defer close(w.done)
	for open := true; open; {
		<-w.some
		w.linger()
		var g group
		g, open = w.take()
		if !g.empty() {
			outcome, err := w.commit(g)
			w.finish(g, outcome, err)
		}
	}
}

// linger gives a group time to grow, unless somebody waits for it.
func (w *writer) linger() {
	t := time.NewTimer(groupDelay)
	defer t.Stop()
	select {
	case <-w.urgent:
	case <-t.C:
	}
}

// take empties the queue and reports whether more may come.
func (w *writer) take() (g group, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g = w.queue
	w.queue, w.spare = w.spare, group{}
	w.atWork = !g.empty()
	w.room.Broadcast()
	return g, !w.closed
}

// finish tells everybody how the group went and makes a failure stick.
func (w *writer) finish(g group, outcome []error, err error) {
	w.mu.Lock()
	w.atWork = false
	w.spare = g.emptied()
	if err != nil && w.err == nil {
		w.err = err
		close(w.failed)
		w.room.Broadcast()
	}
	err = w.err
	w.mu.Unlock()
	for i, c := range g.writes {
		switch {
		case c.done == nil:
		case err != nil:
			c.done <- err
		default:
			c.done <- outcome[i]
		}
	}
}

// commit writes a group in one transaction. Outcome has the error of each write;
// err is the one that spoilt them all.
func (w *writer) commit(g group) (outcome []error, err error) {
	if err := w.failure(); err != nil {
		return nil, err
	}
	outcome, err = w.transact(g, w.trust)
	if errors.Is(err, errDoubt) {
		outcome, err = w.transact(g, w.try)
	}
	if err != nil {
		return nil, explain(w.dir, err)
	}
	return outcome, nil
}

// attempt runs one change. Outcome is its own error, err one that ends the transaction.
type attempt func(do func(*conn) error) (outcome, err error)

// transact writes a group or nothing.
func (w *writer) transact(g group, one attempt) (outcome []error, err error) {
	if _, err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	outcome, err = w.apply(g, one)
	if err == nil {
		_, err = w.conn.exec("COMMIT")
	}
	if err != nil {
		w.conn.rollback()
		w.curves.forget()
	}
	return outcome, err
}

func (w *writer) apply(g group, one attempt) ([]error, error) {
	if err := w.curves.refresh(w.conn); err != nil {
		return nil, err
	}
	if err := w.curves.add(w.conn, g.batches); err != nil {
		return nil, err
	}
	outcome := make([]error, len(g.writes))
	for i, c := range g.writes {
		var err error
		if c.done == nil {
			err = c.do(w.conn)
		} else {
			outcome[i], err = one(c.do)
		}
		if err != nil {
			return nil, err
		}
	}
	return outcome, nil
}

// errDoubt says that a change failed and may have left a part of itself behind.
var errDoubt = errors.New("a change failed")

// trust is the attempt for changes that go well, as nearly all do: if one does not, the
// group is written anew with try, whose savepoints copy every page that is changed.
func (w *writer) trust(do func(*conn) error) (outcome, err error) {
	err = do(w.conn)
	if err != nil && !spoilsGroup(err) {
		err = errDoubt
	}
	return nil, err
}

// try is the attempt that undoes alone a change that fails.
func (w *writer) try(do func(*conn) error) (outcome, err error) {
	if _, err := w.conn.exec("SAVEPOINT one"); err != nil {
		return nil, err
	}
	if outcome = do(w.conn); outcome != nil {
		if spoilsGroup(outcome) {
			return nil, outcome
		}
		if _, err := w.conn.exec("ROLLBACK TO one"); err != nil {
			return nil, err
		}
		w.curves.forget()
	}
	_, err = w.conn.exec("RELEASE one")
	return outcome, err
}
