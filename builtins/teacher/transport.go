package teacher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// Deadlines of one exchange. Zero fields take the defaults.
type Deadlines struct {
	Dial  time.Duration // until there is a connection, and again for TLS; 10 s
	Reply time.Duration // until a reply begins, at least: 60 s, or 4 times what nearly all of the last ones took. At first it is Total
	Idle  time.Duration // of a reply that has begun; 60 s
	Total time.Duration // of everything; 10 min, as reasoning models think long
}

func (d Deadlines) withDefaults() Deadlines {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&d.Dial, 10*time.Second)
	set(&d.Reply, time.Minute)
	set(&d.Idle, time.Minute)
	set(&d.Total, 10*time.Minute)
	return d
}

// maxBody is more than any answer; a server that sends more is broken.
const maxBody = 64 << 20

// largeBody takes long to send, as the file of a batch does: only Total is its deadline.
const largeBody = 1 << 20

var (
	errNoReply = errors.New("no reply in time")
	errIdle    = errors.New("the reply stood still")
)

// transport is the HTTP client under both SDKs. It makes one exchange for each
// call, within the deadlines, and keeps in the exchange that travels with the
// context what the SDKs would lose: bytes, headers, and whether the request left.
type transport struct {
	client   *http.Client
	provider string
	key      string
	d        Deadlines
	patience patience
}

// exchange is one request and what became of it.
type exchange struct {
	extra  map[string]any // fields of the body that the SDK cannot express
	stream bool           // the body is not read here: a file of results

	status  int
	header  http.Header
	raw     []byte
	failure *Error // no whole reply came
}

type exchangeKey struct{}

// with returns a context whose request is x.
func (x *exchange) with(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func newTransport(spec Spec, key string, d Deadlines) *transport {
	d = d.withDefaults()
	return &transport{
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: d.Dial, KeepAlive: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: d.Dial,
				ForceAttemptHTTP2:   true,
				// A connection that died in silence is found by a ping.
				HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
				// net/http keeps two idle connections a host unless told: at
				// 100 in flight it would open a new one for most requests.
				MaxIdleConnsPerHost: 1024,
				IdleConnTimeout:     90 * time.Second,
			},
			// A redirect would send the prompt, and maybe the key, elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		provider: spec.Provider, key: key, d: d, patience: patience{limit: d.Total},
	}
}

// Do makes the exchange. Its error is that of the exchange or the context's.
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	x, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		x = &exchange{}
	}
	body, err := rewrite(req.Body, x.extra)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	ctx, stop := context.WithTimeoutCause(req.Context(), t.d.Total, errNoReply)
	ctx, cancel := context.WithCancelCause(ctx)
	end := func() { cancel(nil); stop() }
	var left atomic.Bool // set on net/http's goroutine
	req = req.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { left.Store(i.Err == nil) },
	}))
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }

	began := time.Now()
	d := t.d
	if len(body) > largeBody {
		d.Reply = d.Total
	}
	begun := t.patience.watch(d, func() { cancel(errNoReply) })
	res, err := t.client.Do(req)
	begun()
	if err != nil {
		defer end()
		return nil, t.lost(x, ctx, left.Load(), false, err)
	}
	x.status, x.header = res.StatusCode, t.scrubHeader(res.Header)
	res.Body = &watched{res.Body, time.AfterFunc(t.d.Idle, func() { cancel(errIdle) }), t.d.Idle, end}
	if x.stream && res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil && len(raw) > maxBody {
		err = fmt.Errorf("more than %d MiB", maxBody>>20)
	}
	if err != nil {
		return nil, t.lost(x, ctx, true, true, err)
	}
	if res.StatusCode == http.StatusOK {
		t.patience.add(time.Since(began))
	}
	x.raw = t.scrub(raw)
	return &http.Response{
		StatusCode: res.StatusCode, Status: res.Status, Request: req, Body: io.NopCloser(bytes.NewReader(x.raw)),
		Header: http.Header{"Content-Type": {"application/json"}}, // Anthropic's SDK reads nothing else, and not every server says so
	}, nil
}

// lost notes why no whole reply came. The cause's text may quote the URL, which
// holds no secret.
func (t *transport) lost(x *exchange, ctx context.Context, left, begun bool, err error) error {
	cause := context.Cause(ctx)
	ours := errors.Is(cause, errNoReply) || errors.Is(cause, errIdle)
	if cause != nil && !ours {
		return cause // the caller gave up
	}
	f := &Error{Provider: t.provider, Status: x.status, Headers: keep(x.header), Message: clip(t.redact(err.Error())), err: err}
	if ours {
		f.Message = cause.Error()
	}
	switch {
	case !left:
		f.Fault = Unreachable
	case ours:
		f.Fault = Timeout
	case begun:
		f.Fault = CutOff
	default:
		f.Fault = Reset
	}
	x.failure = f
	return f
}

// failed is the error of an exchange, be it the network's, the server's or, with
// err, the SDK's; nil if it went well.
func (t *transport) failed(ctx context.Context, x *exchange, err error) error {
	switch {
	case x.failure != nil:
		return x.failure
	case ctx.Err() != nil && x.status == 0:
		return context.Cause(ctx)
	case x.status == 0 && err != nil: // it did not leave: the SDK's own checks
		return &Error{Fault: Rejected, Provider: t.provider, Message: t.redact(err.Error()), err: err}
	case x.status != http.StatusOK:
		return t.refuse(x)
	case err != nil:
		return &Error{Fault: Garbled, Provider: t.provider, Status: x.status, Raw: x.raw, Message: clip(t.redact(err.Error())), err: err}
	}
	return nil
}

// refuse is the error of a reply that holds no answer, without the key.
func (t *transport) refuse(x *exchange) *Error {
	e := complain(x.status, x.header, []byte(t.redact(string(x.raw))))
	e.Provider, e.Message, e.Code = t.provider, t.redact(e.Message), t.redact(e.Code)
	return e
}

// keyLike is what a server may quote back of a key.
var keyLike = regexp.MustCompile(`\b(?:sk|pk|key)-[A-Za-z0-9_*.-]{4,}`)

// redact takes the key, and what looks like one, out of text that is shown.
func (t *transport) redact(s string) string { return keyLike.ReplaceAllString(t.scrubText(s), "[key]") }

func (t *transport) scrubText(s string) string {
	if t.key == "" {
		return s
	}
	return strings.ReplaceAll(s, t.key, "[key]")
}

// scrub takes the key out of what a server sent: it may echo.
func (t *transport) scrub(b []byte) []byte {
	if t.key == "" || !bytes.Contains(b, []byte(t.key)) {
		return b
	}
	return bytes.ReplaceAll(b, []byte(t.key), []byte("[key]"))
}

func (t *transport) scrubHeader(h http.Header) http.Header {
	for _, values := range h {
		for i, v := range values {
			values[i] = t.scrubText(v)
		}
	}
	return h
}

// watched is a body whose reader gives up when nothing comes for a while.
type watched struct {
	io.ReadCloser
	timer *time.Timer
	idle  time.Duration
	end   func()
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	w.timer.Reset(w.idle)
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	defer w.end()
	return w.ReadCloser.Close()
}

// rewrite adds extra fields to a JSON body.
func rewrite(r io.ReadCloser, extra map[string]any) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return addFields(body, extra)
}

// addFields adds fields to a JSON object, or replaces them.
func addFields(body []byte, extra map[string]any) ([]byte, error) {
	if len(extra) == 0 {
		return body, nil
	}
	fields := map[string]json.RawMessage{}
	err := json.Unmarshal(body, &fields)
	for name, v := range extra {
		if err == nil {
			fields[name], err = json.Marshal(v)
		}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
