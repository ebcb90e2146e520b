package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-sqlite3"
)

// maxRows bounds the answer to a query: more do not help a person, and fill the memory.
const maxRows = 1_000_000

// Rows is the answer to a read-only query.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"` // int64, float64, string, []byte (not UTF-8) or nil
}

// Query runs SQL that only reads, on the tables and views of schema.sql. Besides
// SQLite's functions there are chunk_points and x REGEXP pattern (Go's syntax). It ends
// with ctx, and with an error beyond a million rows.
func (s *Store) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	_ = s.Flush(ctx) // as settle; if ctx has ended, the query says so
	rows, err := s.queries.QueryContext(ctx, query, args...)
	var refused sqlite3.Error
	if errors.As(err, &refused) && refused.Code == sqlite3.ErrAuth {
		return Rows{}, errors.New("store: query: the store can only be read: SELECT, and pragmas that describe the schema")
	}
	if err != nil {
		return Rows{}, fmt.Errorf("store: query: %w", err)
	}
	defer rows.Close()
	var answer Rows
	if answer.Columns, err = rows.Columns(); err != nil {
		return Rows{}, fmt.Errorf("store: query: %w", err)
	}
	for rows.Next() {
		if len(answer.Rows) == maxRows {
			return Rows{}, fmt.Errorf("store: query: more than %d rows: add a LIMIT", maxRows)
		}
		row := make([]any, len(answer.Columns))
		dest := make([]any, len(row))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return Rows{}, fmt.Errorf("store: query: %w", err)
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok && utf8.Valid(b) {
				row[i] = string(b)
			}
		}
		answer.Rows = append(answer.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return Rows{}, fmt.Errorf("store: query: %w", err)
	}
	return answer, nil
}

// openQueries returns connections on which nothing but reading is allowed.
func openQueries(dir string) (*sql.DB, error) {
	c, err := newConnector(dir, readOptions(dir), readerPragmas, func(c *sqlite3.SQLiteConn) error {
		if err := registerFunctions(c); err != nil {
			return err
		}
		c.RegisterAuthorizer(allow)
		return nil
	})
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(1)
	return db, nil
}

// The action codes of sqlite3_set_authorizer that the driver has no name for.
const actionRecursive = 33

// describing are the pragmas that only tell about the schema.
var describing = map[string]bool{
	"table_info": true, "table_xinfo": true, "table_list": true, "index_list": true, "index_info": true,
	"index_xinfo": true, "foreign_key_list": true, "user_version": true, "application_id": true, "compile_options": true,
}

// allow is SQLite's question before it prepares a statement: reading is allowed, nothing
// else, so that a query can neither change the store nor reach another file.
func allow(action int, arg1, arg2, _ string) int {
	switch action {
	case sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, actionRecursive:
		return sqlite3.SQLITE_OK
	case sqlite3.SQLITE_FUNCTION:
		if !strings.EqualFold(arg2, "load_extension") {
			return sqlite3.SQLITE_OK
		}
	case sqlite3.SQLITE_PRAGMA:
		if describing[strings.ToLower(arg1)] && (arg2 == "" || strings.ToLower(arg1) != "user_version" && strings.ToLower(arg1) != "application_id") {
			return sqlite3.SQLITE_OK
		}
	}
	return sqlite3.SQLITE_DENY
}

// registerFunctions adds what the views and the users' queries need.
func registerFunctions(c *sqlite3.SQLiteConn) error {
	if err := c.RegisterFunc("chunk_points", chunkPoints, true); err != nil {
		return err
	}
	return c.RegisterFunc("regexp", matches, true)
}

// matches is the function behind x REGEXP pattern.
func matches(pattern, x string) (bool, error) { return regexp.MatchString(pattern, x) }

// chunkPoints returns the points of a chunk as JSON: [[x, v], …]. JSON has neither NaN, which
// is null as everywhere in the store, nor infinity, for which SQLite reads 9e999.
func chunkPoints(x0, n int64, dx any, data []byte) (string, error) {
	h := chunk{Bucket: Bucket{X0: x0, N: n}, data: data}
	if err := h.dx.Scan(dx); err != nil {
		return "", err
	}
	points, err := h.appendTo(nil)
	if err != nil {
		return "", err
	}
	b := []byte{'['}
	for i, p := range points {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, '['), p.X, 10), ',')
		b = append(appendNumber(b, p.V), ']')
	}
	return string(append(b, ']')), nil
}

func appendNumber(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "null"...)
	case math.IsInf(v, 1):
		return append(b, "9e999"...)
	case math.IsInf(v, -1):
		return append(b, "-9e999"...)
	}
	s := strconv.AppendFloat(nil, v, 'g', -1, 64)
	if !strings.ContainsAny(string(s), ".e") {
		s = append(s, ".0"...) // a REAL, also when it is whole
	}
	return append(b, s...)
}
