package teacher

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Kind says what an error means for the rest of a batch.
type Kind string

const (
	Busy        Kind = "busy"        // rate limit or overload that did not pass
	Unreachable Kind = "unreachable" // no reply came
	Rejected    Kind = "rejected"    // this request is at fault
	Unusable    Kind = "unusable"    // a reply without an answer in it
	Quota       Kind = "quota"       // the account has no money left; stops a batch
	Denied      Kind = "denied"      // the key or the model is wrong; stops a batch
)

// Error is why there is no answer. It never holds a key.
type Error struct {
	Kind     Kind
	Provider string
	Status   int    // HTTP; 0: none came
	Code     string // the server's
	Message  string // the server's, or the cause
	Raw      []byte // body, if one came
	Headers  map[string]string
	Attempts int
	Doubt    int // attempts that may have been paid
	err      error
	wait     time.Duration // what the server asked for
	retry    bool
}

// Error says who failed, how, and what to do about it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "teacher: %s: ", e.Provider)
	if e.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d ", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, "%s ", e.Code)
	}
	fmt.Fprintf(&b, "(%s)", e.Kind)
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	switch e.Kind {
	case Quota:
		b.WriteString(": add credit or raise the limit with the provider, then run again; what was answered is kept")
	case Denied:
		b.WriteString(": check the key and the model's name")
	case Busy, Unreachable:
		b.WriteString(": run again later; what was answered is kept")
	}
	return b.String()
}

// Unwrap is the cause, if it was not the server.
func (e *Error) Unwrap() error { return e.err }

// Stops reports whether all further requests would fail as well.
func (e *Error) Stops() bool { return e.Kind == Quota || e.Kind == Denied }

// complaint is the error object of the OpenAI protocol. Code is a string, a
// number (OpenRouter) or null.
type complaint struct {
	Message json.RawMessage `json:"message"`
	Type    string          `json:"type"`
	Code    json.RawMessage `json:"code"`
}

// spent are the codes and types that mean money, not speed: OpenAI's, then
// DeepSeek's and Anthropic's.
var spent = regexp.MustCompile(`(?i)insufficient_quota|credit_balance_exhausted|(organization|project)_(spend|usage)_limit_exceeded|billing|insufficient balance|credit balance is too low`)

// complain reads a failed reply. A 200 with an error inside takes its status
// from the error's code if that is a number.
func complain(status int, header http.Header, body []byte) *Error {
	e := &Error{Status: status, Raw: body, Headers: keep(header)}
	var envelope struct {
		Error json.RawMessage `json:"error"`
	}
	var c complaint
	if json.Unmarshal(body, &envelope) == nil && json.Unmarshal(envelope.Error, &c) == nil {
		e.Message, e.Code = text(c.Message), text(c.Code)
		if e.Code == "" {
			e.Code = c.Type
		}
	} else if e.Message = text(envelope.Error); e.Message == "" {
		e.Message = clip(string(body))
	}
	if status == http.StatusOK {
		_, _ = fmt.Sscanf(e.Code, "%d", &status)
	}
	e.Kind, e.retry = kindOf(status, e.Code+" "+c.Type+" "+e.Message)
	if s := header.Get("X-Should-Retry"); s != "" && !e.Stops() {
		e.retry = s == "true"
	}
	e.wait = retryAfter(header)
	return e
}

func kindOf(status int, words string) (k Kind, retry bool) {
	switch {
	case status == http.StatusPaymentRequired || status >= 400 && status < 500 && spent.MatchString(words):
		return Quota, false
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		return Denied, false
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusConflict, status >= 500:
		return Busy, true
	case status == http.StatusOK:
		return Unusable, false
	}
	return Rejected, false
}

// text is a JSON string without its quotes, or other JSON as it is; null is "".
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return clip(s)
	}
	return clip(string(raw))
}

func clip(s string) string {
	const limit = 300
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return strings.TrimSpace(s)
}

// retryAfter is the longest wait that the headers ask for. Azure sends
// Retry-After: 1 beside Retry-After-Ms: 0.
func retryAfter(h http.Header) time.Duration {
	var wait time.Duration
	if ms, err := time.ParseDuration(h.Get("Retry-After-Ms") + "ms"); err == nil {
		wait = ms
	}
	s := h.Get("Retry-After")
	if d, err := time.ParseDuration(s + "s"); err == nil {
		wait = max(wait, d)
	} else if at, err := http.ParseTime(s); err == nil {
		now, err := http.ParseTime(h.Get("Date")) // the server's clock, not ours
		if err != nil {
			now = time.Now()
		}
		wait = max(wait, at.Sub(now))
	}
	return wait
}

// keep picks the headers that say something about the request; cookies and
// infrastructure are left out.
func keep(h http.Header) map[string]string {
	kept := map[string]string{}
	for name := range h {
		lower := strings.ToLower(name)
		switch {
		case strings.HasPrefix(lower, "x-ratelimit-"), strings.HasPrefix(lower, "anthropic-ratelimit-"),
			strings.HasPrefix(lower, "retry-after"), strings.HasSuffix(lower, "request-id"),
			lower == "x-should-retry", lower == "openai-processing-ms", lower == "openai-version", lower == "date":
			kept[lower] = h.Get(name)
		}
	}
	return kept
}

// keyLike is what a server may quote back of a key.
var keyLike = regexp.MustCompile(`\b(?:sk|pk|key)-[A-Za-z0-9_*.-]{4,}`)

// redact takes a key, and what looks like one, out of text that is shown.
func redact(s, key string) string {
	if key != "" {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	return keyLike.ReplaceAllString(s, "[key]")
}
