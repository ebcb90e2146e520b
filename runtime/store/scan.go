package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"starbook/runtime/cas"
)

// The types below are destinations of Scan; the functions make arguments. SQLite has
// neither NaN nor digests nor times, and NULL stands for the value that is none.

// real reads a REAL where NULL means NaN.
type real struct{ v *float64 }

func (d real) Scan(src any) error {
	switch x := src.(type) {
	case nil:
		*d.v = math.NaN()
	case float64:
		*d.v = x
	case int64:
		*d.v = float64(x)
	default:
		return fmt.Errorf("cannot read a number from %T", src)
	}
	return nil
}

func null(v float64) any {
	if math.IsNaN(v) {
		return nil
	}
	return v
}

// hash reads a digest where NULL means none.
type hash struct{ g *cas.Digest }

func (d hash) Scan(src any) error {
	s, err := textOf(src)
	if err != nil || s == "" {
		*d.g = cas.Digest{}
		return err
	}
	*d.g, err = cas.Parse(s)
	return err
}

func digest(g cas.Digest) any {
	if g.IsZero() {
		return nil
	}
	return g.String()
}

// words reads a TEXT where NULL means the empty string.
type words struct{ s *string }

func (d words) Scan(src any) error {
	var err error
	*d.s, err = textOf(src)
	return err
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// moment reads nanoseconds since 1970 where NULL and 0 mean the zero time.
type moment struct{ t *time.Time }

func (d moment) Scan(src any) error {
	var n sql.NullInt64
	if err := n.Scan(src); err != nil {
		return err
	}
	*d.t = time.Time{}
	if n.Int64 != 0 {
		*d.t = time.Unix(0, n.Int64).UTC()
	}
	return nil
}

// instant is not NULL even for the zero time, which it stores as 0.
func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// decoded reads JSON into a Go value where NULL means the zero value.
type decoded struct{ v any }

func (d decoded) Scan(src any) error {
	s, err := textOf(src)
	if err != nil || s == "" {
		return err
	}
	return json.Unmarshal([]byte(s), d.v)
}

// encoded is the JSON of v, which is a type of ours that cannot fail to encode.
func encoded(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// rawJSON reads JSON as it is where NULL means nil.
type rawJSON struct{ m *json.RawMessage }

func (d rawJSON) Scan(src any) error {
	s, err := textOf(src)
	*d.m = nil
	if s != "" {
		*d.m = json.RawMessage(s)
	}
	return err
}

func raw(m json.RawMessage) any { return text(string(m)) }

func textOf(src any) (string, error) {
	switch x := src.(type) {
	case nil:
		return "", nil
	case string:
		return x, nil
	case []byte:
		return string(x), nil
	}
	return "", fmt.Errorf("cannot read text from %T", src)
}

// collect scans every row into a T whose destinations dest names, and closes rows.
func collect[T any](rows *sql.Rows, dest func(*T) []any) ([]T, error) {
	defer rows.Close()
	var list []T
	for rows.Next() {
		var t T
		if err := rows.Scan(dest(&t)...); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// lookup is collect for reading methods: it runs the query on the readers.
func lookup[T any](s *Store, dest func(*T) []any, query string, args ...any) ([]T, error) {
	rows, err := s.readers.Query(query, args...)
	if err != nil {
		return nil, explain(s.dir, err)
	}
	list, err := collect(rows, dest)
	if err != nil {
		return nil, explain(s.dir, err)
	}
	return list, nil
}
