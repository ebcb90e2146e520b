package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Of the changes of one group that which fails undoes what it did, and only that.
func TestFailedChangeIsUndoneAlone(t *testing.T) {
	s := open(t)
	note := func(path string, err error) func(*conn) error {
		return func(c *conn) error {
			if _, e := c.exec("INSERT INTO file (path, size, mtime, digest) VALUES (?, 1, 1, '')", path); e != nil {
				return e
			}
			return err
		}
	}
	errBad := errors.New("bad")
	gate := make(chan struct{})
	s.writer.soon(func(*conn) error { <-gate; return nil }) // the others make up the group behind it
	for x := range int64(100) {
		s.Point(key("s"), "loss", x, 1)
	}
	good, bad := s.writer.soon(note("good", nil)), s.writer.soon(note("bad", errBad))
	twice, last := s.writer.soon(note("good", nil)), s.writer.soon(note("last", nil))
	close(gate)
	if err := bad(); !errors.Is(err, errBad) {
		t.Errorf("the bad change: %v", err)
	}
	if err := twice(); err == nil {
		t.Error("a row was inserted twice")
	}
	must(t, good())
	must(t, last())
	rows, err := s.Query(t.Context(), "SELECT path FROM file ORDER BY path")
	must(t, err)
	if got := fmt.Sprint(rows.Rows); got != "[[good] [last]]" {
		t.Errorf("the rows are %s", got)
	}
	points, err := s.Points(key("s"), "loss")
	must(t, err)
	if len(points) != 100 || s.Err() != nil {
		t.Errorf("%d points of 100, %v", len(points), s.Err())
	}
}

// Steps that log in turn, and end, leave no series of theirs in the queue.
func TestQueueForgetsSeries(t *testing.T) {
	var g group
	for i := range 1000 {
		g.add(curveName{key(fmt.Sprint(i)), "loss"}, Point{X: 1})
		g.add(curveName{key("long"), "loss"}, Point{X: int64(i)})
		if g.points != 2 || !slices.ContainsFunc(g.batches, func(b batch) bool { return b.step == key("long") && b.points[0].X == int64(i) }) {
			t.Fatalf("%d points", g.points)
		}
		g = g.emptied()
		if len(g.batches) > 4 {
			t.Fatalf("room for %d series", len(g.batches))
		}
	}
}

// A point alone becomes durable without anybody waiting for it.
func TestPointIsWrittenByItself(t *testing.T) {
	s := open(t)
	r := must1(OpenReadOnly(s.Dir()))(t)
	defer r.Close()
	s.Point(key("s"), "loss", 1, 1)
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if points, err := r.Points(key("s"), "loss"); err != nil || len(points) == 1 {
			must(t, err)
			return
		}
	}
	t.Error("the point is not there")
}
