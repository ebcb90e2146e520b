package stub

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"strings"
	"time"
)

// Fault is something that goes wrong.
type Fault struct {
	Name   string
	status int
	header map[string]string
	reply  string // body; %KEY% is the key that was shown
	act    func(http.ResponseWriter, *http.Request, Fault)
	billed bool // the answer was made, and paid for
	whole  bool // and came over
	late   bool // after the latency of an answer
	usage  turn // what the reply says of tokens, if not what the answer has
	body   func() []byte
}

// openaiError and anthropicError are bodies as recorded.
func openaiError(kind, code, message string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
}

func anthropicError(kind, message string) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_stub"}`, kind, message)
}

var faults = map[string]Fault{}

// Named returns the fault of a name. It panics if there is none.
func Named(name string) Fault {
	f, ok := faults[name]
	if !ok {
		panic("stub: no fault " + name)
	}
	return f
}

// Names lists the faults.
func Names() []string {
	var list []string
	for name := range faults {
		list = append(list, name)
	}
	return list
}

func init() {
	rate := openaiError("requests", "rate_limit_exceeded", "Rate limit reached for requests")
	for _, f := range []Fault{
		{Name: "429 retry-after", status: 429, header: map[string]string{"Retry-After": "1"}, reply: rate},
		{Name: "429 retry-after-ms", status: 429, header: map[string]string{"Retry-After-Ms": "20", "Retry-After": "0"}, reply: rate},
		{Name: "429 bare", status: 429, reply: rate},
		{Name: "429 in words", status: 429, reply: openaiError("tokens", "rate_limit_exceeded", "Rate limit reached. Please try again in 30ms.")},
		{Name: "429 slow_down", status: 429, header: map[string]string{"Retry-After-Ms": "30"}, reply: openaiError("requests", "slow_down", "Slow down")},
		{Name: "429 ramp", status: 429, header: map[string]string{"Retry-After-Ms": "30"}, reply: anthropicError("rate_limit_error", "ramp_limit_exceeded")},
		{Name: "429 tomorrow", status: 429, header: map[string]string{"Retry-After": "40000"}, reply: rate},
		{Name: "quota", status: 429, reply: openaiError("insufficient_quota", "insufficient_quota", "You exceeded your current quota")},
		{Name: "credit", status: 429, reply: openaiError("insufficient_quota", "credit_balance_exhausted", "No credit left")},
		{Name: "spend limit", status: 429, header: map[string]string{"Retry-After": "1"}, reply: openaiError("insufficient_quota", "organization_spend_limit_exceeded", "Spend limit reached")},
		{Name: "402", status: 402, reply: openaiError("unknown_error", "invalid_request_error", "Insufficient Balance")},
		{Name: "claude credit", status: 400, reply: anthropicError("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")},
		{Name: "claude spend limit", status: 429, reply: anthropicError("rate_limit_error", "enforced_spend_limit_reached")},
		{Name: "500", status: 500, reply: openaiError("server_error", "", "The server had an error")},
		{Name: "502 page", status: 502, reply: "<html><h1>502 Bad Gateway</h1></html>"},
		{Name: "503", status: 503, header: map[string]string{"Retry-After-Ms": "20"}, reply: openaiError("server_error", "server_is_overloaded", "Overloaded")},
		{Name: "504", status: 504, reply: ""},
		{Name: "529", status: 529, reply: anthropicError("overloaded_error", "Overloaded")},
		{Name: "408", status: 408, reply: ""},
		{Name: "409", status: 409, reply: openaiError("invalid_request_error", "conflict", "Try again")},
		{Name: "400", status: 400, reply: openaiError("invalid_request_error", "invalid_value", "no messages")},
		{Name: "context", status: 400, reply: openaiError("invalid_request_error", "context_length_exceeded", "Your input exceeds the context window of this model.")},
		{Name: "claude context", status: 400, reply: anthropicError("invalid_request_error", "prompt is too long: 216502 tokens > 200000 maximum")},
		{Name: "413", status: 413, reply: anthropicError("request_too_large", "Request exceeds the maximum size")},
		{Name: "flagged", status: 403, reply: openaiError("moderation", "403", "Your input was flagged")},
		{Name: "401", status: 401, reply: openaiError("invalid_request_error", "invalid_api_key", "Incorrect API key provided: %KEY%. You can find your API key at the console.")},
		{Name: "500 with the key", status: 500, reply: openaiError("server_error", "", "while checking %KEY%")},
		{Name: "400 with the key", status: 400, reply: openaiError("invalid_request_error", "bad", "not with %KEY%")},
		{Name: "no model", status: 404, reply: openaiError("invalid_request_error", "model_not_found", "The model does not exist")},
		{Name: "redirect", status: 302, header: map[string]string{"Location": "http://127.0.0.1:1/elsewhere"}, reply: ""},
		{Name: "200 error", status: 200, reply: openaiError("server_error", "", "something broke"), late: true},
		{Name: "200 code 429", status: 200, reply: `{"error":{"message":"Rate limited upstream","code":429}}`},
		{Name: "no choices", status: 200, reply: `{"id":"x","object":"chat.completion","choices":[],"content":[],"usage":{"prompt_tokens":5,"completion_tokens":0,"input_tokens":5,"output_tokens":0}}`, billed: true, late: true, usage: turn{input: 5}},
		{Name: "empty body", status: 200, reply: "", billed: true},
		{Name: "page with 200", status: 200, reply: "<html>Please log in</html>"},
		{Name: "half JSON", act: halfJSON, billed: true, late: true},
		{Name: "cut", act: cut, billed: true, late: true},
		{Name: "reset", act: reset},
		{Name: "reset late", act: reset, billed: true, late: true},
		{Name: "close", act: hangUp},
		{Name: "half-open", act: halfOpen, billed: true},
		{Name: "stall", act: stall, billed: true},
		{Name: "drip", act: drip, billed: true, whole: true},
		{Name: "refusal", act: refusal, billed: true, whole: true, late: true, usage: turn{input: 9, output: 1}},
		{Name: "filter", act: replaced(`"finish_reason":"stop"`, `"finish_reason":"content_filter"`), billed: true, whole: true, late: true},
		{Name: "null", act: replaced(`"text"`, `"thinking"`), billed: true, whole: true, late: true},
	} {
		faults[f.Name] = f
	}
}

// play makes f happen.
func play(w http.ResponseWriter, r *http.Request, f Fault, key string) {
	if f.act != nil {
		f.act(w, r, f)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for name, v := range f.header {
		w.Header().Set(name, v)
	}
	w.WriteHeader(f.status)
	_, _ = w.Write([]byte(strings.ReplaceAll(f.reply, "%KEY%", key)))
}

// connection takes the connection out of the server's hands.
func connection(w http.ResponseWriter) net.Conn {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return c
}

func reset(w http.ResponseWriter, _ *http.Request, _ Fault) {
	c := connection(w)
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // RST instead of FIN
	}
	_ = c.Close()
}

func hangUp(w http.ResponseWriter, _ *http.Request, _ Fault) { _ = connection(w).Close() }

// halfOpen never says anything again, as a machine that lost its power.
func halfOpen(_ http.ResponseWriter, r *http.Request, _ Fault) { <-r.Context().Done() }

// stall stops in the middle of the body.
func stall(w http.ResponseWriter, r *http.Request, f Fault) {
	b := f.body()
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	_, _ = w.Write(b[:len(b)/2])
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// drip is slow but comes to its end.
func drip(w http.ResponseWriter, r *http.Request, f Fault) {
	b := f.body()
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	for i := 0; i < len(b); i += 100 {
		_, _ = w.Write(b[i:min(i+100, len(b))])
		_ = http.NewResponseController(w).Flush()
		sleep(r.Context(), 5*time.Millisecond)
	}
}

// cut promises more bytes than it sends.
func cut(w http.ResponseWriter, _ *http.Request, f Fault) {
	b := f.body()
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	_, _ = w.Write(b[:len(b)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// halfJSON ends early and says that this is all.
func halfJSON(w http.ResponseWriter, _ *http.Request, f Fault) {
	b := f.body()
	_, _ = w.Write(b[:len(b)/2])
}

func refusal(w http.ResponseWriter, r *http.Request, f Fault) {
	if strings.HasPrefix(r.URL.Path, "/v1/messages") {
		_, _ = w.Write([]byte(`{"model":"m","id":"msg_stub","type":"message","role":"assistant","content":[],"stop_reason":"refusal","usage":{"input_tokens":9,"output_tokens":1}}`))
		return
	}
	_, _ = w.Write(chatBody("m", f.usage, "I cannot help with that."))
}

func replaced(from, to string) func(http.ResponseWriter, *http.Request, Fault) {
	return func(w http.ResponseWriter, _ *http.Request, f Fault) {
		_, _ = w.Write([]byte(strings.ReplaceAll(string(f.body()), from, to)))
	}
}

// Rates plays faults at random, but the same ones each time: the chance of each
// by its name. The seventh asking of a question is always answered.
func Rates(seed uint64, chances ...Chance) func(string, int) Fault {
	return func(question string, nth int) Fault {
		if nth >= 7 {
			return Fault{}
		}
		x := chance(seed, nth, question)
		for _, c := range chances {
			if x -= c.Rate; x < 0 {
				return Named(c.Name)
			}
		}
		return Fault{}
	}
}

// Chance is how often a fault happens.
type Chance struct {
	Name string
	Rate float64
}

// chance is a number in [0, 1) that follows from its arguments.
func chance(seed uint64, nth int, question string) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s", seed, nth, question)
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix spreads the bits of a hash (SplitMix64's finalizer).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
