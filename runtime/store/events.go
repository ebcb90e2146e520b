package store

import "starbook/runtime/event"

// Emit implements event.Sink. It queues the event; Metric and Progress, which are for
// those who watch, are dropped: see Point.
func (s *Store) Emit(e event.Event) {
	if s.writer == nil || e.Kind == event.Progress || e.Kind == event.Metric {
		return
	}
	// The error is the writer's own, which sticks: Flush, EndRun and Err say it.
	_ = s.writer.later(func(c *conn) error { return putEvent(c, e) })
}

func putEvent(c *conn, e event.Event) error {
	_, err := c.exec("INSERT INTO event (run, step, time, kind, name, cell, line, x, value, text, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.Run, text(e.Step), instant(e.Time), string(e.Kind), text(e.Name), e.Cell, e.Line, e.X, null(e.Value), text(e.Text), raw(e.Data))
	return err
}

// Events returns up to limit events of a run (of all runs if run is "") whose ID is
// above after, in order; all of them if limit is 0. A reader that follows a run
// asks again with the last ID that it has seen.
func (s *Store) Events(run string, after int64, limit int) ([]event.Event, error) {
	s.settle()
	if limit == 0 {
		limit = -1 // what SQLite takes for no limit
	}
	where, args := "id > ? ORDER BY id LIMIT ?", []any{after, limit}
	if run != "" {
		where, args = "run = ? AND "+where, append([]any{run}, args...)
	}
	return lookup(s, eventDest, "SELECT "+eventColumns+" FROM event WHERE "+where, args...)
}

const eventColumns = "id, run, step, time, kind, name, cell, line, x, value, text, data"

func eventDest(e *event.Event) []any {
	return []any{
		&e.ID, &e.Run,
		words{&e.Step},
		moment{&e.Time},
		words{(*string)(&e.Kind)},
		words{&e.Name},
		&e.Cell, &e.Line, &e.X,
		real{&e.Value},
		words{&e.Text},
		rawJSON{&e.Data},
	}
}
