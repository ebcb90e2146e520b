package store

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"syscall"
	"testing"
	"time"

	"starbook/runtime/event"
)

// Points as fast as one caller can, until they are durable.
func BenchmarkPointFlood(b *testing.B) {
	s := open(b)
	k := key("s")
	for i := range b.N {
		s.Point(k, "loss", int64(i), float64(i))
	}
	must(b, s.Flush(b.Context()))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "points/s")
}

// What a point costs its caller, and all processors, at 10,000 points a second in 10
// series: the targets are 1 µs each. A second without points is taken off a second with them.
func BenchmarkPointPaced(b *testing.B) {
	s := open(b)
	k := key("s")
	n := 0
	var inside time.Duration
	log := func() {
		began := time.Now()
		for range 100 {
			s.Point(k, metricNames[n%10], int64(n/10), float64(n))
			n++
		}
		inside += time.Since(began)
	}
	second := func(each func()) time.Duration {
		used := processors(b)
		for range 100 {
			began := time.Now()
			each()
			time.Sleep(10*time.Millisecond - time.Since(began))
		}
		must(b, s.Flush(b.Context()))
		return processors(b) - used
	}
	var extra time.Duration
	for b.Loop() {
		extra += second(log) - second(func() {})
	}
	b.ReportMetric(float64(inside.Nanoseconds())/float64(n), "ns/point")
	b.ReportMetric(float64(extra.Nanoseconds())/float64(n), "cpu-ns/point")
}

// processors is the time of all processors that this process has used.
func processors(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEmit(b *testing.B) {
	s := open(b)
	for i := range b.N {
		s.Emit(event.Event{Run: "aa", Kind: event.Print, Line: i, Text: "a line of output", Time: noon})
	}
	must(b, s.Flush(b.Context()))
}

// A request and its answer, each durable, by so many callers at once.
func BenchmarkAnswers(b *testing.B) {
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			s := open(b)
			body := []byte(`{"choices": [{"message": {"content": "` + fmt.Sprintf("%01000d", 1) + `"}}]}`)
			jobs := make(chan int)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := range jobs {
						k := key(fmt.Sprint("ask", i))
						attempt, err := s.BeginAsk(Ask{Key: k})
						if err != nil {
							b.Error(err)
						}
						if err := s.PutAnswers([]Answer{{Key: k, Attempt: attempt, Raw: body}}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := range b.N {
				jobs <- i
			}
			close(jobs)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}

func BenchmarkPutStep(b *testing.B) {
	s := open(b)
	out := blob(b, s, "out")
	for i := 0; b.Loop(); i++ {
		must(b, s.PutStep(Step{Key: key(fmt.Sprint(i)), Name: "lora.train", Args: json.RawMessage(`{"lr":0.1}`), Output: out}))
	}
}

// A hit among 10,000 steps: the look-up and the note that the run used it.
func BenchmarkStepHit(b *testing.B) {
	s := open(b)
	const steps = 10_000
	must(b, s.writer.now(func(c *conn) error {
		for i := range steps {
			if _, err := c.exec("INSERT INTO step ("+stepColumns+") VALUES (?, 'lora.train', 1, '{}', '[]', 'value', NULL, '[]', '{}', 1, 0, NULL, 0)", key(fmt.Sprint(i)).String()); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := 0; b.Loop(); i++ {
		k := key(fmt.Sprint(i % steps))
		if _, err := s.Step(k); err != nil {
			b.Fatal(err)
		}
		must(b, s.PutUse(Use{Run: "aa", Seq: i, Key: k, Hit: true}))
	}
}

func BenchmarkReadMillion(b *testing.B) {
	s := open(b)
	for i := range 1_000_000 {
		s.Point(key("s"), "loss", int64(i), math.Sin(float64(i)))
	}
	must(b, s.PutStep(Step{Key: key("s")}))
	b.Run("Points", func(b *testing.B) {
		for b.Loop() {
			if p, err := s.Points(key("s"), "loss"); err != nil || len(p) != 1_000_000 {
				b.Fatal(len(p), err)
			}
		}
	})
	for _, limit := range []int{500, 2000} {
		b.Run(fmt.Sprint(limit, " Buckets"), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Buckets(key("s"), "loss", limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Series", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Series(key("s")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenClose(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := Open(dir)
		must(b, err)
		must(b, s.Close())
	}
}
