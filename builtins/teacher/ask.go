package teacher

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"
)

// Options of Ask and Ship. None of them changes an answer.
type Options struct {
	InFlight int           // requests at a time; 0: 8
	Delay    time.Duration // between the starts of two requests
	Budget   *Budget       // nil: no cap
	Price    Price
	Retry    Retry
	Progress func(Tally) // called by one goroutine at a time; may be nil
	// Poll is the pause between two looks at a batch that does not ask for another; 0: 30 s.
	Poll time.Duration
}

// Retry says how often and how long a request is tried. Zero fields take the defaults.
type Retry struct {
	Attempts int           // for faults; 6. A refusal that says how long to wait does not count
	Base     time.Duration // of the backoff; 500 ms, doubled each time
	Cap      time.Duration // of one wait; 30 s
	Total    time.Duration // of all waits for one request; 10 min
	Seed     uint64        // of the jitter
	Drain    time.Duration // after an interrupt, for the replies that are on their way; 30 s
}

func (r Retry) withDefaults() Retry {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	if r.Attempts <= 0 {
		r.Attempts = 6
	}
	set(&r.Base, 500*time.Millisecond)
	set(&r.Cap, 30*time.Second)
	set(&r.Total, 10*time.Minute)
	set(&r.Drain, 30*time.Second)
	return r
}

// Ask puts all questions that the ledger has no answer for, several at a time;
// equal ones once. It follows a question up where its reply asks for that. A
// question that fails is counted and named in the tally, and the next run tries
// it again; Ask itself fails if the account or the key does, if nothing gets
// through any more, if the ledger fails, or if ctx ends. The answers are in the
// ledger: Answer finds them.
func Ask(ctx context.Context, t Teacher, l Ledger, requests iter.Seq[Request], o Options) (Tally, error) {
	if o.InFlight <= 0 {
		o.InFlight = 8
	}
	if o.Budget == nil {
		o.Budget = NewBudget(-1, 0)
	}
	o.Retry = o.Retry.withDefaults()
	a := &asker{
		teacher: t, ledger: l, o: o, limits: newLimiter(o.InFlight, o.Delay, o.Retry.Seed),
		random: rand.New(rand.NewPCG(o.Retry.Seed, 0xba0f)), tally: newTally(),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What was sent is paid for: an interrupt waits for its replies for a while.
	sent, drop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer drop(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(o.Retry.Drain, func() { drop(context.Cause(ctx)) })
	})()
	work := make(chan Request)
	var wg sync.WaitGroup
	for range o.InFlight {
		wg.Go(func() {
			for r := range work {
				if err := a.follow(ctx, sent, r); err != nil {
					cancel(err)
				}
			}
		})
	}
	seen := map[Key]bool{}
	for r := range requests {
		if _, key := r.Canonical(t.Spec().Provider); !seen[key] {
			seen[key] = true
			select {
			case work <- r:
				continue
			case <-ctx.Done():
			}
			break
		}
	}
	close(work)
	wg.Wait()
	return a.tally.clone(), context.Cause(ctx)
}

// asker is an Ask on its way.
type asker struct {
	teacher Teacher
	ledger  Ledger
	o       Options
	limits  *limiter

	mu     sync.Mutex // guards what follows
	tally  Tally
	random *rand.Rand
	streak int // failures of the server since the last answer
}

// lostCause is after how many rows in a row that the server failed a run ends.
const lostCause = 20

// follow answers one question and what its replies lead to. An error ends the run.
func (a *asker) follow(ctx, sent context.Context, first Request) error {
	fresh := 0
	for r, again := first, true; again; {
		reply, sends, err := a.one(ctx, sent, r)
		fresh += sends
		switch {
		case ctx.Err() != nil && err != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrBudget):
			a.count(func(t *Tally) { t.Unsent++; t.fail(first.key(a.teacher), err) })
			return nil
		case err != nil:
			return a.failed(first, err)
		}
		if r, again = r.followUp(reply); again {
			a.count(func(t *Tally) { t.FollowUps++ })
		}
	}
	a.mu.Lock()
	a.streak = 0
	a.mu.Unlock()
	a.count(func(t *Tally) {
		t.Answered++
		t.Done++
		if fresh == 0 {
			t.FromLedger++
		}
	})
	return nil
}

// failed counts a row that has no answer, and returns the error if it is the
// run's: the account, the key, the ledger, or a server that answers nobody.
func (a *asker) failed(first Request, err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	a.count(func(t *Tally) { t.Failed++; t.Done++; t.fail(first.key(a.teacher), err) })
	if failure.Stops() {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if natures[failure.Fault].retry || a.tally.Answered == 0 {
		a.streak++
	}
	if a.streak >= lostCause {
		return fmt.Errorf("%d questions in a row without an answer, the last: %w", a.streak, err)
	}
	return nil
}

// one answers one request, from the ledger or, after so many sends, from the teacher.
func (a *asker) one(ctx, sent context.Context, r Request) (reply Reply, sends int, err error) {
	canonical, key := r.Canonical(a.teacher.Spec().Provider)
	if reply, ok, err := recall(a.teacher, a.ledger, key, r.MaxTokens); ok || err != nil {
		return reply, 0, err
	}
	if err := a.teacher.Check(r); err != nil {
		return Reply{}, 0, &Error{Fault: Rejected, Provider: a.teacher.Spec().Provider, Message: err.Error(), err: err}
	}
	faults, paused, asked := 0, time.Duration(0), time.Duration(0)
	for attempts := 1; ; attempts++ {
		reply, err := a.send(ctx, sent, r, key, canonical)
		var failure *Error
		if err == nil || !errors.As(err, &failure) {
			return reply, attempts, err
		}
		failure.Attempts = attempts
		if failure.wait > a.o.Retry.Total && failure.retry() {
			failure.Fault = Quota // a limit by the day, mostly
			failure.Message += fmt.Sprintf(" (the server asks to wait %v)", failure.wait.Round(time.Second))
		}
		pause := time.Duration(0)
		if failure.gates() {
			asked += failure.wait // the gate, which all pass, takes care of it
		} else {
			faults++
			pause = failure.wait + a.backoff(faults)
			paused += pause
		}
		if !failure.retry() || faults >= a.o.Retry.Attempts || paused > a.o.Retry.Total || asked > a.o.Retry.Total {
			return Reply{}, attempts, failure
		}
		if err := sleep(ctx, pause); err != nil {
			return Reply{}, attempts, err
		}
	}
}

// send makes one attempt: reserved, journalled, sent, kept, booked.
func (a *asker) send(ctx, sent context.Context, r Request, key Key, canonical []byte) (Reply, error) {
	worst := a.o.Price.Worst(r)
	if err := a.o.Budget.reserve(ctx, worst); err != nil {
		return Reply{}, err
	}
	booked := 0.0
	defer func() { a.o.Budget.settle(worst, booked) }()
	c := r.cost()
	if err := a.limits.enter(ctx, c); err != nil {
		return Reply{}, err
	}
	out := Outcome{Key: key}
	var err error
	out.ID, err = a.ledger.Begin(Attempt{key, a.teacher.Spec(), canonical, r.MaxTokens, worst})
	if err != nil {
		a.limits.leave(c, nil, nil)
		return Reply{}, err
	}
	out.Reply, err = a.teacher.Send(sent, r)
	headers := out.Reply.Headers
	if err != nil && !errors.As(err, &out.Failure) {
		a.limits.leave(c, nil, nil)
		booked = worst
		return Reply{}, err // interrupted: the journal keeps it as in doubt
	}
	if f := out.Failure; f != nil {
		headers = f.Headers
		out.Reply = Reply{Status: f.Status, Raw: f.Raw, Headers: f.Headers, Usage: f.usage}
		if f.Doubt() {
			out.DoubtUSD = worst
		}
	}
	if headers == nil {
		headers = map[string]string{}
	}
	a.limits.leave(c, headers, out.Failure)
	out.Reply.CostUSD = a.o.Price.Cost(out.Reply.Usage)
	booked = out.Reply.CostUSD + out.DoubtUSD
	if err := a.ledger.End(out); err != nil {
		return Reply{}, err
	}
	a.count(func(t *Tally) { t.book(out) })
	if out.Failure != nil {
		return Reply{}, out.Failure
	}
	return out.Reply, nil
}

// backoff is full jitter: anything up to Base doubled for each fault.
func (a *asker) backoff(faults int) time.Duration {
	limit := min(a.o.Retry.Base<<max(0, min(faults-1, 20)), a.o.Retry.Cap)
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(a.random.Int64N(int64(limit) + 1))
}

func (a *asker) count(change func(*Tally)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.tally)
	if a.o.Progress != nil {
		a.o.Progress(a.tally)
	}
}

// Answer returns what the ledger has for a question, after all that its replies
// led to; not ok if something of that is missing.
func Answer(t Teacher, l Ledger, r Request) (Reply, bool, error) {
	var total float64
	for {
		_, key := r.Canonical(t.Spec().Provider)
		reply, ok, err := recall(t, l, key, r.MaxTokens)
		if !ok || err != nil {
			return Reply{}, false, err
		}
		total += reply.CostUSD
		next, again := r.followUp(reply)
		if !again {
			reply.CostUSD = total
			return reply, true, nil
		}
		r = next
	}
}

// recall reads one answer of the ledger.
func recall(t Teacher, l Ledger, key Key, maxTokens int) (Reply, bool, error) {
	kept, ok, err := l.Answer(key, maxTokens)
	if !ok || err != nil {
		return Reply{}, false, err
	}
	reply, err := t.Read(kept.Raw)
	if err != nil {
		return Reply{}, false, fmt.Errorf("ledger: answer %s: %w", key, err)
	}
	reply.Headers, reply.CostUSD = kept.Headers, kept.CostUSD
	return reply, true, nil
}

// key is the content key for t.
func (r Request) key(t Teacher) Key {
	_, key := r.Canonical(t.Spec().Provider)
	return key
}

// cost is what r takes from the server's buckets. Servers charge the whole limit
// of the answer at first.
func (r Request) cost() cost {
	in := 0
	for _, m := range r.messages() {
		in += len(m.Content)/4 + 4
	}
	return cost{requests: 1, tokens: float64(in + r.MaxTokens), inputTokens: float64(in), outputTokens: float64(r.MaxTokens)}
}
