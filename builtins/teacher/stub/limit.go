package stub

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Limits of the stub. Zero is none.
type Limits struct {
	Requests int           // in each Window
	Tokens   int           // input and the limit of the answer, in each Window
	Window   time.Duration // 0: a minute
	Hidden   bool          // no headers say so
	NoRetry  bool          // nor does a refusal say how long to wait
}

// limiter holds two token buckets, refilled evenly.
type limiter struct {
	o  Limits
	mu sync.Mutex
	at time.Time
	// what is left
	requests, tokens float64
	refused          int
}

func newLimiter(o Limits) *limiter {
	if o.Window == 0 {
		o.Window = time.Minute
	}
	return &limiter{o: o, at: time.Now(), requests: float64(o.Requests), tokens: float64(o.Tokens)}
}

func (l *limiter) refill() {
	now := time.Now()
	part := now.Sub(l.at).Seconds() / l.o.Window.Seconds()
	l.at = now
	l.requests = min(float64(l.o.Requests), l.requests+part*float64(l.o.Requests))
	l.tokens = min(float64(l.o.Tokens), l.tokens+part*float64(l.o.Tokens))
}

// take lets a request in, or says when it may come again.
func (l *limiter) take(input, limit int) (wait time.Duration, ok bool) {
	if l.o.Requests == 0 && l.o.Tokens == 0 {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	need := float64(input + limit)
	if l.o.Requests > 0 && l.requests < 1 {
		wait = max(wait, time.Duration((1-l.requests)/float64(l.o.Requests)*float64(l.o.Window)))
	}
	if l.o.Tokens > 0 && l.tokens < need {
		wait = max(wait, time.Duration((need-l.tokens)/float64(l.o.Tokens)*float64(l.o.Window)))
	}
	if wait > 0 {
		l.refused++
		return wait, false
	}
	l.requests--
	l.tokens -= need
	return 0, true
}

// Refused is how many requests were over the limit.
func (s *Server) Refused() int {
	s.limits.mu.Lock()
	defer s.limits.mu.Unlock()
	return s.limits.refused
}

// headers says what is left, in the words of the protocol that is asked.
func (l *limiter) headers(h http.Header, path string) {
	if l.o.Hidden || l.o.Requests == 0 && l.o.Tokens == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	set := func(name string, limit int, left float64) {
		if limit == 0 {
			return
		}
		full := time.Duration((float64(limit) - left) / float64(limit) * float64(l.o.Window))
		if strings.HasPrefix(path, "/v1/messages") {
			h.Set("Anthropic-Ratelimit-"+name+"-Limit", fmt.Sprint(limit))
			h.Set("Anthropic-Ratelimit-"+name+"-Remaining", fmt.Sprint(int(max(0, left))))
			h.Set("Anthropic-Ratelimit-"+name+"-Reset", time.Now().Add(full).UTC().Format(time.RFC3339Nano))
			return
		}
		h.Set("X-Ratelimit-Limit-"+name, fmt.Sprint(limit))
		h.Set("X-Ratelimit-Remaining-"+name, fmt.Sprint(int(max(0, left))))
		h.Set("X-Ratelimit-Reset-"+name, full.Round(time.Millisecond).String())
	}
	set("Requests", l.o.Requests, l.requests)
	set("Tokens", l.o.Tokens, l.tokens)
}

func (l *limiter) refuse(w http.ResponseWriter, wait time.Duration) {
	if !l.o.NoRetry {
		w.Header().Set("Retry-After-Ms", fmt.Sprint(wait.Milliseconds()+1))
	}
	w.WriteHeader(http.StatusTooManyRequests)
	fmt.Fprint(w, `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`)
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
