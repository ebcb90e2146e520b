package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestAnswers(t *testing.T) {
	s := open(t)
	step := key("step")
	for _, raw := range []string{"", `{"a":1}`, "\xff\x00binary", strings.Repeat("large ", 50_000)} {
		k := key("ask" + raw)
		first, err := s.BeginAsk(Ask{Key: k, Request: []byte("ask" + raw), Provider: "openai", Model: "m", Step: step, ReservedUSD: 1})
		must(t, err)
		must(t, s.PutAnswers([]Answer{{Key: k, Attempt: first, Status: 500, CostUSD: 0.5, Fault: "overloaded", Error: "HTTP 529"}}))
		if _, err := s.Answer(k, 100); !errors.Is(err, ErrNotFound) {
			t.Fatalf("an answer that cannot be used: %v", err)
		}
		second, err := s.BeginAsk(Ask{Key: k, Step: step, ReservedUSD: 1})
		must(t, err)
		want := Answer{
			Key: k, Attempt: second, Status: 200, Raw: []byte(raw), Headers: json.RawMessage(`{"x":"y"}`), Finish: "stop",
			InputTokens: 1, CachedTokens: 2, OutputTokens: 3, ReasoningTokens: 4, CostUSD: 0.25, Created: noon,
		}
		must(t, s.PutAnswers([]Answer{want}))
		again := want
		again.Raw = []byte("another")
		must(t, s.PutAnswers([]Answer{again})) // the first stays
		third, err := s.BeginAsk(Ask{Key: k})
		must(t, err)
		again.Attempt = third
		must(t, s.PutAnswers([]Answer{again})) // paid twice: the first is the answer
		got, err := s.Answer(k, 100)
		must(t, err)
		if len(got.Raw) == 0 && len(want.Raw) == 0 {
			got.Raw = want.Raw
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %.200v\nwant %.200v", got, want)
		}
		if body, err := s.Request(k); err != nil || string(body) != "ask"+raw {
			t.Errorf("the request reads %.50q, %v", body, err)
		}
	}
	if usd, doubt, err := s.Spent(step); err != nil || usd != 4*0.75 || doubt != 0 {
		t.Errorf("spent %v, %v, %v", usd, doubt, err)
	}
	if _, err := s.BeginAsk(Ask{Key: key("open"), Step: step, ReservedUSD: 10}); err != nil {
		t.Error(err)
	}
	if usd, doubt, err := s.Spent(step); err != nil || usd != 4*0.75 || doubt != 10 {
		t.Errorf("spent, with one request on its way, %v, %v, %v", usd, doubt, err)
	}
	if usd, doubt, err := s.Spent(key("another")); err != nil || usd != 0 || doubt != 0 {
		t.Errorf("spent on nothing: %v, %v, %v", usd, doubt, err)
	}
	if err := s.PutAnswers([]Answer{{Key: key("x"), Attempt: 12345}}); err == nil {
		t.Error("an answer to what was never asked was taken")
	}
	sound(t, s)
}

// An answer that ended by itself serves every limit; one that was cut off does not.
func TestCutOffAnswers(t *testing.T) {
	s := open(t)
	k := key("long")
	put := func(limit int, finish string) {
		t.Helper()
		attempt := must1(s.BeginAsk(Ask{Key: k, MaxTokens: limit}))(t)
		must(t, s.PutAnswers([]Answer{{Key: k, Attempt: attempt, Finish: finish, Raw: fmt.Append(nil, finish, " at ", limit)}}))
	}
	find := func(limit int) string {
		a, err := s.Answer(k, limit)
		if errors.Is(err, ErrNotFound) {
			return ""
		}
		must(t, err)
		return string(a.Raw)
	}
	put(100, "length")
	if got := find(100) + "," + find(50) + "," + find(101); got != "length at 100,length at 100," {
		t.Errorf("cut off at 100: %s", got)
	}
	put(200, "length")
	put(400, "stop")
	if got := find(50) + "," + find(1000); got != "stop at 400,stop at 400" {
		t.Errorf("ended by itself: %s", got)
	}
}

func TestBatches(t *testing.T) {
	s := open(t)
	asks := []Ask{{Key: key("a"), Request: []byte("a"), ReservedUSD: 1, MaxTokens: 7}, {Key: key("b"), Request: []byte("b"), ReservedUSD: 2}}
	b := must1(s.BeginBatch(Batch{Provider: "openai", Model: "m"}, asks))(t)
	if b.Size != 2 || len(b.Name) != 16 || asks[0].Attempt == 0 || asks[0].Attempt == asks[1].Attempt {
		t.Errorf("got %+v for %+v", b, asks)
	}
	must(t, s.SetRemote(b.ID, "batch_1"))
	open := must1(s.Batches("openai", "m"))(t)
	if len(open) != 1 || open[0].Remote != "batch_1" || open[0].Name != b.Name || open[0].Begun.IsZero() {
		t.Errorf("open: %+v", open)
	}
	back := must1(s.BatchAsks(b.ID))(t)
	if len(back) != 2 || back[0].Key != asks[0].Key || back[0].MaxTokens != 7 || back[1].Attempt != asks[1].Attempt {
		t.Errorf("asks: %+v", back)
	}
	must(t, s.PutAnswers([]Answer{{Key: asks[0].Key, Attempt: asks[0].Attempt}, {Key: asks[1].Key, Attempt: asks[1].Attempt, Fault: "expired"}}))
	must(t, s.EndBatch(b.ID))
	if open := must1(s.Batches("openai", "m"))(t); len(open) != 0 {
		t.Errorf("open after the end: %+v", open)
	}
	sound(t, s)
}

// Callers that share a commit each get their own outcome.
func TestManyCallersAtOnce(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for i := range 20 {
				k := key(fmt.Sprint(caller, i))
				attempt, err := s.BeginAsk(Ask{Key: k})
				if err != nil {
					t.Error(err)
				}
				if i%5 == 0 { // one bad request among the group
					if err := s.PutAnswers([]Answer{{Key: k, Attempt: -1}}); err == nil {
						t.Error("an answer to nothing was taken")
					}
				}
				if err := s.PutAnswers([]Answer{{Key: k, Attempt: attempt, Raw: fmt.Append(nil, caller, i), CostUSD: 1}}); err != nil {
					t.Error(err)
				}
				if a, err := s.Answer(k, 100); err != nil || string(a.Raw) != fmt.Sprint(caller, i) {
					t.Errorf("an answer just put: %q, %v", a.Raw, err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := s.Query(t.Context(), "SELECT asks, answers, usable, cost_usd FROM spending")
	must(t, err)
	if got := fmt.Sprint(rows.Rows); got != "[[320 320 320 320]]" {
		t.Errorf("the books say %s", got)
	}
}
