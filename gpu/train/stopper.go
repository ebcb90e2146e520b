package train

import (
	"fmt"
	"math"
)

// Stopper decides when to stop early, as the EarlyStoppingCallback of
// transformers does: after Patience evaluations in a row without an
// improvement of more than MinDelta. As there, the best loss follows smaller
// improvements too, so that a slow drift still stops.
//
// It differs in one thing: a metric that is not a number is a strike and never
// the best one.
//
// A Stopper is a fold over evaluations. It does not touch the training, so
// that several can judge one trajectory, and one can be fed the history again.
type Stopper struct {
	Patience int     // 0: never stop
	MinDelta float64 // in the metric's unit
	Higher   bool    // more is better, as of a pass rate; else less is, as of a loss

	seen    int
	strikes int
	best    float64
	known   bool // that there is a best one
}

// Verdict is what a Stopper says of one evaluation.
type Verdict struct {
	Stop    bool
	Best    bool // better than all before
	Strikes int
	Why     string // "eval 4: 1.2031 >= best 1.2010, strike 2 of 3"
}

// Judge takes the next evaluation's metric.
func (s *Stopper) Judge(metric float64) Verdict {
	s.seen++
	best := !math.IsNaN(metric) && (!s.known || s.better(metric))
	enough := best && (!s.known || math.Abs(metric-s.best) > s.MinDelta)
	if enough {
		s.strikes = 0
	} else {
		s.strikes++
	}
	v := Verdict{Best: best, Strikes: s.strikes, Stop: s.Patience > 0 && s.strikes >= s.Patience}
	v.Why = fmt.Sprintf("eval %d: %s", s.seen, s.compare(metric, enough))
	if !enough {
		v.Why += s.count()
	}
	if best {
		s.best, s.known = metric, true
	}
	return v
}

func (s *Stopper) better(metric float64) bool {
	if s.Higher {
		return metric > s.best
	}
	return metric < s.best
}

func (s *Stopper) compare(metric float64, enough bool) string {
	better, worse := "<", ">="
	if s.Higher {
		better, worse = ">", "<="
	}
	switch {
	case math.IsNaN(metric):
		return "not a number"
	case !s.known:
		return fmt.Sprintf("%.4f, the first", metric)
	case !s.better(metric):
		return fmt.Sprintf("%.4f %s best %.4f", metric, worse, s.best)
	case enough:
		return fmt.Sprintf("%.4f %s best %.4f", metric, better, s.best)
	}
	return fmt.Sprintf("%.4f %s best %.4f by no more than %g", metric, better, s.best, s.MinDelta)
}

func (s *Stopper) count() string {
	if s.Patience == 0 {
		return fmt.Sprintf(", strike %d", s.strikes)
	}
	return fmt.Sprintf(", strike %d of %d", s.strikes, s.Patience)
}
