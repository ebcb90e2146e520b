package teacher

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"starbook/builtins/teacher/stub"
)

// One refusal in twenty is no limit: nobody but the refused waits, and nearly all slots stay.
func TestRefusalsByChance(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, most := range []int{1, 8, 100} {
		l := newLimiter(most, 0, 1)
		least, shut := l.slots, 0
		for range 20_000 {
			p, err := l.enter(t.Context(), cost{})
			if err != nil {
				t.Fatal(err)
			}
			var failure *Error
			if random.IntN(20) == 0 {
				failure = &Error{Fault: RateLimited, wait: time.Nanosecond}
			}
			gate := l.gate
			l.leave(p, map[string]string{}, failure)
			least = min(least, l.slots)
			if l.gate != gate {
				shut++
			}
		}
		if least < 0.6*float64(most) && most > 1 || shut > 20 {
			t.Errorf("%d in flight: down to %.1f slots, the gate was shut %d times in 20,000 replies", most, least, shut)
		}
	}
}

// However a server says what its limit is, or does not, all questions are answered, few
// are refused on the way, and the limit is used.
func TestLimitReached(t *testing.T) {
	const rate, rows = 400, 1200 // a second; a bucket of 200 is full at first
	for name, limits := range map[string]stub.Limits{
		"headers":      {},
		"retry-after":  {Hidden: true},
		"says nothing": {Hidden: true, NoRetry: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits.Requests, limits.Window = rate/2, time.Second/2
			s := start(t, stub.Options{Limits: limits, Latency: 20 * time.Millisecond})
			began := time.Now()
			tally, err := Ask(t.Context(), client(t, protocols["openai"], s.URL), newBook(), slices.Values(asks(rows)), Options{InFlight: 100, Retry: Retry{Seed: 1}})
			if err != nil || tally.Answered != rows {
				t.Fatalf("%+v, %v", tally, err)
			}
			ideal := time.Second * (rows - rate/2) / rate
			t.Logf("%d refused of %d; %v, ideally %v", s.Refused(), rows, time.Since(began), ideal)
			if s.Refused() > rows/2 {
				t.Errorf("%d refusals for %d questions", s.Refused(), rows)
			}
		})
	}
}
