package train

import (
	"fmt"
	"math"
)

// Schedule is how the learning rate goes over a training.
type Schedule string

// The schedules, as transformers names them; each begins with a linear warmup.
const (
	Constant Schedule = "constant" // with warmup: constant_with_warmup
	Linear   Schedule = "linear"   // down to 0
	Cosine   Schedule = "cosine"   // half a wave, down to 0
	WSD      Schedule = "wsd"      // warmup, stable, then half a cosine wave down to 0
)

func (s Schedule) check() error {
	switch s {
	case Constant, Linear, Cosine, WSD:
		return nil
	}
	return fmt.Errorf("schedule %q: constant, linear, cosine and wsd exist", string(s))
}

// share turns x, a number of updates or below 1 a share of them, into updates.
func share(x float64, total int) int {
	if x < 1 {
		x *= float64(total)
	}
	return int(math.Ceil(x))
}

// Rate returns the learning rate of update s, counted from 0, of total. With
// warmup the first update has rate 0.
func (o Options) Rate(s, total int) float64 {
	warmup := share(o.Warmup, total)
	if s < warmup {
		return o.LR * (float64(s) / float64(warmup))
	}
	past, rest := float64(s-warmup), float64(max(1, total-warmup))
	switch o.Schedule {
	case Linear:
		return o.LR * max(0, float64(total-s)/rest)
	case Cosine:
		return o.LR * max(0, 0.5*(1+math.Cos(math.Pi*0.5*2*(past/rest))))
	case WSD:
		decay := share(o.Decay, total)
		from := max(warmup, total-decay)
		switch {
		case s < from:
			return o.LR
		case s >= from+decay:
			return 0
		}
		progress := float64(s-from) / float64(max(1, decay))
		return o.LR * max(0, 0.5*(1+math.Cos(math.Pi*0.5*2*progress)))
	}
	return o.LR
}
