package teacher

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limiter decides when a request may leave: when there is a slot for it, when the
// server's own buckets hold enough for it, and when no pause was asked for. The
// number of slots shrinks with each episode of refusals and grows again with
// success (AIMD), for a server that says nothing about its limits.
type limiter struct {
	mu       sync.Mutex
	changed  *sync.Cond
	slots    float64 // requests that may be in flight
	most     float64
	inFlight int
	pending  cost      // of what is in flight
	gate     time.Time // nothing leaves before: the server asked for a pause
	episode  time.Time // refusals until then are of the one that was answered for
	refusals int       // episodes since the last success
	every    time.Duration
	next     time.Time // when the next request may start, for every
	buckets  [buckets]bucket
	random   *rand.Rand
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

// enter waits until a request may leave. Every enter has its leave.
func (l *limiter) enter(ctx context.Context, c cost) error {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	for float64(l.inFlight) >= math.Max(1, math.Floor(l.slots)) && ctx.Err() == nil {
		l.changed.Wait()
	}
	if ctx.Err() != nil {
		l.mu.Unlock()
		return context.Cause(ctx)
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
			l.leave(c, nil, nil)
			return err
		}
		if wait = l.pause(); wait <= 0 {
			return nil
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

// leave gives the slot back and learns from what came: h is nil if nothing did,
// f if it was an answer.
func (l *limiter) leave(c cost, h map[string]string, f *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed.Broadcast()
	l.inFlight--
	now := time.Now()
	for i := range l.buckets {
		l.pending[i] -= c[i]
	}
	l.learn(h, now)
	switch {
	case h == nil && f == nil: // did not leave at all
	case f == nil:
		l.refusals = 0
		l.slots = min(l.most, l.slots+1/l.slots)
	case f.Fault == RateLimited || f.Fault == Overloaded:
		l.refused(f, now)
	}
}

// refused shuts the gate, and makes the slots fewer once an episode.
func (l *limiter) refused(f *Error, now time.Time) {
	pause := f.wait
	if now.After(l.episode) {
		if pause == 0 {
			limit := min(minPause<<min(l.refusals, 10), maxPause)
			pause = limit/2 + time.Duration(l.random.Int64N(int64(limit)/2+1))
		}
		l.refusals++
		l.slots = max(1, l.slots*0.7)
		l.episode = now.Add(max(pause, time.Second))
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
