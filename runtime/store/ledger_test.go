package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"starbook/runtime/cas"
)

func TestAnswers(t *testing.T) {
	s := open(t)
	for _, raw := range []string{"", `{"a":1}`, "\xff\x00binary", strings.Repeat("large ", 10_000)} {
		k := key("ask" + raw)
		first, err := s.BeginAsk(Ask{Key: k, Provider: "openai", Model: "m"})
		must(t, err)
		must(t, s.PutAnswer(Answer{Key: k, Attempt: first, Status: 500, CostUSD: 0.5, Error: "overloaded"}))
		if _, err := s.Answer(k); !errors.Is(err, ErrNotFound) {
			t.Fatalf("an answer that cannot be used: %v", err)
		}
		second, err := s.BeginAsk(Ask{Key: k})
		must(t, err)
		want := Answer{
			Key: k, Attempt: second, Status: 200, Raw: []byte(raw), Headers: json.RawMessage(`{"x":"y"}`), Finish: "stop",
			InputTokens: 1, CachedTokens: 2, OutputTokens: 3, ReasoningTokens: 4, CostUSD: 0.25, Created: noon,
		}
		must(t, s.PutAnswer(want))
		again := want
		again.Raw = []byte("another")
		must(t, s.PutAnswer(again)) // the first stays
		third, err := s.BeginAsk(Ask{Key: k})
		must(t, err)
		again.Attempt = third
		must(t, s.PutAnswer(again)) // paid twice: the first is the answer
		got, err := s.Answer(k)
		must(t, err)
		if len(got.Raw) == 0 && len(want.Raw) == 0 {
			got.Raw = want.Raw
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %.200v\nwant %.200v", got, want)
		}
		if usd, err := s.Spent([]cas.Digest{k, key("never asked")}); err != nil || usd != 1 {
			t.Errorf("spent %v, %v", usd, err)
		}
	}
	if usd, err := s.Spent(nil); err != nil || usd != 0 {
		t.Errorf("spent on nothing: %v, %v", usd, err)
	}
	if err := s.PutAnswer(Answer{Key: key("x"), Attempt: 12345}); err == nil {
		t.Error("an answer to what was never asked was taken")
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
					if err := s.PutAnswer(Answer{Key: k, Attempt: -1}); err == nil {
						t.Error("an answer to nothing was taken")
					}
				}
				if err := s.PutAnswer(Answer{Key: k, Attempt: attempt, Raw: fmt.Append(nil, caller, i), CostUSD: 1}); err != nil {
					t.Error(err)
				}
				if a, err := s.Answer(k); err != nil || string(a.Raw) != fmt.Sprint(caller, i) {
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
