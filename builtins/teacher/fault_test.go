package teacher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"starbook/builtins/teacher/stub"
)

// script is a fault and what must come of it. It is played at the first asking
// of every question; at each if it lasts.
type script struct {
	fault string
	lasts bool
	only  string // protocol; "": both
	count Fault  // under which name the attempts are counted; "": it is an answer
	unfit string // of the answer
	row   string // "": answered in the end; failed; stopped: the run ends at once
	doubt bool   // booked as possibly paid
	asked int    // requests for one question; 0: 2 if answered, 1 otherwise
}

var scripts = []script{
	{fault: "429 retry-after", count: RateLimited},
	{fault: "429 retry-after-ms", count: RateLimited},
	{fault: "429 bare", count: RateLimited},
	{fault: "429 in words", count: RateLimited},
	{fault: "429 slow_down", count: RateLimited},
	{fault: "429 ramp", only: "anthropic", count: RateLimited},
	{fault: "429 tomorrow", count: RateLimited, row: "stopped"},
	{fault: "quota", count: Quota, row: "stopped"},
	{fault: "credit", count: Quota, row: "stopped"},
	{fault: "spend limit", count: Quota, row: "stopped"},
	{fault: "402", count: Quota, row: "stopped"},
	{fault: "claude credit", only: "anthropic", count: Quota, row: "stopped"},
	{fault: "claude spend limit", only: "anthropic", count: Quota, row: "stopped"},
	{fault: "500", count: ServerError},
	{fault: "500", lasts: true, count: ServerError, row: "failed", asked: 4},
	{fault: "502 page", count: ServerError},
	{fault: "503", count: Overloaded},
	{fault: "504", count: ServerError},
	{fault: "529", only: "anthropic", count: Overloaded},
	{fault: "408", count: ServerError},
	{fault: "409", count: ServerError},
	{fault: "400", count: Rejected, row: "failed"},
	{fault: "context", only: "openai", count: TooLong, row: "failed"},
	{fault: "claude context", only: "anthropic", count: TooLong, row: "failed"},
	{fault: "413", count: TooLong, row: "failed"},
	{fault: "flagged", count: Rejected, row: "failed"},
	{fault: "401", count: Denied, row: "stopped"},
	{fault: "no model", count: Denied, row: "stopped"},
	{fault: "redirect", count: Denied, row: "stopped"},
	{fault: "200 error", count: ErrorIn200},
	{fault: "200 code 429", only: "openai", count: RateLimited},
	{fault: "no choices", count: NoChoices},
	{fault: "no choices", lasts: true, count: NoChoices, row: "failed", asked: 4},
	{fault: "empty body", count: Garbled, doubt: true},
	{fault: "page with 200", count: Garbled, doubt: true},
	{fault: "half JSON", count: Garbled, doubt: true},
	{fault: "cut", count: CutOff, doubt: true},
	{fault: "reset", count: Reset, doubt: true},
	{fault: "reset late", count: Reset, doubt: true},
	{fault: "reset", lasts: true, count: Reset, doubt: true, row: "failed", asked: 4},
	{fault: "close", count: Reset, doubt: true},
	{fault: "half-open", count: Timeout, doubt: true},
	{fault: "stall", count: Timeout, doubt: true},
	{fault: "drip", asked: 1},
	{fault: "refusal", asked: 1, unfit: "refused"},
	{fault: "filter", only: "openai", asked: 1, unfit: "filtered"},
	{fault: "null", only: "anthropic", asked: 1, unfit: "empty"},
}

// Each fault is one question's own, is counted under its name, holds nobody up
// past the deadline, and costs what it may have cost.
func TestFaultScripts(t *testing.T) {
	for _, s := range scripts {
		for protocol, format := range protocols {
			if s.only != "" && s.only != protocol {
				continue
			}
			name := protocol + " " + s.fault
			if s.lasts {
				name += " for good"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s.play(t, format)
			})
		}
	}
}

func (s script) play(t *testing.T, format string) {
	const rows, victims = 12, 4
	server := start(t, stub.Options{Faults: func(q string, nth int) stub.Fault {
		var n int
		if _, err := fmt.Sscanf(q, "user: question %d", &n); err != nil || s.row != "stopped" && (n >= victims || nth > 1 && !s.lasts) {
			return stub.Fault{}
		}
		return stub.Named(s.fault)
	}})
	c := client(t, format, server.URL)
	ledger := newBook()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	requests := asks(rows)
	price := Price{Input: 1, Output: 5}
	tally, err := Ask(ctx, c, ledger, slices.Values(requests), Options{InFlight: 3, Price: price, Retry: brisk})
	if ctx.Err() != nil {
		t.Fatalf("it hangs: %+v", tally)
	}
	if s.row == "stopped" {
		var failure *Error
		if !errors.As(err, &failure) || !failure.Stops() {
			t.Fatalf("got %v, want an error that stops the run", err)
		}
		if n := server.Ledger().Asked; n > 3 {
			t.Errorf("%d requests where 3 are in flight and each is refused", n)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	want := s.asked
	if want == 0 {
		want = 2
		if s.row == "failed" {
			want = 1
		}
	}
	if got := server.Ledger().Asked; got != rows-victims+victims*want {
		t.Errorf("%d requests for %d questions, want %d for each with the fault", got, rows, want)
	}
	lost := 0
	for i, r := range requests {
		reply, ok, err := Answer(c, ledger, r)
		if err != nil {
			t.Fatal(err)
		}
		bad := i < victims
		switch {
		case !ok:
			lost++
			if failed := tally.Failure(c, r); !bad || s.row != "failed" || failed == nil {
				t.Errorf("row %d has no answer: %v", i, failed)
			}
		case r.Unfit(reply) != "" && (!bad || s.unfit != r.Unfit(reply)), bad && s.unfit != "" && r.Unfit(reply) == "":
			t.Errorf("row %d: %q, unfit %q", i, reply.Text, r.Unfit(reply))
		}
	}
	if lost != tally.Failed || tally.Answered+tally.Failed != rows {
		t.Errorf("%d rows without an answer; counted %+v", lost, tally)
	}
	faults := map[Fault]int{}
	if s.count != "" {
		faults[s.count] = victims * want
		if s.row == "" {
			faults[s.count] = victims
		}
	}
	if !maps.Equal(tally.Faults, faults) {
		t.Errorf("counted %v, want %v", tally.Faults, faults)
	}
	if (tally.DoubtUSD > 0) != s.doubt {
		t.Errorf("in doubt: $%v", tally.DoubtUSD)
	}
	billed := server.Ledger()
	if cost := price.Cost(Usage{Input: billed.Input, Output: billed.Output}); cost > tally.SpentUSD+tally.DoubtUSD+1e-12 {
		t.Errorf("billed $%v, booked $%v and $%v in doubt", cost, tally.SpentUSD, tally.DoubtUSD)
	}
}

// A connection that is dead from the beginning is given up once the others have said what is usual: the
// first requests leave when nobody knows.
func TestDeadAtFirst(t *testing.T) {
	each(t, func(t *testing.T, format string) {
		s := start(t, stub.Options{Faults: func(q string, nth int) stub.Fault {
			if q == "user: question 0" && nth == 1 {
				return stub.Named("half-open")
			}
			return stub.Fault{}
		}})
		spec, err := ParseSpec(fmt.Sprintf(format, s.URL))
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(spec, "sk-test-0123456789", Deadlines{Reply: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // Total is 10 minutes
		defer cancel()
		tally, err := Ask(ctx, c, newBook(), slices.Values(asks(enough+1)), Options{InFlight: 2, Retry: brisk})
		if err != nil || tally.Answered != enough+1 || tally.Faults[Timeout] == 0 {
			t.Errorf("%+v, %v", tally, err)
		}
	})
}

// A server that answers nobody ends the run; rows that are at fault do not.
func TestLostCause(t *testing.T) {
	always := func(name string, except int) func(string, int) stub.Fault {
		return func(q string, _ int) stub.Fault {
			var n int
			if _, err := fmt.Sscanf(q, "user: question %d", &n); err == nil && n < except {
				return stub.Fault{}
			}
			return stub.Named(name)
		}
	}
	for _, c := range []struct {
		name   string
		except int
		stops  bool
	}{{"500", 5, true}, {"400", 0, true}, {"400", 5, false}, {"context", 5, false}} {
		s := start(t, stub.Options{Faults: always(c.name, c.except)})
		tally, err := Ask(t.Context(), client(t, protocols["openai"], s.URL), newBook(), slices.Values(asks(80)), Options{InFlight: 2, Retry: brisk})
		if (err != nil) != c.stops {
			t.Errorf("%s after %d answers: %v", c.name, c.except, err)
		}
		if c.stops && tally.Failed > lostCause+2 || !c.stops && tally.Failed != 80-c.except {
			t.Errorf("%s after %d answers: %d failed", c.name, c.except, tally.Failed)
		}
	}
}
