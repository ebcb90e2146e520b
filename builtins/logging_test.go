package builtins

import (
	"fmt"
	"iter"
	"math"
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
// update, in pairs of stretches of some 1.1 s, which have a group commit in them: a
// machine's speed drifts, so that many short pairs say more than a few long ones. In one
// of each pair, by turns the first and the second, it logs so many points a second to a
// store on the disk: 10,000, and ten times as many, which stand out of the noise. It reports what an update takes longer then, by the clock and of all
// processors: the median of the pairs, between the ends of its 95 % interval. A training
// waits for the disk only at its end: that wait is a figure of its own, and its work is in
// the processors'.
func BenchmarkLogging(b *testing.B) {
	for _, rate := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) { logging(b, float64(rate)) })
	}
}

func logging(b *testing.B, rate float64) {
	const stretch = 1050 * time.Millisecond
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
	log := func(seconds float64) {
		for range int(seconds * rate) {
			s.Point(step, names[points%len(names)], int64(points/len(names)), float64(points))
			points++
		}
	}
	next()
	var clock, used [2][]float64 // seconds an update; [1]: with logging
	var flush []float64
	var logged time.Duration
	for n := 0; b.Loop(); n++ {
		for i := range 2 {
			kind := (n + i) % 2
			began, cpu, updates := time.Now(), processors(b), 0.0
			for last := began; time.Since(began) < stretch; updates++ {
				next()
				now := time.Now()
				if kind == 1 {
					log(now.Sub(last).Seconds())
				}
				last = now
			}
			end := time.Now()
			clock[kind] = append(clock[kind], end.Sub(began).Seconds()/updates)
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			used[kind] = append(used[kind], (processors(b)-cpu)/updates)
			if kind == 1 {
				logged += end.Sub(began)
				flush = append(flush, time.Since(end).Seconds())
			}
		}
	}
	ratio := func(seconds [2][]float64, unit string) {
		for i, v := range seconds[0] {
			seconds[1][i] /= v
		}
		low, median, high := middle(seconds[1])
		b.ReportMetric(low, unit+"-low")
		b.ReportMetric(median, unit)
		b.ReportMetric(high, unit+"-high")
	}
	ratio(clock, "×")
	ratio(used, "×cpu")
	_, update, _ := middle(clock[0])
	b.ReportMetric(1e3*update, "ms/update")
	_, wait, _ := middle(flush)
	b.ReportMetric(1e3*wait, "ms/flush")
	b.ReportMetric(float64(points)/logged.Seconds(), "points/s")
}

// middle sorts all and returns its median between the k-th smallest and the k-th greatest
// value, k being such that the median of what they were drawn from lies there in at least
// 95 % of cases, whatever its distribution; less than six values are too few for that.
func middle(all []float64) (low, median, high float64) {
	slices.Sort(all)
	n, k := len(all), 0
	below, exactly := 0.0, math.Pow(0.5, float64(n)) // how likely less than k, and k, values are left of the true median
	for below+exactly <= 0.025 {
		below += exactly
		exactly *= float64(n-k) / float64(k+1)
		k++
	}
	k = max(k, 1)
	return all[k-1], (all[(n-1)/2] + all[n/2]) / 2, all[n-k]
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
