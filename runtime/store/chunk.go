package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// chunk is a sealed stretch of a series; its Bucket is for drawing without decoding.
type chunk struct {
	Bucket
	dx   sql.NullInt64
	data []byte
}

// newChunk seals points that are sorted by X without repeats. There is at least one.
func newChunk(points []Point) chunk {
	h := chunk{Bucket: bucketOf(points), dx: stride(points)}
	h.data = make([]byte, 0, 16*len(points))
	for _, p := range points {
		h.data = binary.LittleEndian.AppendUint64(h.data, math.Float64bits(p.V))
	}
	if !h.dx.Valid {
		for _, p := range points {
			h.data = binary.LittleEndian.AppendUint64(h.data, uint64(p.X))
		}
	}
	return h
}

// stride returns the distance between all neighbours if it is the same. It may wrap
// around, and then wraps back in appendTo.
func stride(points []Point) sql.NullInt64 {
	if len(points) < 2 {
		return sql.NullInt64{Int64: 1, Valid: true}
	}
	dx := points[1].X - points[0].X
	for i := range points[1:] {
		if points[i+1].X-points[i].X != dx {
			return sql.NullInt64{}
		}
	}
	return sql.NullInt64{Int64: dx, Valid: true}
}

// appendTo decodes the chunk.
func (h chunk) appendTo(points []Point) ([]Point, error) {
	n := int(h.N)
	want := 8 * n
	if !h.dx.Valid {
		want = 16 * n
	}
	if n < 0 || len(h.data) != want {
		return nil, fmt.Errorf("store: chunk of %d points at x %d has %d bytes, want %d: the store is damaged", n, h.X0, len(h.data), want)
	}
	for i := range n {
		p := Point{X: h.X0 + int64(i)*h.dx.Int64, V: math.Float64frombits(binary.LittleEndian.Uint64(h.data[8*i:]))}
		if !h.dx.Valid {
			p.X = int64(binary.LittleEndian.Uint64(h.data[8*(n+i):]))
		}
		points = append(points, p)
	}
	return points, nil
}

// bucketOf sums up points, of which there is at least one.
func bucketOf(points []Point) Bucket {
	b := Bucket{X0: points[0].X, Min: math.NaN(), Max: math.NaN()}
	for _, p := range points {
		b.join(Bucket{X0: p.X, X1: p.X, N: 1, Min: p.V, Max: p.V, Last: p.V})
	}
	return b
}

// join takes the bucket to the right of b into b.
func (b *Bucket) join(r Bucket) {
	b.X1, b.N, b.Last = r.X1, b.N+r.N, r.Last
	if r.Min < b.Min || math.IsNaN(b.Min) {
		b.Min = r.Min
	}
	if r.Max > b.Max || math.IsNaN(b.Max) {
		b.Max = r.Max
	}
}

// unite decodes chunks, which are in order, and lays the tail over them.
func unite(chunks []chunk, tail []Point) ([]Point, error) {
	total := len(tail)
	for _, h := range chunks {
		total += int(h.N)
	}
	sealed := make([]Point, 0, total)
	for _, h := range chunks {
		var err error
		if sealed, err = h.appendTo(sealed); err != nil {
			return nil, err
		}
	}
	if len(tail) == 0 || len(sealed) == 0 || tail[0].X > sealed[len(sealed)-1].X {
		return append(sealed, tail...), nil
	}
	return overlay(sealed, tail), nil
}

// overlay merges two sorted lists; where both have an X, upper wins.
func overlay(lower, upper []Point) []Point {
	all := make([]Point, 0, len(lower)+len(upper))
	for len(lower) > 0 && len(upper) > 0 {
		switch l, u := lower[0], upper[0]; {
		case l.X < u.X:
			all, lower = append(all, l), lower[1:]
		case l.X > u.X:
			all, upper = append(all, u), upper[1:]
		default:
			all, lower, upper = append(all, u), lower[1:], upper[1:]
		}
	}
	return append(append(all, lower...), upper...)
}

// pointRows writes points many rows a statement, which is several times as fast
// as one by one.
type pointRows struct {
	conn *conn
	args []any
}

const (
	rowsAtOnce = 64
	upsertTail = " ON CONFLICT (series, x) DO UPDATE SET v = excluded.v"
	upsertHead = "INSERT INTO point (series, x, v) VALUES (?, ?, ?)"
)

var upsertMany = upsertHead + strings.Repeat(", (?, ?, ?)", rowsAtOnce-1) + upsertTail

func newPointRows(c *conn) *pointRows {
	return &pointRows{c, make([]any, 0, 3*rowsAtOnce)}
}

func (r *pointRows) add(series int64, p Point) error {
	r.args = append(r.args, series, p.X, null(p.V))
	if len(r.args) < 3*rowsAtOnce {
		return nil
	}
	_, err := r.conn.exec(upsertMany, r.args...)
	r.args = r.args[:0]
	return err
}

func (r *pointRows) flush() error {
	for i := 0; i < len(r.args); i += 3 {
		if _, err := r.conn.exec(upsertHead+upsertTail, r.args[i:i+3]...); err != nil {
			return err
		}
	}
	r.args = r.args[:0]
	return nil
}
