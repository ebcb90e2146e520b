package store

import (
	"database/sql"
	"math"
)

const (
	sealAt      = 2048 // points outside chunks that make the writer seal them
	sealSmall   = 512  // the same when the step is finished
	chunkSize   = 1024 // a chunk has this many points to almost twice as many; the last one may have fewer
	chunkAtOnce = 32   // points of one group that go into the last chunk without having been rows
)

// curve is one series: its row, and how much of it lies outside chunks.
type curve struct {
	Series
	id    int64
	lastX int64
	tail  int           // rows in point
	short sql.NullInt64 // first x of the last chunk while that has fewer than chunkSize points
	stale bool          // the summary must be counted anew: a point came behind the last one
}

func loadCurve(c *conn, n curveName) (*curve, error) {
	k := &curve{Series: Series{Step: n.step, Name: n.name}}
	err := c.get([]any{&k.id, &k.N, &k.lastX, real{&k.Last}, real{&k.Min}, &k.MinX, real{&k.Max}, &k.MaxX, &k.tail, &k.short},
		`SELECT id, n, last_x, last, min, min_x, max, max_x, (SELECT count(*) FROM point WHERE series = id),
			(SELECT CASE WHEN k.n < ? THEN k.x0 END FROM chunk AS k WHERE k.series = id ORDER BY k.x0 DESC LIMIT 1)
		FROM series WHERE step = ? AND name = ?`, chunkSize, n.step.String(), n.name)
	return k, err
}

// take writes points: as rows, or, if it is long and goes on where the series ends,
// into chunks at once, with the tail before it. A row costs its statement and, later, its
// way into a chunk: some 3 µs, and a point that is added to the last chunk a tenth of it.
func (k *curve) take(c *conn, rows *pointRows, points []Point) error {
	if len(points) < chunkAtOnce || !k.goesOn(points) {
		for _, p := range points {
			k.fold(p)
			if err := rows.add(k.id, p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range points {
		k.include(p)
	}
	tail, err := k.readTail(c)
	if err != nil {
		return err
	}
	return k.enchunk(c, append(tail, points...))
}

// goesOn says whether points are sorted, without repeats, and right of all that the series has.
func (k *curve) goesOn(points []Point) bool {
	if k.stale || k.N > 0 && points[0].X <= k.lastX {
		return false
	}
	for i := range points[1:] {
		if points[i+1].X <= points[i].X {
			return false
		}
	}
	return true
}

// fold takes a point into the summary if that can be done without the others.
func (k *curve) fold(p Point) {
	k.tail++ // one too many if the point replaces another of the tail: stale counts again
	if k.N > 0 && p.X <= k.lastX {
		k.stale = true
		return
	}
	k.include(p)
}

// include takes a point right of all others into the summary.
func (k *curve) include(p Point) {
	k.N++
	k.lastX, k.Last = p.X, p.V
	if p.V < k.Min || math.IsNaN(k.Min) {
		k.Min, k.MinX = p.V, p.X
	}
	if p.V > k.Max || math.IsNaN(k.Max) {
		k.Max, k.MaxX = p.V, p.X
	}
}

// settle makes the row in series right and seals a tail of limit points or more.
func (k *curve) settle(c *conn, limit int) error {
	if k.stale {
		if err := k.recount(c); err != nil {
			return err
		}
	}
	if k.tail >= limit {
		if err := k.seal(c); err != nil {
			return err
		}
	}
	_, err := c.exec("UPDATE series SET n = ?, last_x = ?, last = ?, min = ?, min_x = ?, max = ?, max_x = ? WHERE id = ?",
		k.N, k.lastX, null(k.Last), null(k.Min), k.MinX, null(k.Max), k.MaxX, k.id)
	return err
}

// recount makes the summary from all points.
func (k *curve) recount(c *conn) error {
	tail, err := readTail(c, k.id)
	if err != nil {
		return err
	}
	chunks, err := readChunks(c, k.id, math.MinInt64)
	if err != nil {
		return err
	}
	all, err := unite(chunks, tail)
	if err != nil {
		return err
	}
	k.Series = Series{Step: k.Step, Name: k.Name, Last: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	for _, p := range all {
		k.include(p)
	}
	k.tail, k.stale = len(tail), false
	return nil
}

// seal moves the tail into chunks. It is part of the transaction that wrote the points,
// and done again it finds no tail.
func (k *curve) seal(c *conn) error {
	tail, err := k.readTail(c)
	if err != nil || len(tail) == 0 {
		return err
	}
	return k.enchunk(c, tail)
}

// readTail returns the tail without a look where there is none.
func (k *curve) readTail(c *conn) ([]Point, error) {
	if k.tail == 0 {
		return nil, nil
	}
	return readTail(c, k.id)
}

// enchunk puts points, the whole tail among them, into chunks. Those that they reach
// into, and the last one while it is short, are written anew with the points in them.
func (k *curve) enchunk(c *conn, points []Point) error {
	from := points[0].X
	if k.short.Valid {
		from = min(from, k.short.Int64)
	}
	chunks, err := readChunks(c, k.id, from)
	if err != nil {
		return err
	}
	if points, err = unite(chunks, points); err != nil {
		return err
	}
	if err := k.replace(c, from, points); err != nil {
		return err
	}
	if k.tail == 0 {
		return nil
	}
	k.tail = 0
	_, err = c.exec("DELETE FROM point WHERE series = ?", k.id)
	return err
}

// replace puts points in the place of all chunks that end at from or later.
func (k *curve) replace(c *conn, from int64, points []Point) error {
	if _, err := c.exec("DELETE FROM chunk WHERE "+endAtOrLater, k.id, from); err != nil {
		return err
	}
	k.short = sql.NullInt64{}
	pieces := max(1, len(points)/chunkSize)
	for i := range pieces {
		part := points[i*len(points)/pieces : (i+1)*len(points)/pieces]
		if len(part) == 0 {
			continue
		}
		h := newChunk(part)
		if _, err := c.exec("INSERT INTO chunk (series, x0, x1, n, min, max, last, dx, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			k.id, h.X0, h.X1, h.N, null(h.Min), null(h.Max), null(h.Last), h.dx, h.data); err != nil {
			return err
		}
		k.short = sql.NullInt64{Int64: h.X0, Valid: h.N < chunkSize}
	}
	return nil
}

// drop removes the points from x on.
func (k *curve) drop(c *conn, x int64) error {
	if _, err := c.exec("DELETE FROM point WHERE series = ? AND x >= ?", k.id, x); err != nil {
		return err
	}
	chunks, err := readChunks(c, k.id, x)
	if err != nil {
		return err
	}
	keep, err := unite(chunks, nil)
	if err != nil {
		return err
	}
	for len(keep) > 0 && keep[len(keep)-1].X >= x {
		keep = keep[:len(keep)-1]
	}
	if err := k.replace(c, x, keep); err != nil {
		return err
	}
	k.stale = true
	return k.settle(c, math.MaxInt)
}
