package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"starbook/runtime/cas"
)

// Point is one value of a series.
type Point struct {
	X int64   `json:"x"`
	V float64 `json:"v"`
}

// Bucket is a stretch of a long series, for drawing.
type Bucket struct {
	X0, X1         int64 // first and last x
	N              int64 // points
	Min, Max, Last float64
}

// Series is the named curve of a step. It belongs to the step, so that a
// cached step brings its curves to every run that uses it. Min and Max leave out
// NaN, and are NaN if all values are.
type Series struct {
	Step cas.Digest `json:"step"`
	Name string     `json:"name"`
	N    int64      `json:"n"`
	Last float64    `json:"last"` // at the greatest x
	Min  float64    `json:"min"`
	MinX int64      `json:"min_x"`
	Max  float64    `json:"max"`
	MaxX int64      `json:"max_x"`
}

// Point queues a value of the step's series. It takes part in the next group commit
// (a second, or when somebody waits for something durable); a second value at x replaces
// the first. X may come in any order, v may be NaN or infinite. Point waits only if
// the disk cannot keep up; after a failure of the store it drops the value, and the next
// durable call and Err say why.
func (s *Store) Point(step cas.Digest, name string, x int64, v float64) {
	if s.writer != nil {
		s.writer.point(curveName{step, name}, Point{x, v})
	}
}

// DropPoints removes the points with X >= from of an unfinished step, before it goes on
// from a checkpoint. It is durable on return.
func (s *Store) DropPoints(step cas.Digest, from int64) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		var one int
		err := c.get([]any{&one}, "SELECT 1 FROM step WHERE key = ?", step.String())
		if err == nil {
			return fmt.Errorf("store: step %s is finished: its points stay", step.Short())
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		list, err := s.writer.curves.ofStep(c, step)
		if err != nil {
			return err
		}
		for _, k := range list {
			if err := k.drop(c, from); err != nil {
				return err
			}
		}
		return nil
	})
}

// Series returns the series of a step that have points, sorted by name.
func (s *Store) Series(step cas.Digest) ([]Series, error) {
	s.settle()
	return lookup(s, (*Series).dest, "SELECT "+seriesColumns+" FROM series WHERE step = ? AND n > 0 ORDER BY name", step.String())
}

const seriesColumns = "step, name, n, last, min, min_x, max, max_x"

func (r *Series) dest() []any {
	return []any{hash{&r.Step}, &r.Name, &r.N, real{&r.Last}, real{&r.Min}, &r.MinX, real{&r.Max}, &r.MaxX}
}

// Points returns every point of a series, sorted by X; none if there is no such series.
func (s *Store) Points(step cas.Digest, name string) ([]Point, error) {
	s.settle()
	var points []Point
	err := s.snapshot(func(t snapshot) error {
		id, err := seriesID(t, step, name)
		if err != nil {
			return err
		}
		chunks, tail, err := readSeries(t, id)
		if err != nil {
			return err
		}
		points, err = unite(chunks, tail)
		return err
	})
	return points, err
}

// Buckets returns a series in at most max buckets of about as many points each. A
// spike is never lost: it is the Min or Max of its bucket. Very long series are
// summed up without reading their points.
func (s *Store) Buckets(step cas.Digest, name string, max int) ([]Bucket, error) {
	if max < 1 {
		return nil, fmt.Errorf("store: %d buckets: want 1 or more", max)
	}
	s.settle()
	var buckets []Bucket
	err := s.snapshot(func(t snapshot) error {
		id, err := seriesID(t, step, name)
		if err != nil {
			return err
		}
		if buckets, err = coarse(t, id, max); err != nil || buckets != nil {
			return err
		}
		buckets, err = fine(t, id, max)
		return err
	})
	return buckets, err
}

// coarse makes buckets of whole chunks if there are enough chunks, else nil.
func coarse(t snapshot, id int64, limit int) ([]Bucket, error) {
	heads, err := readHeads(t, id)
	if err != nil || len(heads) < limit {
		return nil, err
	}
	tail, err := readTail(t, id)
	if err != nil {
		return nil, err
	}
	if len(tail) > 0 && tail[0].X <= heads[len(heads)-1].X1 {
		return nil, nil // the tail replaces sealed points: look at them all
	}
	if len(tail) > 0 {
		heads = append(heads, bucketOf(tail))
	}
	return split(heads, limit, func(group []Bucket) Bucket {
		b := group[0]
		for _, r := range group[1:] {
			b.join(r)
		}
		return b
	}), nil
}

// fine makes buckets of points.
func fine(t snapshot, id int64, limit int) ([]Bucket, error) {
	chunks, tail, err := readSeries(t, id)
	if err != nil {
		return nil, err
	}
	points, err := unite(chunks, tail)
	return split(points, limit, bucketOf), err
}

// split cuts a list into at most limit pieces of about the same length, none empty.
func split[T any](list []T, limit int, join func([]T) Bucket) []Bucket {
	buckets := make([]Bucket, min(limit, len(list)))
	for i := range buckets {
		buckets[i] = join(list[i*len(list)/len(buckets) : (i+1)*len(list)/len(buckets)])
	}
	return buckets
}

// settle makes what was queued here visible to the readers here. If the writer has
// failed there is still what was durable before to read, and others tell of the failure.
func (s *Store) settle() { _ = s.Flush(context.Background()) }

// snapshot is a view of the store at one moment, so that a curve is not read half
// before and half after it is sealed.
type snapshot struct{ tx *sql.Tx }

func (t snapshot) query(query string, args ...any) (*sql.Rows, error) {
	return t.tx.Query(query, args...)
}

func (s *Store) snapshot(read func(snapshot) error) error {
	tx, err := s.readers.Begin()
	if err != nil {
		return explain(s.dir, err)
	}
	defer tx.Rollback()
	if err := read(snapshot{tx}); err != nil {
		return explain(s.dir, err)
	}
	return nil
}

// querier is what the writer's connection and a snapshot have in common.
type querier interface {
	query(query string, args ...any) (*sql.Rows, error)
}

// noSeries is the id of a series that is not there: no row has it.
const noSeries = 0

func seriesID(q querier, step cas.Digest, name string) (int64, error) {
	rows, err := q.query("SELECT id FROM series WHERE step = ? AND name = ?", step.String(), name)
	if err != nil {
		return noSeries, err
	}
	ids, err := collect(rows, func(id *int64) []any { return []any{id} })
	if len(ids) == 0 {
		return noSeries, err
	}
	return ids[0], err
}

func readSeries(q querier, id int64) (chunks []chunk, tail []Point, err error) {
	if chunks, err = readChunks(q, id, math.MinInt64); err != nil {
		return nil, nil, err
	}
	tail, err = readTail(q, id)
	return chunks, tail, err
}

// readTail returns the points outside chunks, sorted by X.
func readTail(q querier, id int64) ([]Point, error) {
	rows, err := q.query("SELECT x, v FROM point WHERE series = ? ORDER BY x", id)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(p *Point) []any { return []any{&p.X, real{&p.V}} })
}

// endAtOrLater is true of the chunks of series ?1 that end at ?2 or later: the last that
// begins there or before, perhaps, and all that follow. The key leads to x0 only.
const endAtOrLater = "series = ?1 AND x0 >= ifnull((SELECT max(x0) FROM chunk WHERE series = ?1 AND x0 <= ?2), ?2) AND x1 >= ?2"

// readChunks returns the chunks that end at x or later, in order.
func readChunks(q querier, id, x int64) ([]chunk, error) {
	rows, err := q.query("SELECT x0, n, dx, data FROM chunk WHERE "+endAtOrLater+" ORDER BY x0", id, x)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(h *chunk) []any { return []any{&h.X0, &h.N, &h.dx, &h.data} })
}

// headsQuery is answered by the index chunk_head alone.
const headsQuery = "SELECT x0, x1, n, min, max, last FROM chunk WHERE series = ? ORDER BY x0"

// readHeads returns the chunks as buckets, without reading their points.
func readHeads(q querier, id int64) ([]Bucket, error) {
	rows, err := q.query(headsQuery, id)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(b *Bucket) []any {
		return []any{&b.X0, &b.X1, &b.N, real{&b.Min}, real{&b.Max}, real{&b.Last}}
	})
}
