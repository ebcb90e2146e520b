package sweep

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Curve is the losses of a training's evaluations, in order; one that is no number is +Inf.
type Curve struct {
	Losses []float64
	Cut    bool // by a Pruner; else the training ended by itself
}

// best returns the lowest loss of the first n evaluations. A training that ended by itself
// keeps its best for ever; one that was cut says nothing about what would have come.
func (c Curve) best(n int) (loss float64, known bool) {
	if n > len(c.Losses) {
		if c.Cut || len(c.Losses) == 0 {
			return 0, false
		}
		n = len(c.Losses)
	}
	return slices.Min(c.Losses[:n]), true
}

// Pruner ends trials that earlier ones make look hopeless. It is a pure function of their
// losses.
type Pruner interface {
	// Judge returns why a training should end at its last evaluation, "" if it should
	// not. Others are the same training of the trials by which it is judged.
	Judge(c Curve, others []Curve) string
}

// Median ends a training whose best loss so far is worse than the median of what the others
// had at the same evaluation: the median stopping rule of Golovin et al., "Google Vizier"
// (KDD 2017), with best losses in place of running averages.
type Median struct {
	Warmup int // evaluations that are not judged
}

// enoughForMedian is how many trials a median is taken of at least.
const enoughForMedian = 4

// Judge implements Pruner.
func (m Median) Judge(c Curve, others []Curve) string {
	n := len(c.Losses)
	known := reached(others, n)
	own, ok := c.best(n)
	if !ok || n <= m.Warmup || len(known) < enoughForMedian {
		return ""
	}
	slices.Sort(known)
	k := len(known)
	if middle := (known[k/2] + known[(k-1)/2]) / 2; own > middle {
		return fmt.Sprintf("eval %d: %.4f > median %.4f of %d trials", n, own, middle, k)
	}
	return ""
}

// ASHA lets the best of every Eta trainings pass a rung, of which there is one after First
// evaluations, Eta times as many, and so on: successive halving as in Li et al., "A System for
// Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the form that stops and never
// takes up again. The best of all so far always passes.
type ASHA struct {
	Eta   int // at least 2
	First int // at least 1
}

// Judge implements Pruner.
func (a ASHA) Judge(c Curve, others []Curve) string {
	n := len(c.Losses)
	rung := a.First
	for rung < n {
		rung *= a.Eta
	}
	own, ok := c.best(n)
	if !ok || rung != n {
		return ""
	}
	known := reached(others, n)
	ahead := 0
	for _, v := range known {
		if v < own {
			ahead++
		}
	}
	all := len(known) + 1
	if pass := max(1, all/a.Eta); ahead >= pass {
		return fmt.Sprintf("eval %d: %.4f is number %d of %d trials, of which %d pass", n, own, ahead+1, all, pass)
	}
	return ""
}

// reached returns the best losses of those that came as far as n evaluations, or to their end.
func reached(others []Curve, n int) []float64 {
	var out []float64
	for _, o := range others {
		if v, ok := o.best(n); ok {
			out = append(out, v)
		}
	}
	return out
}

// ParsePruner reads "", which is none, "median", "median:WARMUP", "asha", "asha:ETA" or
// "asha:ETA:FIRST".
func ParsePruner(s string) (Pruner, error) {
	name, rest, _ := strings.Cut(s, ":")
	var numbers []int
	if rest != "" {
		for word := range strings.SplitSeq(rest, ":") {
			n, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is no whole number", s, word)
			}
			numbers = append(numbers, n)
		}
	}
	switch {
	case s == "":
		return nil, nil
	case name == "median" && len(numbers) <= 1:
		m := Median{Warmup: append(numbers, 1)[0]}
		if m.Warmup < 0 {
			return nil, fmt.Errorf("%q: a warm-up of %d evaluations", s, m.Warmup)
		}
		return m, nil
	case name == "asha" && len(numbers) <= 2:
		a := ASHA{Eta: 3, First: 1}
		for i, n := range numbers {
			*[]*int{&a.Eta, &a.First}[i] = n
		}
		if a.Eta < 2 || a.First < 1 || a.Eta > math.MaxInt16 || a.First > math.MaxInt16 {
			return nil, fmt.Errorf("%q: want an eta of 2 or more, and a first rung after 1 evaluation or more", s)
		}
		return a, nil
	}
	return nil, fmt.Errorf("%q: there are median, median:WARMUP, asha, asha:ETA and asha:ETA:FIRST", s)
}
