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
	// Draining is called once if the asking is to end while n requests are on their way: their
	// replies are waited for at most so long. May be nil.
	Draining func(n int, most time.Duration)
	// Poll is the pause between two looks at a batch that does not ask for another; 0: 30 s.
	Poll time.Duration
}

// Retry says how often and how long a request is tried. Zero fields take the defaults.
type Retry struct {
	Attempts int           // for faults; 6. A refusal for want of room is none: it is tried for Total
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
// equal ones once, though each of them counts. It follows a question up where
// its reply asks for that. A question that fails is counted and named in the
// tally, and the next run tries it again; Ask itself fails if the account or the
// key does, if nothing gets through any more, if the ledger fails, or if ctx
// ends. The answers are in the ledger: Answer finds them.
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
		random: rand.New(rand.NewPCG(o.Retry.Seed, 0xba0f)), tally: newTally(), equal: map[Key]int{},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What was sent is paid for: an interrupt waits for its replies for a while.
	sent, drop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer drop(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(o.Retry.Drain, func() { drop(context.Cause(ctx)) })
		a.draining()
	})()
	work := make(chan question)
	var wg sync.WaitGroup
	for range 2 * o.InFlight { // some wait for another try, or for the disk; the limiter counts those in flight
		wg.Go(func() {
			for q := range work {
				if err := a.follow(ctx, sent, q); err != nil {
					cancel(err)
				}
			}
		})
	}
feed:
	for q, err := range a.questions(requests) {
		if err != nil {
			cancel(err)
			break
		}
		select {
		case work <- q:
		case <-ctx.Done():
			break feed
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
	away   int         // requests that were sent and have no reply yet
	streak int         // failures of the server since the last answer
	equal  map[Key]int // how many of the questions so far are equal to one at work, itself included
}

// draining tells of the requests that the end of the asking waits for.
func (a *asker) draining() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.away > 0 && a.o.Draining != nil {
		a.o.Draining(a.away, a.o.Retry.Drain)
	}
}

// lostCause is after how many rows in a row that the server failed a run ends.
const lostCause = 20

// question is a request in its canonical form, with the key.
type question struct {
	Request
	canonical []byte
	key       Key
	unknown   time.Time // when the ledger had no answer; zero: it may have one
}

func (a *asker) question(r Request) question {
	canonical, key := r.Canonical(a.teacher.Spec().Provider)
	return question{Request: r, canonical: canonical, key: key}
}

// ahead is how many questions the ledger is looked through for at once: a transaction for
// each would cost as much as sending them. What was not there is not looked for again
// within absent, in which another process hardly answers it.
const (
	ahead  = 128
	absent = time.Second
)

// questions are those that are to be put.
func (a *asker) questions(requests iter.Seq[Request]) iter.Seq2[question, error] {
	return func(yield func(question, error) bool) {
		var list []question
		pass := func() bool {
			keys := make([]Key, len(list))
			for i, q := range list {
				keys[i] = q.key
			}
			answered, err := a.ledger.Answered(keys)
			now := time.Now()
			for _, q := range list {
				if !answered[q.key] {
					q.unknown = now
				}
				if !yield(q, err) {
					return false
				}
			}
			list = list[:0]
			return true
		}
		for r := range requests {
			// At work from here on, so that one is not asked again that is answered meanwhile.
			if q := a.question(r); a.first(q.key) {
				list = append(list, q)
			}
			if len(list) == ahead && !pass() {
				return
			}
		}
		pass()
	}
}

// first reports whether a question is to be put: none that is equal is at work, and
// none has failed. One that was answered is found in the ledger.
func (a *asker) first(key Key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch err := a.tally.failures[key]; {
	case errors.Is(err, ErrBudget):
		a.tally.Unsent++
		return false
	case err != nil:
		a.tally.Failed++
		a.tally.Done++
		return false
	}
	a.equal[key]++
	return a.equal[key] == 1
}

// ended counts a question, and those that are equal.
func (a *asker) ended(key Key, change func(t *Tally, n int)) {
	a.count(func(t *Tally) {
		n := a.equal[key]
		delete(a.equal, key)
		change(t, n)
	})
}

// follow answers one question and what its replies lead to. An error ends the run.
func (a *asker) follow(ctx, sent context.Context, q question) error {
	fresh, key := 0, q.key
	for again := true; again; {
		reply, sends, err := a.one(ctx, sent, q)
		fresh += sends
		switch {
		case ctx.Err() != nil && err != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrBudget):
			a.ended(key, func(t *Tally, n int) { t.Unsent += n; t.fail(key, err) })
			return nil
		case err != nil:
			return a.failed(key, err)
		}
		var next Request
		if next, again = q.followUp(reply); again {
			q = a.question(next)
			a.count(func(t *Tally) { t.FollowUps++ })
		}
	}
	a.mu.Lock()
	a.streak = 0
	a.mu.Unlock()
	a.ended(key, func(t *Tally, n int) {
		t.Answered += n
		t.Done += n
		t.FromLedger += n - min(fresh, 1)
	})
	return nil
}

// failed counts a row that has no answer, and returns the error if it is the
// run's: the account, the key, the ledger, or a server that answers nobody.
func (a *asker) failed(key Key, err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	a.ended(key, func(t *Tally, n int) { t.Failed += n; t.Done += n; t.fail(key, err) })
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
func (a *asker) one(ctx, sent context.Context, q question) (reply Reply, sends int, err error) {
	if time.Since(q.unknown) > absent {
		if reply, ok, err := recall(a.teacher, a.ledger, q.key, q.MaxTokens); ok || err != nil {
			return reply, 0, err
		}
	}
	if err := a.teacher.Check(q.Request); err != nil {
		return Reply{}, 0, &Error{Fault: Rejected, Provider: a.teacher.Spec().Provider, Message: err.Error(), err: err}
	}
	var faults, refusals int
	var paused, waited time.Duration // after faults, after refusals
	for attempts := 1; ; attempts++ {
		reply, err := a.send(ctx, sent, q)
		var failure *Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &failure) {
			return reply, attempts, err // an ended ctx carries the failure of another question
		}
		failure.Attempts = attempts
		var pause time.Duration
		if failure.refused() {
			pause = failure.wait + a.jitter(min(failure.wait, time.Second)) // not all at the same moment
			if failure.wait == 0 {
				pause = a.backoff(refusals)
			}
			refusals++
			waited += pause
		} else {
			pause = failure.wait
			if failure.Fault != Timeout { // it has been waited for long enough
				pause += a.backoff(faults)
			}
			faults++
			paused += pause
		}
		if !failure.retry() || faults >= a.o.Retry.Attempts || max(paused, waited) > a.o.Retry.Total {
			return Reply{}, attempts, failure
		}
		if err := sleep(ctx, pause); err != nil {
			return Reply{}, attempts, err
		}
	}
}

// send makes one attempt: reserved, journalled, sent, kept, booked.
func (a *asker) send(ctx, sent context.Context, q question) (Reply, error) {
	worst := a.o.Price.Worst(q.Request)
	if err := a.o.Budget.reserve(ctx, worst); err != nil {
		return Reply{}, err
	}
	booked := 0.0
	defer func() { a.o.Budget.settle(worst, booked) }()
	p, err := a.limits.enter(ctx, q.cost())
	if err != nil {
		return Reply{}, err
	}
	out := Outcome{Key: q.key}
	out.ID, err = a.ledger.Begin(Attempt{q.key, a.teacher.Spec(), q.canonical, q.MaxTokens, worst})
	if err != nil {
		a.limits.leave(p, nil, nil)
		return Reply{}, err
	}
	a.sending(1)
	out.Reply, err = a.teacher.Send(sent, q.Request)
	a.sending(-1)
	headers := out.Reply.Headers
	if err != nil && !errors.As(err, &out.Failure) {
		a.limits.leave(p, nil, nil)
		booked = worst
		return Reply{}, err // interrupted: the journal keeps it as in doubt
	}
	if f := out.Failure; f != nil {
		if f.wait > a.o.Retry.Total && f.retry() {
			f.Fault = Quota // a limit by the day, mostly
			f.Message += fmt.Sprintf(" (the server asks to wait %v)", f.wait.Round(time.Second))
		}
		headers = f.Headers
		out.Reply = Reply{Status: f.Status, Raw: f.Raw, Headers: f.Headers, Usage: f.usage}
		if f.Doubt() {
			out.DoubtUSD = worst
		}
	}
	if headers == nil {
		headers = map[string]string{}
	}
	out.Reply.CostUSD = a.o.Price.Cost(out.Reply.Usage)
	booked = out.Reply.CostUSD + out.DoubtUSD
	// Whoever gets the place is journalled after this reply, with the same fsync if
	// need be: at no time are more in doubt than may be in flight.
	durable := a.ledger.End(out)
	if out.Failure == nil || !out.Failure.Stops() { // after what ends the run nobody gets the place
		a.limits.leave(p, headers, out.Failure)
	}
	if err := durable(); err != nil {
		return Reply{}, err
	}
	a.count(func(t *Tally) { t.book(out) })
	if out.Failure != nil {
		return Reply{}, out.Failure
	}
	return out.Reply, nil
}

// backoff is full jitter: anything up to Base doubled for each earlier fault.
func (a *asker) backoff(earlier int) time.Duration {
	return a.jitter(min(a.o.Retry.Base<<min(earlier, 20), a.o.Retry.Cap))
}

func (a *asker) jitter(limit time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(a.random.Int64N(int64(limit) + 1))
}

// sending counts the requests that are on their way.
func (a *asker) sending(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away += n
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
