package teacher

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limiter decides when a request may leave: when there is a slot for it, when the
// server's own buckets hold enough for it, and when no pause is on.
//
// For a server that says nothing about its limits the number of slots shrinks when
// refusals crowd and grows again with success (AIMD), at most once for each round trip. A
// refusal among many answers is not a limit that was reached: it concerns its own request
// only, which waits as long as it was told to.
type limiter struct {
	mu       sync.Mutex
	changed  *sync.Cond
	slots    float64 // requests that may be in flight
	most     float64
	inFlight int
	pending  cost      // of what is in flight
	refused  float64   // share of refusals in the last replies
	cut      time.Time // when the slots were made fewer last: what left before knows nothing of it
	gate     time.Time // nothing leaves before: a limit was reached
	cuts     int       // since the last success
	every    time.Duration
	next     time.Time // when the next request may start, for every
	buckets  [buckets]bucket
	random   *rand.Rand
}

// What refusals mean: a fifth of the last thirty replies or so is a limit. Where one in
// twenty is refused by chance, it seems so after one reply in 70,000.
const (
	weight  = 1.0 / 32 // of one reply in the share of refusals
	crowded = 1.0 / 5
)

// permit lets one request go. It ends with leave.
type permit struct {
	cost cost
	at   time.Time
}

// cost is what a request takes from the buckets.
type cost [buckets]float64

// The buckets that servers speak of. Tokens are input and output together.
const (
	requests = iota
	tokens
	inputTokens
	outputTokens
	buckets
)

var bucketNames = [buckets]string{"requests", "tokens", "input-tokens", "output-tokens"}

// bucket is the server's token bucket as far as we know it.
type bucket struct {
	known bool
	limit float64
	level float64 // what is left; negative if promised to those who wait
	rate  float64 // refill a second
	at    time.Time
}

// backoff bounds of a pause that the server did not size itself.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
)

func newLimiter(most int, every time.Duration, seed uint64) *limiter {
	l := &limiter{slots: float64(most), most: float64(most), every: every, random: rand.New(rand.NewPCG(seed, 0x7ea0))}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// enter waits until a request may leave.
func (l *limiter) enter(ctx context.Context, c cost) (permit, error) {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	for l.inFlight >= l.places() && ctx.Err() == nil {
		l.changed.Wait()
	}
	if ctx.Err() != nil {
		l.mu.Unlock()
		return permit{}, context.Cause(ctx)
	}
	l.inFlight++
	now := time.Now()
	wait := l.take(c, now)
	if l.every > 0 {
		if l.next.Before(now) {
			l.next = now
		}
		wait = max(wait, l.next.Sub(now))
		l.next = l.next.Add(l.every)
	}
	l.mu.Unlock()
	for {
		if err := sleep(ctx, wait); err != nil {
			l.leave(permit{cost: c}, nil, nil)
			return permit{}, err
		}
		if wait = l.pause(); wait <= 0 {
			return permit{c, time.Now()}, nil
		}
	}
}

// take takes c from the buckets and returns how long they need to hold it.
func (l *limiter) take(c cost, now time.Time) time.Duration {
	var wait time.Duration
	for i := range l.buckets {
		b := &l.buckets[i]
		l.pending[i] += c[i]
		if !b.known {
			continue
		}
		b.refill(now)
		b.level -= min(c[i], b.limit) // what exceeds the limit waits for a full bucket
		if b.level < 0 && b.rate > 0 {
			wait = max(wait, time.Duration(-b.level/b.rate*float64(time.Second)))
		}
	}
	return min(wait, time.Hour)
}

func (b *bucket) refill(now time.Time) {
	b.level = min(b.limit, b.level+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// pause returns how long the gate stays shut, and a little more for each who
// waits, so that not all rush.
func (l *limiter) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := time.Until(l.gate)
	if wait <= 0 {
		return 0
	}
	return wait + time.Duration(l.random.Int64N(int64(min(wait, time.Second))+1))
}

// leave frees the slot and learns from what came: h is nil if nothing did,
// f if it was an answer.
func (l *limiter) leave(p permit, h map[string]string, f *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wake()
	l.inFlight--
	now := time.Now()
	for i := range l.buckets {
		l.pending[i] -= p.cost[i]
	}
	l.learn(h, now)
	switch {
	case h == nil && f == nil: // did not leave at all
	case f == nil:
		l.refused -= l.refused * weight
		l.cuts = 0
		l.slots = min(l.most, l.slots+max(1, l.slots/8)/l.slots) // by one, or by an eighth, for each round trip
	case f.refused():
		l.refused += (1 - l.refused) * weight
		if l.refused > crowded {
			l.limit(p, f.wait, now)
		}
	}
}

// wake lets as many go on as there are slots free: all that wait would be too many.
func (l *limiter) wake() {
	for range l.places() - l.inFlight {
		l.changed.Signal()
	}
}

// places is how many may be in flight.
func (l *limiter) places() int { return max(1, int(l.slots)) }

// limit shuts the gate because a limit was reached, and makes the slots fewer by what
// was refused, if the request left after they were made so last.
func (l *limiter) limit(p permit, pause time.Duration, now time.Time) {
	if p.at.After(l.cut) {
		if pause == 0 {
			limit := min(minPause<<min(l.cuts, 10), maxPause)
			pause = limit/2 + time.Duration(l.random.Int64N(int64(limit)/2+1))
		}
		l.cuts++
		l.slots = max(1, l.slots*max(0.5, 1-l.refused))
		l.cut = now
	}
	if until := now.Add(pause); until.After(l.gate) {
		l.gate = until
	}
}

// learn sets the buckets by the headers of a reply. What the server says is left
// does not yet count some of the requests in flight: the truth lies between.
func (l *limiter) learn(h map[string]string, now time.Time) {
	for i, name := range bucketNames {
		limit, okLimit := number(h, "x-ratelimit-limit-"+name, "anthropic-ratelimit-"+name+"-limit")
		left, okLeft := number(h, "x-ratelimit-remaining-"+name, "anthropic-ratelimit-"+name+"-remaining")
		if !okLimit || !okLeft || limit <= 0 || left < 0 { // Azure sends -1 and 0
			continue
		}
		b := &l.buckets[i]
		rate := limit / 60
		if full, ok := reset(h, name); ok && full > 0 && left < limit {
			rate = (limit - left) / full.Seconds()
		}
		low := left - l.pending[i]
		if !b.known {
			b.level = low
		} else {
			b.refill(now)
			b.level = min(max(b.level, low), left)
		}
		b.known, b.limit, b.rate, b.at = true, limit, rate, now
	}
}

func number(h map[string]string, names ...string) (float64, bool) {
	for _, name := range names {
		if x, err := strconv.ParseFloat(h[name], 64); err == nil {
			return x, true
		}
	}
	return 0, false
}

// reset returns the time until a bucket is full: a duration (OpenAI) or an
// instant (Anthropic), by the server's clock.
func reset(h map[string]string, name string) (time.Duration, bool) {
	if d, err := time.ParseDuration(h["x-ratelimit-reset-"+name]); err == nil {
		return d, true
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(h["anthropic-ratelimit-"+name+"-reset"]))
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h["date"])
	if err != nil {
		now = time.Now()
	}
	return at.Sub(now), true
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
