package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// book is a ledger in memory.
type book struct {
	mu      sync.Mutex
	answers map[Key]Reply
	begun   int
}

func newBook() *book { return &book{answers: map[Key]Reply{}} }

func (b *book) Answer(k Key) (Reply, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.answers[k]
	return r, ok, nil
}

func (b *book) Begin(Key, Spec, []byte) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	return int64(b.begun), nil
}

func (b *book) End(k Key, _ int64, r Reply, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.answers[k] = r
	}
	return nil
}

// serve starts a server whose n-th reply, from 1, is made by reply.
func serve(t *testing.T, reply func(n int, prompt string, w http.ResponseWriter)) (*Client, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Messages []Message }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) == 0 {
			t.Errorf("no messages: %v", err)
			return
		}
		reply(int(n.Add(1)), body.Messages[len(body.Messages)-1].Content, w)
	}))
	t.Cleanup(s.Close)
	spec, err := ParseSpec(s.URL + "/v1#test")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(spec, Retry{Attempts: 3, Base: time.Millisecond, Cap: 5 * time.Millisecond, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &n
}

func say(w http.ResponseWriter, text string) {
	fmt.Fprintf(w, `{"model":"test","choices":[{"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}`, text)
}

func asks(n int) []Request {
	out := make([]Request, n)
	for i := range out {
		out[i] = Request{Model: "test", Prompt: fmt.Sprintf("question %d", i), MaxTokens: 20}
	}
	return out
}

func TestBatchAsksOnceAndKeepsOrder(t *testing.T) {
	c, n := serve(t, func(_ int, prompt string, w http.ResponseWriter) { say(w, "to "+prompt) })
	requests := append(asks(40), asks(5)...) // five twins
	ledger := newBook()
	for round := range 2 {
		results, err := Batch(t.Context(), c, ledger, requests, Options{InFlight: 16, BudgetUSD: -1})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if want := "to " + requests[i].Prompt; r.Err != nil || r.Reply.Text != want {
				t.Fatalf("round %d: result %d is %q, %v; want %q", round, i, r.Reply.Text, r.Err, want)
			}
		}
		if n.Load() != 40 {
			t.Fatalf("round %d: the server was asked %d times, want 40", round, n.Load())
		}
	}
}

func TestFaultsThatPass(t *testing.T) {
	for name, fault := range map[string]func(http.ResponseWriter){
		"rate limit": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(429)
			fmt.Fprint(w, `{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}`)
		},
		"server error": func(w http.ResponseWriter) { w.WriteHeader(500) },
		"cut off":      func(w http.ResponseWriter) { fmt.Fprint(w, `{"choices":[{"mess`); panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			c, n := serve(t, func(n int, _ string, w http.ResponseWriter) {
				if n == 1 {
					fault(w)
					return
				}
				say(w, "ok")
			})
			r, err := c.Complete(t.Context(), asks(1)[0])
			if err != nil || r.Text != "ok" || n.Load() != 2 {
				t.Errorf("got %q after %d requests: %v", r.Text, n.Load(), err)
			}
		})
	}
}

func TestARowFailsAndTheBatchGoesOn(t *testing.T) {
	c, _ := serve(t, func(_ int, prompt string, w http.ResponseWriter) {
		switch prompt {
		case "question 1":
			fmt.Fprint(w, `{"error":{"message":"something broke","type":"server_error"}}`)
		case "question 2":
			fmt.Fprint(w, `{"choices":[]}`)
		case "question 3":
			w.WriteHeader(400)
			fmt.Fprint(w, `{"error":{"message":"too long","code":"context_length_exceeded"}}`)
		default:
			say(w, "ok")
		}
	})
	results, err := Batch(t.Context(), c, newBook(), asks(6), Options{BudgetUSD: -1})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if failed := i >= 1 && i <= 3; (r.Err != nil) != failed {
			t.Errorf("result %d: %v", i, r.Err)
		}
	}
}

func TestNoCreditStopsTheBatch(t *testing.T) {
	c, n := serve(t, func(_ int, _ string, w http.ResponseWriter) {
		w.WriteHeader(429)
		fmt.Fprint(w, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`)
	})
	_, err := Batch(t.Context(), c, newBook(), asks(50), Options{InFlight: 2, BudgetUSD: -1})
	var failure *Error
	if !errors.As(err, &failure) || failure.Kind != Quota {
		t.Fatalf("got %v", err)
	}
	if n.Load() > 4 {
		t.Errorf("%d requests were sent after the account was empty", n.Load())
	}
}

func TestBudgetHolds(t *testing.T) {
	c, n := serve(t, func(_ int, _ string, w http.ResponseWriter) { say(w, "ok") })
	price := Price{Input: 1000, Output: 2000}
	request := asks(1)[0]
	budget := 3.5 * price.Worst(request)
	results, err := Batch(t.Context(), c, newBook(), asks(30), Options{InFlight: 8, BudgetUSD: budget, Price: price})
	if err != nil {
		t.Fatal(err)
	}
	spent, unsent := 0.0, 0
	for _, r := range results {
		spent += r.Reply.CostUSD
		if errors.Is(r.Err, ErrBudget) {
			unsent++
		}
	}
	if spent > budget || unsent == 0 || int64(30-unsent) != n.Load() {
		t.Errorf("spent $%.4f of $%.4f, %d not sent, %d asked", spent, budget, unsent, n.Load())
	}
}

func TestTheKeyStaysOutOfErrors(t *testing.T) {
	const key = "sk-secret-0123456789"
	t.Setenv(serverKeyEnv, key)
	c, _ := serve(t, func(_ int, _ string, w http.ResponseWriter) {
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s","code":"invalid_api_key"}}`, key)
	})
	_, err := c.Complete(t.Context(), asks(1)[0])
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), key) {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedBatchSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := serve(t, func(n int, _ string, w http.ResponseWriter) {
		if n == 3 {
			cancel()
		}
		say(w, "ok")
	})
	if _, err := Batch(ctx, c, newBook(), asks(100), Options{InFlight: 1, BudgetUSD: -1}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPractice(t *testing.T) {
	p, err := StartPractice(map[string]string{"two and two": "four"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := New(Spec{Provider: "practice", BaseURL: p.URL, Model: PracticeModel}, Retry{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Complete(t.Context(), Request{Model: PracticeModel, Prompt: "two and two", MaxTokens: 9})
	if err != nil || r.Text != "four" || r.Model != PracticeModel {
		t.Errorf("got %q from %q: %v", r.Text, r.Model, err)
	}
	r, err = c.Complete(t.Context(), Request{Model: PracticeModel, Prompt: "what else", MaxTokens: 9})
	if err != nil || r.Refusal == "" {
		t.Errorf("an unknown question: %q, refusal %q: %v", r.Text, r.Refusal, err)
	}
}

func TestPriceOf(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for _, c := range []struct{ spec, day, want string }{
		{"openai:gpt-6-luna", "2026-11-23", ""},
		{"openai:gpt-4o-mini", "2027-01-13", ""},
		{"openai:gpt-4o-mini", "2027-01-14", "openai:gpt-6-luna"},
		{"openai:gpt-99", "2026-11-23", "not known"},
		{"https://example.com/v1#m", "2026-11-23", "not known"},
		{"http://127.0.0.1:8000/v1#m", "2026-11-23", ""},
	} {
		spec, err := ParseSpec(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = PriceOf(spec, day(c.day))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s: %v, want %q", c.spec, c.day, err, c.want)
		}
	}
}
