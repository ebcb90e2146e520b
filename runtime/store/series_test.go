package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// same compares points where NaN equals NaN.
func same(a, b []Point) bool {
	return slices.EqualFunc(a, b, func(p, q Point) bool {
		return p.X == q.X && (p.V == q.V || math.IsNaN(p.V) && math.IsNaN(q.V))
	})
}

// model is what a series should be: the last value at each x.
type model map[int64]float64

func (m model) points() []Point {
	list := make([]Point, 0, len(m))
	for x, v := range m {
		list = append(list, Point{x, v})
	}
	slices.SortFunc(list, func(p, q Point) int {
		if p.X < q.X {
			return -1
		}
		return 1
	})
	return list
}

func (m model) summary() Series {
	r := Series{Last: math.NaN(), Min: math.NaN(), Max: math.NaN(), N: int64(len(m))}
	for _, p := range m.points() {
		r.Last = p.V
		if p.V < r.Min || math.IsNaN(r.Min) && !math.IsNaN(p.V) {
			r.Min, r.MinX = p.V, p.X
		}
		if p.V > r.Max || math.IsNaN(r.Max) && !math.IsNaN(p.V) {
			r.Max, r.MaxX = p.V, p.X
		}
	}
	return r
}

func (m model) check(t *testing.T, s *Store, name string) {
	t.Helper()
	got, err := s.Points(key("s"), name)
	must(t, err)
	if !same(got, m.points()) {
		t.Fatalf("%s: %d points, want %d", name, len(got), len(m))
	}
	list, err := s.Series(key("s"))
	must(t, err)
	i := slices.IndexFunc(list, func(r Series) bool { return r.Name == name })
	if len(m) == 0 {
		if i >= 0 {
			t.Fatalf("%s is listed without points", name)
		}
		return
	}
	want := m.summary()
	want.Step, want.Name = key("s"), name
	if g, w := fmt.Sprint(list[i]), fmt.Sprint(want); g != w {
		t.Fatalf("%s: summary\ngot  %s\nwant %s", name, g, w)
	}
	for _, limit := range []int{1, 3, 100} {
		b, err := s.Buckets(key("s"), name, limit)
		must(t, err)
		checkBuckets(t, b, m, limit)
	}
}

func checkBuckets(t *testing.T, b []Bucket, m model, limit int) {
	t.Helper()
	want := m.summary()
	var n int64
	low, high := math.NaN(), math.NaN()
	for i, k := range b {
		if k.X1 < k.X0 || i > 0 && k.X0 <= b[i-1].X1 {
			t.Fatalf("bucket %d of %d is out of order: %+v", i, len(b), k)
		}
		n += k.N
		if k.Min < low || math.IsNaN(low) {
			low = k.Min
		}
		if k.Max > high || math.IsNaN(high) {
			high = k.Max
		}
	}
	if len(b) > limit || n != want.N || fmt.Sprint(low, high, b[len(b)-1].Last) != fmt.Sprint(want.Min, want.Max, want.Last) {
		t.Fatalf("%d buckets (limit %d) of %d points from %v to %v, want %+v", len(b), limit, n, low, high, want)
	}
}

// value is mostly a number, sometimes one of those that get lost elsewhere.
func value(r *rand.Rand) float64 {
	switch r.IntN(20) {
	case 0:
		return math.NaN()
	case 1:
		return math.Inf(1)
	case 2:
		return math.Inf(-1)
	case 3:
		return math.MaxFloat64
	case 4:
		return math.SmallestNonzeroFloat64
	case 5:
		return float64(r.IntN(10)) // SQLite keeps whole numbers as integers
	}
	return r.NormFloat64()
}

// Whatever is written, replaced, dropped, sealed and re-opened in whatever order, a
// series is the last value at each x.
func TestSeriesIsTheLastValueAtEachX(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(dir)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	models := map[string]model{"steady": {}, "random": {}, "extreme": {}}
	point := func(name string, x int64, v float64) {
		models[name][x] = v
		s.Point(key("s"), name, x, v)
	}
	next := int64(0)
	for round := range 14 {
		for range 500 + r.IntN(1500) {
			point("steady", next, value(r))
			next += 10
			point("random", r.Int64N(5000)-2500, value(r))
		}
		for _, x := range []int64{math.MinInt64, math.MaxInt64, 0, -1, int64(round)} {
			point("extreme", x, value(r))
		}
		switch round % 5 {
		case 1:
			must(t, s.Close())
			s, err = Open(dir)
			must(t, err)
		case 2, 3:
			from := r.Int64N(next)
			must(t, s.DropPoints(key("s"), from))
			for _, m := range models {
				for x := range m {
					if x >= from {
						delete(m, x)
					}
				}
			}
		}
		for name, m := range models {
			m.check(t, s, name)
		}
	}
	must(t, s.PutStep(Step{Key: key("s"), Kind: "value"}))
	for name, m := range models {
		m.check(t, s, name)
	}
	if err := s.DropPoints(key("s"), 0); err == nil {
		t.Error("points of a finished step were dropped")
	}
	sound(t, s)
	rows, err := s.Query(t.Context(), "SELECT min(n), max(n), count(*) FROM chunk")
	must(t, err)
	if rows.Rows[0][2].(int64) < 5 {
		t.Errorf("few chunks were sealed: %v", rows.Rows)
	}
}

// Two stores that write to the same series in turn, as a process that resumes a step
// beside one that has not closed yet: neither works from a stale memory.
func TestSeriesOfTwoWriters(t *testing.T) {
	dir := t.TempDir()
	both := []*Store{openAt(t, dir), openAt(t, dir)}
	m := model{}
	for i := range 6 {
		w := both[i%2]
		for j := range 900 {
			x := int64(i*700 + j) // reaches into what the other wrote
			m[x] = float64(i)
			w.Point(key("s"), "loss", x, float64(i))
		}
		must(t, w.Flush(t.Context()))
	}
	m.check(t, both[0], "loss")
	m.check(t, both[1], "loss")
}

// Groups of some points fill the last chunk before they begin another, also one that
// another process began.
func TestSmallGroupsFillChunks(t *testing.T) {
	dir := t.TempDir()
	both := []*Store{openAt(t, dir), openAt(t, dir)}
	m := model{}
	for i := range 50 {
		w := both[i/7%2]
		for range 100 {
			x := int64(len(m))
			m[x] = float64(i)
			w.Point(key("s"), "loss", x, m[x])
		}
		must(t, w.Flush(t.Context()))
	}
	m.check(t, both[0], "loss")
	rows, err := both[0].Query(t.Context(), "SELECT (SELECT count(*) FROM point), (SELECT count(*) FROM chunk WHERE n NOT BETWEEN 1024 AND 2047)")
	must(t, err)
	if tail, short := rows.Rows[0][0].(int64), rows.Rows[0][1].(int64); tail != 0 || short > 1 {
		t.Errorf("%d points outside chunks, %d chunks that are not full", tail, short)
	}
}

func TestManyMetricNames(t *testing.T) {
	s := open(t)
	const names = 12_000
	for x := range int64(2) {
		for i := range names {
			s.Point(key("s"), fmt.Sprintf("layer.%05d.norm", i), x, float64(i))
		}
	}
	list, err := s.Series(key("s"))
	must(t, err)
	if len(list) != names || list[names-1].Name != "layer.11999.norm" || list[names-1].N != 2 {
		t.Fatalf("%d series, the last %+v", len(list), list[len(list)-1])
	}
}

// A reader of another process sees whole groups only, also while chunks are sealed.
func TestReadWhileWriting(t *testing.T) {
	s := open(t)
	r, err := OpenReadOnly(s.Dir())
	must(t, err)
	defer r.Close()
	const total = 12_000
	wrote := make(chan error, 1)
	go func() {
		for x := range int64(total) {
			s.Point(key("s"), "loss", x, float64(x))
			if x%500 == 0 {
				if err := s.Flush(t.Context()); err != nil {
					wrote <- err
					return
				}
			}
		}
		wrote <- s.Flush(t.Context())
	}()
	seen := 0
	for done := false; !done; {
		select {
		case err := <-wrote:
			must(t, err)
			done = true
		default:
		}
		points, err := r.Points(key("s"), "loss")
		must(t, err)
		for i, p := range points {
			if p.X != int64(i) || p.V != float64(i) {
				t.Fatalf("point %d of %d is %+v", i, len(points), p)
			}
		}
		if len(points) < seen {
			t.Fatalf("%d points after %d", len(points), seen)
		}
		seen = len(points)
	}
	if seen != total {
		t.Fatalf("%d points in the end", seen)
	}
}

// Long series are drawn from the heads of their chunks; a spike stays.
func TestBucketsKeepSpikes(t *testing.T) {
	s := open(t)
	m := model{}
	for x := range int64(30_000) {
		v := math.Sin(float64(x) / 1000)
		if x == 17_011 {
			v = 50
		}
		m[x] = v
		s.Point(key("s"), "loss", x, v)
	}
	must(t, s.PutStep(Step{Key: key("s")}))
	for _, limit := range []int{5, 10, 20, 1000} {
		b, err := s.Buckets(key("s"), "loss", limit)
		must(t, err)
		checkBuckets(t, b, m, limit)
		if len(b) < limit/2 {
			t.Errorf("%d buckets where %d were allowed", len(b), limit)
		}
	}
	if b, err := s.Buckets(key("none"), "loss", 5); err != nil || len(b) != 0 {
		t.Errorf("of no series: %v, %v", b, err)
	}
	if _, err := s.Buckets(key("s"), "loss", 0); err == nil {
		t.Error("no buckets were given")
	}
}
