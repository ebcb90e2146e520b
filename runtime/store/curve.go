package store

import "math"

const (
	sealAt    = 2048 // points outside chunks that make the writer seal them
	sealSmall = 512  // the same when the step is finished
	chunkSize = 1024 // a chunk has this many points to almost twice as many
)

// curve is one series: its row, and how much of it lies outside chunks.
type curve struct {
	Series
	id    int64
	lastX int64
	tail  int     // rows in point
	stale bool    // the summary must be counted anew: a point came behind the last one
	dirty bool    // the row in series is behind
	batch []Point // of the group that is being written
}

func loadCurve(c *conn, n curveName) (*curve, error) {
	k := &curve{Series: Series{Step: n.step, Name: n.name}}
	err := c.get([]any{&k.id, &k.N, &k.lastX, real{&k.Last}, real{&k.Min}, &k.MinX, real{&k.Max}, &k.MaxX, &k.tail},
		`SELECT id, n, last_x, last, min, min_x, max, max_x, (SELECT count(*) FROM point WHERE series = id)
		FROM series WHERE step = ? AND name = ?`, n.step.String(), n.name)
	return k, err
}

// take writes the batch: as rows, or, if it is long and goes on where the series ends, as
// chunks at once, with the tail before it. That is what makes a flood of points cheap.
func (k *curve) take(c *conn, rows *pointRows) error {
	batch := k.batch
	k.batch = k.batch[:0]
	if len(batch) < sealSmall || !k.goesOn(batch) {
		for _, p := range batch {
			k.fold(p)
			if err := rows.add(k.id, p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range batch {
		k.include(p)
	}
	if k.tail == 0 {
		return k.replace(c, batch[0].X, batch)
	}
	tail, err := readTail(c, k.id)
	if err != nil {
		return err
	}
	chunks, err := readChunks(c, k.id, tail[0].X)
	if err != nil {
		return err
	}
	points, err := unite(chunks, append(tail, batch...))
	if err != nil {
		return err
	}
	return k.sealed(c, tail[0].X, points)
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
	k.dirty = false
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

// seal moves the tail into chunks. Chunks that it reaches into are written anew
// with its points in them. It is part of the transaction that wrote the points, and
// done again it finds no tail.
func (k *curve) seal(c *conn) error {
	tail, err := readTail(c, k.id)
	if err != nil || len(tail) == 0 {
		return err
	}
	chunks, err := readChunks(c, k.id, tail[0].X)
	if err != nil {
		return err
	}
	points, err := unite(chunks, tail)
	if err != nil {
		return err
	}
	return k.sealed(c, tail[0].X, points)
}

// sealed puts points, the tail among them, in the place of the tail and of the chunks that it reaches into.
func (k *curve) sealed(c *conn, from int64, points []Point) error {
	if err := k.replace(c, from, points); err != nil {
		return err
	}
	if _, err := c.exec("DELETE FROM point WHERE series = ?", k.id); err != nil {
		return err
	}
	k.tail = 0
	return nil
}

// replace puts points in the place of all chunks that end at from or later.
func (k *curve) replace(c *conn, from int64, points []Point) error {
	if _, err := c.exec("DELETE FROM chunk WHERE series = ? AND x1 >= ?", k.id, from); err != nil {
		return err
	}
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
