package teacher

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"starbook/builtins/teacher/stub"
)

const poll = 10 * time.Millisecond

// A row that fails, a row that expires, a row that is lost: only those that may
// yet be answered are shipped again, and the bill is half of what it would be.
func TestShip(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		var mu sync.Mutex
		seen := map[string]int{}
		s := start(t, stub.Options{BatchTime: 30 * time.Millisecond, BatchFate: func(q string) string {
			mu.Lock()
			defer mu.Unlock()
			seen[q]++
			for suffix, fate := range map[string]string{"n 3": stub.FateExpired, "n 4": stub.FateBusy, "n 5": stub.FateMissing} {
				if strings.HasSuffix(q, suffix) && seen[q] == 1 {
					return fate
				}
			}
			if strings.HasSuffix(q, "n 6") {
				return stub.FateError
			}
			if strings.HasSuffix(q, "n 7") {
				return stub.FateExpired
			}
			return ""
		}})
		c := client(t, format, s.URL)
		ledger := newBook()
		price := Price{Input: 1, Output: 5}
		requests := append(asks(20), asks(3)...)
		tally, err := Ship(t.Context(), c, ledger, slices.Values(requests), Options{Price: price, Retry: brisk, Poll: poll})
		if err != nil {
			t.Fatal(err)
		}
		if tally.Answered != 18 || tally.Failed != 2 || s.Batches() != 3 {
			t.Errorf("%d batches; %+v", s.Batches(), tally)
		}
		for i, r := range asks(20) {
			reply, ok, err := Answer(c, ledger, r)
			if err != nil || ok != (i != 6 && i != 7) || ok && reply.Text != stub.Say(r.Prompt) {
				t.Errorf("row %d: %v, %q, %v; failure %v", i, ok, reply.Text, err, tally.Failure(c, r))
			}
		}
		billed := s.Ledger()
		if want := price.Half().Cost(Usage{Input: billed.Input, Output: billed.Output}); tally.SpentUSD < want*0.999999 || tally.SpentUSD > want*1.000001 {
			t.Errorf("spent $%v, half the bill is $%v", tally.SpentUSD, want)
		}
		if asked := seen["user: question 1"]; asked != 1 {
			t.Errorf("an answered row was shipped %d times", asked)
		}
		again, err := Ship(t.Context(), c, ledger, slices.Values(asks(5)), Options{Price: price, Retry: brisk, Poll: poll})
		if err != nil || again.Attempts != 0 || s.Batches() != 3 {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}

// The reply to a submission is lost: the batch is found, not sent again.
func TestShipFindsWhatArrived(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{BatchTime: 50 * time.Millisecond})
		c := client(t, format, s.URL)
		ledger := newBook()
		// A batch of the same size that is not ours.
		if _, err := Ship(t.Context(), c, newBook(), slices.Values(asks(9)), Options{Retry: brisk, Poll: poll}); err != nil {
			t.Fatal(err)
		}
		s.LoseReply()
		tally, err := Ship(t.Context(), c, ledger, slices.Values(asks(9)), Options{Retry: brisk, Poll: poll})
		if err != nil || tally.Answered != 9 {
			t.Errorf("%+v, %v", tally, err)
		}
		if s.Batches() != 2 {
			t.Errorf("%d batches, want 2: one of them paid twice", s.Batches())
		}
	})
}

// A process is killed while the provider works: the next one fetches.
func TestShipOverARestart(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{BatchTime: 500 * time.Millisecond})
		ledger := newBook()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		atWork := func(t Tally) {
			if t.Shipped > 0 {
				cancel()
			}
		}
		if _, err := Ship(ctx, client(t, format, s.URL), ledger, slices.Values(asks(9)), Options{Retry: brisk, Poll: poll, Progress: atWork}); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		// Nothing but what was shipped; and with one question more, one more.
		tally, err := Fetch(t.Context(), client(t, format, s.URL), ledger, slices.Values(asks(10)), Options{Retry: brisk, Poll: poll})
		if err != nil || tally.Answered != 9 || s.Batches() != 1 {
			t.Errorf("fetched %+v of %d batches, %v", tally, s.Batches(), err)
		}
		tally, err = Ship(t.Context(), client(t, format, s.URL), ledger, slices.Values(asks(10)), Options{Retry: brisk, Poll: poll})
		if err != nil || tally.Answered != 10 || s.Ledger().Asked != 10 {
			t.Errorf("shipped %+v, %v; the server was asked %d times", tally, err, s.Ledger().Asked)
		}
	})
}

// The network is away while the provider works: nothing is shipped again.
func TestShipOverAnOutage(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{BatchTime: 100 * time.Millisecond})
		target, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		forward := httputil.NewSingleHostReverseProxy(target)
		var looks atomic.Int32 // without a reply
		way := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && looks.Add(1) <= 6 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			forward.ServeHTTP(w, r)
		}))
		defer way.Close()
		tally, err := Ship(t.Context(), client(t, format, way.URL), newBook(), slices.Values(asks(9)), Options{Retry: brisk, Poll: poll})
		if err != nil || tally.Answered != 9 || s.Batches() != 1 || looks.Load() < 7 {
			t.Errorf("%+v, %v; %d batches", tally, err, s.Batches())
		}
	})
}

// A submission that did not arrive is ended as never sent, and sent again.
func TestShipWithinTheBudget(t *testing.T) {
	s := start(t, stub.Options{BatchTime: poll})
	price := Price{Input: 1, Output: 5}
	worst := price.Half().Worst(asks(1)[0])
	budget := NewBudget(6*worst, 0)
	tally, err := Ship(t.Context(), client(t, protocols["openai"], s.URL), newBook(), slices.Values(asks(200)), Options{Price: price, Budget: budget, Retry: brisk, Poll: poll})
	if err != nil {
		t.Fatal(err)
	}
	billed := s.Ledger()
	usd := price.Half().Cost(Usage{Input: billed.Input, Output: billed.Output})
	if usd > 6*worst || tally.Unsent == 0 || s.Batches() < 3 {
		t.Errorf("billed $%v of $%v in %d batches: %+v", usd, 6*worst, s.Batches(), tally)
	}
}
