package store

import (
	"context"
	"database/sql"
	"slices"
)

// Watch tells whether the store has changed, at the price of reading one number.
type Watch struct {
	s    *Store
	conn *sql.Conn // SQLite's data_version is relative to a connection
}

// Watch begins to look for changes. The caller must Close it.
func (s *Store) Watch(ctx context.Context) (*Watch, error) {
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return nil, explain(s.dir, err)
	}
	return &Watch{s, conn}, nil
}

// Version returns a number that is another one after a commit, of whichever process.
func (w *Watch) Version(ctx context.Context) (v int64, err error) {
	if err = w.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v); err != nil {
		err = explain(w.s.dir, err)
	}
	return v, err
}

// Close gives the connection back.
func (w *Watch) Close() error { return w.conn.Close() }

// Alive returns the ids of the runs that somebody is at.
func (s *Store) Alive() ([]string, error) {
	open, err := lookup(s, func(id *string) []any { return []any{id} }, "SELECT id FROM run WHERE status IS NULL ORDER BY seq")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(open, func(id string) bool { return !isHeld(s.runLock(id)) }), nil
}
