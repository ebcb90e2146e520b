package store

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkSealed: a million points of ten series by one caller, until they are durable and sealed: points
// a second, and bytes of the file a point.
func BenchmarkSealed(b *testing.B) {
	const points, many = 1_000_000, 10
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), ".starbook")
		s := openAt(b, dir)
		began := time.Now()
		for i := range points {
			s.Point(key("s"), metricNames[i%many], int64(i/many), math.Sin(float64(i)))
		}
		must(b, s.PutStep(Step{Key: key("s"), Output: blob(b, s, "x")}))
		b.ReportMetric(points/time.Since(began).Seconds(), "points/s")
		must(b, s.Close())
		info, err := os.Stat(databasePath(dir))
		must(b, err)
		b.ReportMetric(float64(info.Size())/points, "B/point")
	}
}

var metricNames = []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"}

// BenchmarkPointPause: how long a training thread waits for Point, at 10,000 points a second.
func BenchmarkPointPause(b *testing.B) {
	s := open(b)
	var pauses []time.Duration
	for n := 0; b.Loop(); {
		for range 100 {
			began := time.Now()
			for range 100 {
				call := time.Now()
				s.Point(key("s"), metricNames[n%10], int64(n/10), float64(n))
				pauses = append(pauses, time.Since(call))
				n++
			}
			time.Sleep(10*time.Millisecond - time.Since(began))
		}
	}
	slices.Sort(pauses)
	late := 0
	for _, p := range pauses {
		if p > time.Millisecond {
			late++
		}
	}
	b.ReportMetric(float64(pauses[len(pauses)-1].Microseconds()), "µs-worst")
	b.ReportMetric(float64(pauses[len(pauses)*999/1000].Nanoseconds()), "ns-99.9%")
	b.ReportMetric(float64(late), "over-1ms")
	b.ReportMetric(float64(len(pauses)), "points")
}

// BenchmarkThousandRuns is of 1,000 runs, each with a step of ten facts and one curve of 1,000 points.
func BenchmarkThousandRuns(b *testing.B) {
	s := open(b)
	for i := range 1000 {
		id, k := fmt.Sprintf("%08x", i), key(fmt.Sprint(i))
		must(b, s.BeginRun(Run{ID: id, Notebook: "n.star", Params: json.RawMessage(`{"lr":{"value":0.1,"default":0.2}}`), Started: noon}))
		for x := range 1000 {
			s.Point(k, "loss", int64(x), math.Sin(float64(x+i)))
		}
		must(b, s.PutStep(Step{Key: k, Name: "lora.train", Output: blob(b, s, "x"), Summary: json.RawMessage(`{"score":0.5,"n":100}`)}))
		must(b, s.PutUse(Use{Run: id, Seq: 1, Key: k, Name: "lora.train"}))
		must(b, s.EndRun(id, Done, 0, ""))
	}
	b.Run("List", func(b *testing.B) {
		for b.Loop() {
			if runs, err := s.Runs(0); err != nil || len(runs) != 1000 {
				b.Fatal(len(runs), err)
			}
		}
	})
	b.Run("Compare", func(b *testing.B) { // the curve of each, as it is drawn
		for b.Loop() {
			for i := range 1000 {
				if list, err := s.Buckets(key(fmt.Sprint(i)), "loss", 240); err != nil || len(list) != 240 {
					b.Fatal(len(list), err)
				}
			}
		}
	})
}

func BenchmarkRead100k(b *testing.B) {
	s := open(b)
	for i := range 100_000 {
		s.Point(key("s"), "loss", int64(i), math.Sin(float64(i)))
	}
	must(b, s.PutStep(Step{Key: key("s"), Output: blob(b, s, "x")}))
	for b.Loop() {
		if p, err := s.Points(key("s"), "loss"); err != nil || len(p) != 100_000 {
			b.Fatal(len(p), err)
		}
	}
}
