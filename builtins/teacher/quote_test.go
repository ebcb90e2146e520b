package teacher

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"starbook/builtins/teacher/stub"
)

// simulated is a job: what each question has for input, and what its answer will
// have for output. Spread is the standard deviation of its logarithm around what
// the length of the question makes one expect.
func simulated(seed uint64, spread float64) (tokens, outputs []float64) {
	r := rand.New(rand.NewPCG(seed, 5))
	base, slope := 100+400*r.Float64(), 0.5*r.Float64()
	for range 1000 + r.IntN(4000) {
		x := math.Exp(5 + 0.6*r.NormFloat64()) // some 150 tokens, seldom 1,000
		tokens = append(tokens, x)
		outputs = append(outputs, math.Min(4096, (base+slope*x)*math.Exp(spread*r.NormFloat64()-spread*spread/2)))
	}
	return tokens, outputs
}

// misses quotes a simulated job from a pilot that grows until the quote is sharp
// or a share of the questions is answered. It returns by what part of it the quote
// is off, whether the bill is within the 90 % bound, and how large the pilot was.
func misses(seed uint64, spread float64, pilot int, share float64) (off float64, within bool, asked int) {
	tokens, outputs := simulated(seed, spread)
	p := Price{Input: 0.1, Output: 0.5}
	q := Quote{}
	for i, x := range tokens {
		q.open = append(q.open, open{i, x, 4096, p.at(int(4*x), 4096)})
		q.Worst += p.at(int(4*x), 4096)
	}
	var known []sample
	paid, bill := 0.0, 0.0
	usage := func(i int) Usage { return Usage{Input: int64(1.07 * tokens[i]), Output: int64(outputs[i])} } // the provider counts a little more than we
	for i := range tokens {
		bill += p.Cost(usage(i))
	}
	for n := pilot; ; n *= 2 {
		chosen, _ := q.Pilot(n)
		q.open = slices.DeleteFunc(q.open, func(o open) bool {
			if chosen[o.index] {
				known = append(known, sample{o.tokens, usage(o.index)})
				paid += p.Cost(usage(o.index))
			}
			return chosen[o.index]
		})
		q.extrapolate(known, p)
		if q.Sharp() || float64(len(known)) >= share*float64(len(tokens)) {
			return (paid+q.P50)/bill - 1, bill <= paid+q.P90, len(known)
		}
	}
}

// How good a quote is depends on how much the answers differ and on the size of
// the pilot; the test holds what was measured.
func TestQuotes(t *testing.T) {
	for _, c := range []struct {
		spread, share float64
		near          int // of 100 jobs, at least so many are within 5 %
	}{{0.3, 0, 70}, {0.3, PilotShare, 90}, {0.5, PilotShare, 90}} {
		near, within, asked := 0, 0, 0
		var off []float64
		for seed := range uint64(100) {
			d, ok, n := misses(seed, c.spread, 40, c.share)
			off = append(off, math.Abs(d))
			asked += n
			if math.Abs(d) <= 0.05 {
				near++
			}
			if ok {
				within++
			}
		}
		slices.Sort(off)
		t.Logf("answers spread by %.1f, pilot of %d on average: %d of 100 quotes within 5 %%, %d of 100 bills within the 90 %% bound, median miss %.1f %%, 90th %.1f %%",
			c.spread, asked/100, near, within, 100*off[50], 100*off[90])
		if near < c.near || within < 80 {
			t.Errorf("want %d and 80", c.near)
		}
	}
}

func TestQuoteFromTheLedger(t *testing.T) {
	s := start(t, stub.Options{})
	c := client(t, protocols["openai"], s.URL)
	ledger := newBook()
	price := Price{Input: 1, Output: 5}
	requests := append(asks(200), asks(10)...)
	ask := func(chosen func(int) bool) {
		t.Helper()
		var list []Request
		for i, r := range requests {
			if chosen(i) {
				list = append(list, r)
			}
		}
		if _, err := Ask(t.Context(), c, ledger, slices.Values(list), Options{Price: price, Retry: brisk}); err != nil {
			t.Fatal(err)
		}
	}
	quote := func() Quote {
		t.Helper()
		q, err := NewQuote(c, ledger, slices.Values(requests), Model{Encoding: "o200k_base"}, price)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := quote()
	if q.Questions != 200 || q.Answered != 0 || !math.IsNaN(q.P50) || q.Worst <= 0 || !strings.Contains(q.String(), "0 are known") {
		t.Errorf("before: %s", q)
	}
	pilot, worst := q.Pilot(40)
	if len(pilot) != 40 || worst <= 0 || worst > q.Worst {
		t.Errorf("a pilot of %d, at most $%v", len(pilot), worst)
	}
	ask(func(i int) bool { return pilot[i] })
	q = quote()
	if q.Open() != 160 || !(q.P50 > 0 && q.P50 < q.P90 && q.P90 < q.Worst) || !strings.Contains(q.String(), "nine times in ten") {
		t.Errorf("after the pilot: %s", q)
	}
	if q.Factor < 0.5 || q.Factor > 2 {
		t.Errorf("the server counts %v tokens for each of ours", q.Factor)
	}
	ask(func(int) bool { return true })
	if q = quote(); q.Open() != 0 || q.P90 != 0 || !strings.Contains(q.String(), "nothing to pay") {
		t.Errorf("at the end: %s", q)
	}
}

func TestCountTokens(t *testing.T) {
	r := Request{System: "You are terse.", Prompt: "What is 2 + 2?"}
	// By OpenAI's own tokenizer: 4 and 8 tokens, and what stands around messages.
	if n := (Model{Encoding: "o200k_base"}).CountTokens(r); n != 4+8+2*4+3 {
		t.Errorf("%d tokens", n)
	}
	if n := (Model{TokenFactor: 1.4}).CountTokens(r); n != 32 {
		t.Errorf("%d tokens with a factor of 1.4", n)
	}
	if n := (Model{}).CountTokens(Request{Prompt: strings.Repeat("hello ", 1000)}); n < 1000 || n > 1010 {
		t.Errorf("a thousand words are %d tokens", n)
	}
	if !strings.HasPrefix(fmt.Sprint(USD(0.0123), USD(3.456)), "$0.0123") {
		t.Error(USD(0.0123))
	}
}
