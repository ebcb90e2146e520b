package teacher

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Error is why there is no answer. It never holds a key.
type Error struct {
	Fault    Fault
	Provider string
	Status   int    // HTTP; 0: none came
	Code     string // the server's
	Message  string // the server's, or the cause
	Raw      []byte // body, if one came
	Headers  map[string]string
	Attempts int           // that were made for the row
	wait     time.Duration // what the server asked for
	final    bool          // the server says that another try cannot help
	usage    Usage         // of a reply without an answer
	err      error
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
	if e.Status != 0 || e.Code != "" {
		fmt.Fprintf(&b, "(%s)", e.Fault)
	} else {
		b.WriteString(string(e.Fault))
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", e.Attempts)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	switch n := natures[e.Fault]; {
	case e.Fault == Quota:
		b.WriteString(": add credit or raise the limit with the provider, then run again; what was answered is kept")
	case e.Fault == Denied:
		b.WriteString(": check the key and the model's name")
	case n.retry:
		b.WriteString(": run again later; what was answered is kept")
	}
	return b.String()
}

// Unwrap is the cause, if it was not the server.
func (e *Error) Unwrap() error { return e.err }

// Stops reports whether all further requests would fail as well.
func (e *Error) Stops() bool { return natures[e.Fault].stop }

// Doubt reports whether the attempt may have been paid for.
func (e *Error) Doubt() bool { return natures[e.Fault].doubt }

// refused reports whether the server had no room: nothing is wrong with the request, and nothing was done.
func (e *Error) refused() bool { return e.Fault == RateLimited || e.Fault == Overloaded }

func (e *Error) retry() bool { return natures[e.Fault].retry && !e.final }

// complaint is the error object of both protocols. Code is a string, a number
// (OpenRouter) or null.
type complaint struct {
	Message json.RawMessage `json:"message"`
	Type    string          `json:"type"`
	Code    json.RawMessage `json:"code"`
}

var (
	// spent are the codes, types and words that mean money, not speed: OpenAI's,
	// then DeepSeek's and Anthropic's.
	spent = regexp.MustCompile(`(?i)insufficient_quota|credit_balance_exhausted|(organization|project)_(spend|usage)_limit_exceeded|` +
		`billing|insufficient balance|credit balance is too low|(enforced|contract)_spend_limit_reached`)
	// long are the words for a prompt that does not fit.
	long = regexp.MustCompile(`(?i)context_length_exceeded|context (window|length)|prompt is too long|request_too_large|maximum context`)
	// flagged are the words for a prompt that somebody's moderation held back.
	flagged = regexp.MustCompile(`(?i)moderation|flagged|content_policy`)
	// again is how servers without a Retry-After say it in words.
	again = regexp.MustCompile(`try again in (\d+(?:\.\d+)?(?:ms|s|m))\b`)
)

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
	words := e.Code + " " + c.Type + " " + e.Message
	e.Fault = faultOf(status, words)
	if status == http.StatusOK {
		var n int
		if _, err := fmt.Sscanf(e.Code, "%d", &n); err == nil && n >= 400 {
			e.Fault = faultOf(n, words)
		}
	}
	if s := header.Get("X-Should-Retry"); s != "" {
		e.final = s == "false"
	}
	e.wait = retryAfter(header)
	if m := again.FindStringSubmatch(e.Message); e.wait == 0 && e.Fault == RateLimited && m != nil {
		e.wait, _ = time.ParseDuration(m[1])
	}
	return e
}

func faultOf(status int, words string) Fault {
	failed := status >= 400 && status < 500
	switch {
	case status == http.StatusOK:
		return ErrorIn200
	case status == http.StatusPaymentRequired, failed && spent.MatchString(words):
		return Quota
	case failed && flagged.MatchString(words):
		return Rejected
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status < 400:
		return Denied // a redirect, which would carry the prompt elsewhere, too
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusServiceUnavailable, status == 529:
		return Overloaded
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status >= 500:
		return ServerError
	case status == http.StatusRequestEntityTooLarge, long.MatchString(words):
		return TooLong
	}
	return Rejected
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
