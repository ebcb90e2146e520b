package teacher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Options of a Batch. None of them changes an answer.
type Options struct {
	InFlight  int           // requests at a time; 0: 8
	Delay     time.Duration // between the starts of two requests
	BudgetUSD float64       // for this batch; requests that might exceed it are not sent. Negative: no limit
	Price     Price
	Progress  func(done int, spentUSD float64) // called by one goroutine at a time; may be nil
}

// Result is what became of one request.
type Result struct {
	Reply  Reply
	Err    error // why there is no answer: *Error, ErrBudget, or the context's
	Cached bool  // the ledger had it
}

// ErrBudget means that a request was not sent because its worst case did not
// fit into what was left of the budget.
var ErrBudget = errors.New("teacher: over budget: raise budget_usd and run again; what was answered is kept")

// Batch asks all requests that the ledger has no answer for, several at a
// time. Results are in the order of the requests. A request that fails is a
// Result with an error; Batch itself fails if the account or the key does, the
// ledger does, or ctx ends. Equal requests are asked once.
func Batch(ctx context.Context, t Teacher, l Ledger, requests []Request, o Options) ([]Result, error) {
	b := &batch{teacher: t, ledger: l, o: o, results: make([]Result, len(requests)), first: map[Key]int{}}
	if b.o.InFlight <= 0 {
		b.o.InFlight = 8
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(b.o.InFlight, max(1, len(requests))) {
		wg.Go(func() {
			for i := range work {
				if err := b.one(ctx, i, requests[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	twins := b.send(ctx, requests, work)
	close(work)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return b.results, err
	}
	for i, j := range twins {
		b.results[i] = b.results[j]
		b.results[i].Cached = true
		b.finished()
	}
	return b.results, nil
}

// batch is a Batch on its way.
type batch struct {
	teacher Teacher
	ledger  Ledger
	o       Options
	results []Result
	first   map[Key]int

	mu       sync.Mutex // guards what follows
	spent    float64    // dollars of replies
	reserved float64    // worst case of what is in flight
	done     int
}

// send hands out the requests, at most one for each key, and returns which
// later request is a twin of which earlier one.
func (b *batch) send(ctx context.Context, requests []Request, work chan<- int) map[int]int {
	twins := map[int]int{}
	for i, r := range requests {
		_, key := r.Canonical(b.teacher.Spec().Provider)
		if j, ok := b.first[key]; ok {
			twins[i] = j
			continue
		}
		b.first[key] = i
		select {
		case work <- i:
		case <-ctx.Done():
			return twins
		}
		if b.o.Delay > 0 && sleep(ctx, b.o.Delay) != nil {
			return twins
		}
	}
	return twins
}

// one answers one request. An error ends the batch.
func (b *batch) one(ctx context.Context, i int, r Request) error {
	canonical, key := r.Canonical(b.teacher.Spec().Provider)
	if reply, ok, err := b.ledger.Answer(key); err != nil {
		return err
	} else if ok {
		b.results[i] = Result{Reply: reply, Cached: true}
		b.finished()
		return nil
	}
	worst := b.o.Price.Worst(r)
	if !b.reserve(worst) {
		b.results[i] = Result{Err: ErrBudget}
		b.finished()
		return nil
	}
	attempt, err := b.ledger.Begin(key, b.teacher.Spec(), canonical)
	if err != nil {
		b.release(worst, 0)
		return err
	}
	reply, asked := b.teacher.Complete(ctx, r)
	reply.CostUSD = b.o.Price.Cost(reply.Usage)
	b.release(worst, reply.CostUSD)
	if ctx.Err() != nil && asked != nil {
		return context.Cause(ctx) // the journal keeps it as in doubt
	}
	if err := b.ledger.End(key, attempt, reply, asked); err != nil {
		return err
	}
	b.results[i] = Result{Reply: reply, Err: asked}
	b.finished()
	var failure *Error
	if errors.As(asked, &failure) && failure.Stops() {
		return asked
	}
	return nil
}

// reserve sets the worst case of a request aside, if it fits.
func (b *batch) reserve(worst float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.o.BudgetUSD >= 0 && b.spent+b.reserved+worst > b.o.BudgetUSD {
		return false
	}
	b.reserved += worst
	return true
}

func (b *batch) release(worst, cost float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= worst
	b.spent += cost
}

func (b *batch) finished() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if b.o.Progress != nil {
		b.o.Progress(b.done, b.spent)
	}
}

// Price is what a model costs, in US dollars for a million tokens.
type Price struct {
	Input  float64 `json:"input"`
	Cached float64 `json:"cached"` // input that the provider had cached; 0: as Input
	Output float64 `json:"output"` // reasoning included
}

// defaultMaxTokens bounds the price of a request that sets no limit.
const defaultMaxTokens = 4096

// Cost returns what usage costs.
func (p Price) Cost(u Usage) float64 {
	cached := p.Cached
	if cached == 0 {
		cached = p.Input
	}
	return (float64(u.Input-u.Cached)*p.Input + float64(u.Cached)*cached + float64(u.Output)*p.Output) / 1e6
}

// Worst returns what a request costs at most. Every byte may be a token, and
// a message has a few tokens around it.
func (p Price) Worst(r Request) float64 {
	in := 0
	for _, m := range r.messages() {
		in += len(m.Content) + 16
	}
	out := r.MaxTokens
	if out == 0 {
		out = defaultMaxTokens
	}
	return (float64(in)*p.Input + float64(out)*p.Output) / 1e6
}

// Quote is an estimate of what a batch will cost.
type Quote struct {
	Requests   int     `json:"requests"`
	FromLedger int     `json:"from_ledger"` // answered before: free
	LikelyUSD  float64 `json:"likely_usd"`  // if a token is four bytes and an answer a quarter of its limit: a guess
	WorstUSD   float64 `json:"worst_usd"`   // cannot be exceeded
}

// Estimate quotes a batch without sending anything.
func Estimate(s Spec, l Ledger, requests []Request, p Price) (Quote, error) {
	q := Quote{Requests: len(requests)}
	seen := map[Key]bool{}
	for _, r := range requests {
		_, key := r.Canonical(s.Provider)
		_, ok, err := l.Answer(key)
		if err != nil {
			return q, err
		}
		if ok || seen[key] {
			q.FromLedger++
			continue
		}
		seen[key] = true
		worst := p.Worst(r)
		q.WorstUSD += worst
		q.LikelyUSD += worst / 4
	}
	return q, nil
}

// String implements fmt.Stringer.
func (q Quote) String() string {
	return fmt.Sprintf("%d requests, %d answered before; about $%.2f, at most $%.2f (an estimate)", q.Requests, q.FromLedger, q.LikelyUSD, q.WorstUSD)
}
