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
// It differs in one thing: a loss that is not a number is a strike and never
// the best one.
//
// A Stopper is a fold over evaluations. It does not touch the training, so
// that several can judge one trajectory, and one can be fed the history again.
type Stopper struct {
	Patience int     // 0: never stop
	MinDelta float64 // nats

	seen    int
	strikes int
	best    float64
	known   bool // that there is a best one
}

// Verdict is what a Stopper says of one evaluation.
type Verdict struct {
	Stop    bool
	Best    bool // lower than all before
	Strikes int
	Why     string // "eval 4: 1.2031 >= best 1.2010, strike 2 of 3"
}

// Judge takes the next evaluation's loss.
func (s *Stopper) Judge(loss float64) Verdict {
	s.seen++
	enough := !math.IsNaN(loss) && (!s.known || loss < s.best && math.Abs(loss-s.best) > s.MinDelta)
	if enough {
		s.strikes = 0
	} else {
		s.strikes++
	}
	v := Verdict{
		Best:    !math.IsNaN(loss) && (!s.known || loss < s.best),
		Strikes: s.strikes,
		Stop:    s.Patience > 0 && s.strikes >= s.Patience,
	}
	v.Why = fmt.Sprintf("eval %d: %s", s.seen, s.compare(loss))
	if !enough {
		v.Why += s.count()
	}
	if v.Best {
		s.best, s.known = loss, true
	}
	return v
}

func (s *Stopper) compare(loss float64) string {
	switch {
	case math.IsNaN(loss):
		return "the loss is not a number"
	case !s.known:
		return fmt.Sprintf("%.4f, the first", loss)
	case loss >= s.best:
		return fmt.Sprintf("%.4f >= best %.4f", loss, s.best)
	case s.best-loss > s.MinDelta:
		return fmt.Sprintf("%.4f < best %.4f", loss, s.best)
	}
	return fmt.Sprintf("%.4f < best %.4f by no more than %g", loss, s.best, s.MinDelta)
}

func (s *Stopper) count() string {
	if s.Patience == 0 {
		return fmt.Sprintf(", strike %d", s.strikes)
	}
	return fmt.Sprintf(", strike %d of %d", s.strikes, s.Patience)
}
