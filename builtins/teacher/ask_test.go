package teacher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"starbook/builtins/teacher/stub"
)

// quick are deadlines and retries for tests.
var (
	quick = Deadlines{Dial: 5 * time.Second, Reply: 2 * time.Second, Idle: 2 * time.Second, Total: 4 * time.Second} // a busy machine is slow as well
	brisk = Retry{Attempts: 4, Base: time.Millisecond, Cap: 5 * time.Millisecond, Total: 5 * time.Second, Drain: time.Second, Seed: 1}
)

// protocols are the two that a stub speaks, as prefix of a Spec.
var protocols = map[string]string{"openai": "%s/v1#m", "anthropic": "anthropic+%s#m"}

func start(t testing.TB, o stub.Options) *stub.Server {
	t.Helper()
	s, err := stub.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func client(t testing.TB, format, url string) Teacher {
	t.Helper()
	spec, err := ParseSpec(fmt.Sprintf(format, url))
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(spec, "sk-test-0123456789", quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func asks(n int) []Request {
	out := make([]Request, n)
	for i := range out {
		out[i] = Request{Model: "m", Prompt: fmt.Sprintf("question %d", i), MaxTokens: 2000}
	}
	return out
}

// each runs a test in both protocols.
func each(t *testing.T, run func(t *testing.T, format string)) {
	for name, format := range protocols {
		t.Run(name, func(t *testing.T) { run(t, format) })
	}
}

func TestAskOnce(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{})
		c := client(t, format, s.URL)
		requests := append(asks(40), asks(5)...) // five twins
		ledger := newBook()
		for round := range 2 {
			tally, err := Ask(t.Context(), c, ledger, slices.Values(requests), Options{InFlight: 16, Retry: brisk})
			if err != nil {
				t.Fatal(err)
			}
			if tally.Answered != 45 || tally.Done != 45 || tally.FromLedger != 5+40*round {
				t.Errorf("round %d: %+v", round, tally)
			}
			for i, r := range requests {
				reply, ok, err := Answer(c, ledger, r)
				if want := stub.Say(r.Prompt); err != nil || !ok || reply.Text != want || reply.Finish != Stop {
					t.Fatalf("answer %d is %q (%s), %v; want %q", i, reply.Text, reply.Finish, err, want)
				}
			}
			if n := s.Ledger().Asked; n != 40 {
				t.Fatalf("round %d: the server was asked %d times, want 40", round, n)
			}
		}
	})
}

// What the server bills is what we book, of every attempt, to the token.
func TestBookedAsBilled(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{Faults: stub.Rates(3, stub.Chance{Name: "500", Rate: 0.2}, stub.Chance{Name: "refusal", Rate: 0.0})})
		price := Price{Input: 3, Output: 15}
		tally, err := Ask(t.Context(), client(t, format, s.URL), newBook(), slices.Values(asks(60)), Options{InFlight: 8, Price: price, Retry: brisk})
		if err != nil {
			t.Fatal(err)
		}
		billed := s.Ledger()
		if tally.Usage.Input != billed.Input || tally.Usage.Output != billed.Output {
			t.Errorf("booked %+v, billed %d and %d", tally.Usage, billed.Input, billed.Output)
		}
		if want := price.Cost(tally.Usage); tally.SpentUSD < want*0.999999 || tally.SpentUSD > want*1.000001 {
			t.Errorf("spent $%v, want $%v", tally.SpentUSD, want)
		}
	})
}

func TestTruncatedOnceMore(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{Answer: func(q string) string { return strings.Repeat("long answer ", 100) }}) // 300 tokens
		c := client(t, format, s.URL)
		ledger := newBook()
		ask := func(limit int) (Tally, Reply) {
			t.Helper()
			r := Request{Model: "m", Prompt: "q", MaxTokens: limit}
			tally, err := Ask(t.Context(), c, ledger, slices.Values([]Request{r}), Options{Retry: brisk})
			if err != nil {
				t.Fatal(err)
			}
			reply, ok, err := Answer(c, ledger, r)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			return tally, reply
		}
		if tally, reply := ask(100); tally.Attempts != 2 || reply.Finish != Length {
			t.Errorf("with 100 tokens: %d requests, then %s; want 2, never ten", tally.Attempts, reply.Finish)
		}
		if tally, reply := ask(100); tally.Attempts != 0 || reply.Finish != Length {
			t.Errorf("again: %d requests, %s", tally.Attempts, reply.Finish)
		}
		if tally, reply := ask(200); tally.Attempts != 1 || reply.Finish != Stop {
			t.Errorf("with 200 tokens: %d requests, %s; the one with 200 was there", tally.Attempts, reply.Finish)
		}
		if tally, reply := ask(50); tally.Attempts != 0 || reply.Finish != Stop {
			t.Errorf("with 50 tokens: %d requests, %s; a whole answer was there", tally.Attempts, reply.Finish)
		}
	})
}

func TestSchemaMended(t *testing.T) {
	schema, err := NewSchema([]byte(`{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}`))
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{Answer: func(q string) string {
			switch {
			case q == "good" || strings.Contains(q, "at /n"):
				return `{"n":1}`
			case q == "hopeless" || strings.Contains(q, "not one JSON value"):
				return "never"
			}
			return `{"n":"one"}`
		}})
		c := client(t, format, s.URL)
		ledger := newBook()
		for prompt, want := range map[string]struct {
			attempts int
			unfit    string
		}{"good": {1, ""}, "mendable": {2, ""}, "hopeless": {2, "invalid"}} {
			r := Request{Model: "m", Prompt: prompt, System: "JSON", MaxTokens: 100, Schema: schema}
			tally, err := Ask(t.Context(), c, ledger, slices.Values([]Request{r}), Options{Retry: brisk})
			if err != nil {
				t.Fatal(err)
			}
			reply, ok, err := Answer(c, ledger, r)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if got := r.Unfit(reply); got != want.unfit || tally.Attempts != want.attempts {
				t.Errorf("%s: %d requests, %q, %q; want %+v", prompt, tally.Attempts, reply.Text, got, want)
			}
		}
	})
}

// The wire says temperature 0 and what the SDKs have no word for.
func TestOnTheWire(t *testing.T) {
	zero, half := 0.0, 0.5
	for _, c := range []struct {
		format string
		r      Request
		want   []string
		header string
	}{
		{protocols["openai"], Request{Temperature: &zero, Extra: map[string]any{"prompt_cache_key": "k"}}, []string{`"temperature":0`, `"prompt_cache_key":"k"`, `"max_tokens":9`}, "Bearer sk-test-0123456789"},
		{protocols["openai"], Request{Temperature: &half}, []string{`"temperature":0.5`}, ""},
		{protocols["anthropic"], Request{Temperature: &zero, Extra: map[string]any{"speed": "fast"}}, []string{`"temperature":0`, `"speed":"fast"`, `"max_tokens":9`}, "Bearer sk-test-0123456789"},
	} {
		var body, auth string
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b := make([]byte, 4096)
			n, _ := r.Body.Read(b)
			body, auth = string(b[:n]), r.Header.Get("Authorization")
			w.WriteHeader(400)
		}))
		c.r.Model, c.r.Prompt, c.r.MaxTokens = "m", "q", 9
		_, err := client(t, c.format, h.URL).Send(t.Context(), c.r)
		h.Close()
		var failure *Error
		if !errors.As(err, &failure) || failure.Fault != Rejected {
			t.Errorf("got %v", err)
		}
		for _, want := range c.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s is not in %s", want, body)
			}
		}
		if c.header != "" && auth != c.header {
			t.Errorf("authorization %q", auth)
		}
	}
}

func TestTheKeyIsNotInTheQuestion(t *testing.T) {
	a, b := asks(1)[0], asks(1)[0]
	b.MaxTokens, b.Extra = 7, map[string]any{"prompt_cache_key": "x"}
	_, ka := a.Canonical("p")
	if _, kb := b.Canonical("p"); ka != kb {
		t.Error("a limit and a cache key make another question")
	}
	b.Extra["top_k"] = 3
	if _, kb := b.Canonical("p"); ka == kb {
		t.Error("a field of the body makes no other question")
	}
	if _, kb := a.Canonical("q"); ka == kb {
		t.Error("a provider makes no other question")
	}
}

func TestInterruptWaitsForReplies(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var arrived atomic.Int32
	s := start(t, stub.Options{Latency: 500 * time.Millisecond, Faults: func(string, int) stub.Fault {
		if arrived.Add(1) == 5 {
			cancel()
		}
		return stub.Fault{}
	}})
	ledger := newBook()
	told := 0
	_, err := Ask(ctx, client(t, protocols["openai"], s.URL), ledger, slices.Values(asks(500)), Options{
		InFlight: 5, Retry: brisk,
		Draining: func(n int, _ time.Duration) { told += n },
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if told < 1 || told > 5 {
		t.Errorf("told to wait for %d replies where 5 are in flight", told)
	}
	begun, ended := len(ledger.begun), len(ledger.ended())
	if begun == 0 || begun != ended || s.Ledger().Asked != begun {
		t.Errorf("%d sent, %d replies kept, the server saw %d", begun, ended, s.Ledger().Asked)
	}
}
