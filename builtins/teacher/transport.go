package teacher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// Retry says how often and how long a request is tried. Zero fields take the
// defaults.
type Retry struct {
	Attempts int           // for faults; 6. A 429 that says how long to wait does not count
	Base     time.Duration // of the backoff; 500 ms, doubled each time
	Cap      time.Duration // of one wait; 30 s
	Total    time.Duration // of all waits for one request; 10 min
	Timeout  time.Duration // of one attempt; 10 min, as reasoning models think long
	Idle     time.Duration // of a reply that has begun; 60 s
	Seed     uint64        // of the jitter
}

func (r Retry) withDefaults() Retry {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	if r.Attempts <= 0 {
		r.Attempts = 6
	}
	set(&r.Base, 500*time.Millisecond)
	set(&r.Cap, 30*time.Second)
	set(&r.Total, 10*time.Minute)
	set(&r.Timeout, 10*time.Minute)
	set(&r.Idle, time.Minute)
	return r
}

// maxBody is more than any answer; a server that sends more is broken.
const maxBody = 64 << 20

// transport is the HTTPDoer under go-openai, and the only place that retries.
// It hands go-openai nothing but usable replies and keeps, in the call that
// travels with the context, what go-openai would lose: bytes and headers.
type transport struct {
	client *http.Client
	spec   Spec
	secret string
	retry  Retry

	mu     sync.Mutex
	jitter *rand.Rand
	gate   time.Time // nothing is sent before: the server asked for a pause
}

// call is one Complete on its way through go-openai.
type call struct {
	extra    map[string]any // fields of the body that go-openai cannot express
	reply    Reply
	attempts int
	doubt    int
	waited   time.Duration
}

type callKey struct{}

func newTransport(spec Spec, secret string, r Retry) *transport {
	r = r.withDefaults()
	return &transport{
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: 10 * time.Second,
				ForceAttemptHTTP2:   true,
				// net/http keeps two idle connections a host unless told: at
				// 100 in flight it would open a new one for most requests.
				MaxIdleConnsPerHost: 1024,
				IdleConnTimeout:     90 * time.Second,
			},
			// A redirect would send the prompt, and maybe the key, elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		spec: spec, secret: secret, retry: r,
		jitter: rand.New(rand.NewPCG(r.Seed, 0x7ea0)),
	}
}

// Do sends a request until there is a usable reply or no hope. Its errors are
// *Error or the context's.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	c := req.Context().Value(callKey{}).(*call)
	body, err := rewrite(req.Body, c.extra)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	for faults := 0; ; {
		if err := t.pass(req.Context(), c); err != nil {
			return nil, err
		}
		c.attempts++
		failure := t.try(req, body, c)
		if failure == nil {
			return &http.Response{StatusCode: c.reply.Status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.reply.Raw))}, nil
		}
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		asked := failure.Status == http.StatusTooManyRequests && failure.wait > 0
		if !asked {
			faults++
		}
		wait := t.backoff(faults) + failure.wait
		if !failure.retry || faults >= t.retry.Attempts || c.waited+wait > t.retry.Total {
			return nil, t.sign(failure, c)
		}
		if asked {
			t.shut(failure.wait)
		}
		c.waited += wait
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// sign completes an error and takes the key out of it.
func (t *transport) sign(e *Error, c *call) *Error {
	e.Provider, e.Attempts, e.Doubt = t.spec.Provider, c.attempts, c.doubt
	e.Message, e.Code = redact(e.Message, t.secret), redact(e.Code, t.secret)
	e.Raw = []byte(redact(string(e.Raw), t.secret))
	if e.wait > t.retry.Total {
		e.Message += fmt.Sprintf(" (the server asks to wait %v)", e.wait.Round(time.Second))
	}
	return e
}

// try sends the request once. A nil result means that c.reply is filled.
func (t *transport) try(req *http.Request, body []byte, c *call) *Error {
	ctx, cancel := context.WithTimeout(req.Context(), t.retry.Timeout)
	defer cancel()
	var wrote atomic.Bool // set on net/http's goroutine
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { wrote.Store(i.Err == nil) },
	})
	again := req.Clone(ctx)
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	again.GetBody = nil
	res, err := t.client.Do(again)
	if err != nil {
		if wrote.Load() {
			c.doubt++
		}
		return t.lost(err)
	}
	defer res.Body.Close()
	raw, err := readIdle(res.Body, t.retry.Idle, cancel)
	if err != nil {
		c.doubt++
		return t.lost(fmt.Errorf("the reply broke off: %w", err))
	}
	if res.StatusCode != http.StatusOK {
		return complain(res.StatusCode, res.Header, raw)
	}
	reply, err := readReply(raw)
	var unusable *Error
	switch {
	case errors.As(err, &unusable):
		e := complain(http.StatusOK, res.Header, raw)
		e.Message = unusable.Message
		return e
	case err != nil: // half a JSON text: a proxy cut it
		c.doubt++
		e := t.lost(err)
		e.Raw, e.Status = raw, res.StatusCode
		return e
	}
	reply.Headers = keep(res.Header)
	c.reply = reply
	return nil
}

// lost is the error of an attempt without a reply. The cause's text may quote
// the URL, which holds no secret.
func (t *transport) lost(err error) *Error {
	return &Error{Kind: Unreachable, Message: clip(err.Error()), err: err, retry: true}
}

// readIdle reads all of r, and gives up when nothing comes for idle.
func readIdle(r io.Reader, idle time.Duration, cancel func()) ([]byte, error) {
	timer := time.AfterFunc(idle, cancel)
	defer timer.Stop()
	var all bytes.Buffer
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		timer.Reset(idle)
		all.Write(buf[:n])
		switch {
		case err == io.EOF:
			return all.Bytes(), nil
		case err != nil:
			return nil, err
		case all.Len() > maxBody:
			return nil, fmt.Errorf("more than %d MiB", maxBody>>20)
		}
	}
}

// rewrite adds extra fields to a JSON body.
func rewrite(r io.ReadCloser, extra map[string]any) ([]byte, error) {
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil || len(extra) == 0 {
		return body, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	for name, v := range extra {
		if fields[name], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return json.Marshal(fields)
}

// backoff is full jitter: anything up to Base doubled for each fault.
func (t *transport) backoff(faults int) time.Duration {
	limit := t.retry.Base << max(0, min(faults-1, 20))
	limit = min(limit, t.retry.Cap)
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Duration(t.jitter.Int64N(int64(limit) + 1))
}

// shut keeps every request of this teacher back for a while.
func (t *transport) shut(wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if until := time.Now().Add(wait); until.After(t.gate) {
		t.gate = until
	}
}

// pass waits until the gate is open, and then a little, so that not all rush.
func (t *transport) pass(ctx context.Context, c *call) error {
	for {
		t.mu.Lock()
		wait := time.Until(t.gate)
		t.mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		wait += t.backoff(1)
		c.waited += wait
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
