package builtins

import (
	"fmt"
	"iter"
	"slices"
	"syscall"
	"testing"
	"time"

	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/train"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// BenchmarkLogging trains the quickstart's adapter, 64 examples of 60 tokens an
// update, and logs 10,000 points a second to a store on the disk in every
// other stretch of 40 updates, some 2 s with 20 group commits in them. It reports
// the medians of both kinds of stretch, by the clock and of all processors,
// which other programs hardly change. A training waits for the disk only at its
// end: that wait is a figure of its own, and its work is in the processors'.
func BenchmarkLogging(b *testing.B) {
	const stretch, rate = 40, 10_000.0
	s, err := store.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	next, stop := quickstartUpdates(b)
	defer stop()
	step, points := cas.Sum([]byte("a training")), 0
	names := make([]string, 10)
	for i := range names {
		names[i] = fmt.Sprint("metric ", i)
	}
	next()
	var clock, used [2][]float64
	var flush []float64
	for n := 0; b.Loop(); n++ {
		for i := range 2 {
			logging := (n + i) % 2 // each kind is first as often as the other
			began, cpu := time.Now(), processors(b)
			logged := 0
			for range stretch {
				next()
				for due := int(time.Since(began).Seconds() * rate); logging == 1 && logged < due; logged++ {
					s.Point(step, names[points%len(names)], int64(points/len(names)), float64(points))
					points++
				}
			}
			end := time.Now()
			clock[logging] = append(clock[logging], end.Sub(began).Seconds()/stretch)
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			used[logging] = append(used[logging], processors(b)-cpu)
			if logging == 1 {
				flush = append(flush, time.Since(end).Seconds())
			}
		}
	}
	middle := func(all []float64) float64 {
		slices.Sort(all)
		return all[len(all)/2]
	}
	b.ReportMetric(1e3*middle(clock[0]), "ms/step")
	b.ReportMetric(1e3*middle(clock[1]), "ms/step-logging")
	b.ReportMetric(middle(clock[1])/middle(clock[0]), "×")
	b.ReportMetric(middle(used[1])/middle(used[0]), "×cpu")
	b.ReportMetric(1e3*middle(flush), "ms/flush")
	b.ReportMetric(float64(points)/float64(b.N*stretch), "points/step")
}

// quickstartUpdates returns a function that makes an update of such a training.
func quickstartUpdates(b *testing.B) (next, stop func()) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m, err := model.Open(dev, "../scripts/models/regex-base")
	if err != nil {
		b.Fatal(err)
	}
	a, err := model.NewAdapter(m, model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}})
	if err != nil {
		b.Fatal(err)
	}
	examples := make([]train.Example, 64)
	for i := range examples {
		e := train.Example{Tokens: make([]int32, 60), Trained: make([]bool, 60)}
		for j := range e.Tokens {
			e.Tokens[j], e.Trained[j] = int32((7*i+3*j)%m.Config.Vocab), j > 30
		}
		examples[i] = e
	}
	o := train.Default()
	o.Batch, o.MaxSteps, o.EvalSteps = len(examples), 1<<30, -1
	t, err := train.New(m, a, examples, nil, o)
	if err != nil {
		b.Fatal(err)
	}
	pull, end := iter.Pull2(t.Steps(b.Context()))
	next = func() {
		if _, err, _ := pull(); err != nil {
			b.Fatal(err)
		}
	}
	return next, func() {
		end()
		t.Close()
		a.Close()
		m.Close()
		dev.Close()
	}
}

// processors returns the seconds of all processors that this process has used.
func processors(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
