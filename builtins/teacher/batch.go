package teacher

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Batch is a file of requests at a provider's batch service, as the ledger
// knows it.
type Batch struct {
	ID     int64
	Name   string // 16 hex digits: by it the provider's batch is known to be ours
	Size   int
	Remote string // the provider's id; "" until it is known
	Begun  time.Time
}

// Row is one request of a batch, as the ledger knows it.
type Row struct {
	Attempt     int64
	Key         Key
	ReservedUSD float64
}

// BatchLedger remembers batches as well.
type BatchLedger interface {
	Ledger
	// BeginBatch journals that attempts are about to be sent as one batch.
	BeginBatch(list []Attempt) (Batch, error)
	// Sent notes what the provider calls a batch.
	Sent(b Batch, remote string) error
	// Open returns the batches of a teacher that have not ended, oldest first.
	Open(s Spec) ([]Batch, error)
	// Rows returns the requests of a batch in their order.
	Rows(b Batch) ([]Row, error)
	// EndRows keeps what came back for rows.
	EndRows(list []Outcome) error
	// EndBatch notes that every row has ended.
	EndBatch(b Batch) error
}

// service is a provider's batch service.
type service interface {
	Teacher
	// submit sends a batch and returns the provider's id. It is never tried
	// again: a lost reply is looked for.
	submit(ctx context.Context, name string, rows []Request) (string, error)
	// look returns how far a batch is.
	look(ctx context.Context, remote string) (state, error)
	// recent lists the provider's batches since a time.
	recent(ctx context.Context, since time.Time) ([]state, error)
	// results calls give with what became of each row.
	results(ctx context.Context, s state, give func(result) error) error
}

// state is a batch as its provider describes it.
type state struct {
	remote string
	name   string // what we called it; "" where the provider keeps no name
	size   int
	done   int
	ended  bool
	wait   time.Duration // that the provider asks for before the next look
	why    string        // of a batch that failed as a whole
	files  []string
}

// outage is after how many looks at a batch without a reply its provider is given up:
// they are some 10 minutes apart in the end, so that a network may be away for a night.
const outage = 100

// batchTries is how often a row is shipped that comes back without an answer.
const batchTries = 3

// result is what became of a row.
type result struct {
	id      string // custom id
	reply   Reply
	failure *Error
}

// The services' limits on one batch, with some room below them.
const (
	maxBatchRows  = 50_000
	maxBatchBytes = 90 << 20
)

// Ship is Ask through the provider's batch service, at half the price: it may
// take a day. Whatever was shipped before, by this process or another that is
// gone, is fetched first; only what is missing is shipped. It can be interrupted
// at any moment: the provider works on, and the next Ship finds the results.
func Ship(ctx context.Context, t Teacher, l BatchLedger, requests iter.Seq[Request], o Options) (Tally, error) {
	return ship(ctx, t, l, requests, o, false)
}

// Fetch waits for what was shipped of these questions, and ships nothing.
func Fetch(ctx context.Context, t Teacher, l BatchLedger, requests iter.Seq[Request], o Options) (Tally, error) {
	if open, err := l.Open(t.Spec()); err != nil || len(open) == 0 {
		return newTally(), err
	}
	return ship(ctx, t, l, requests, o, true)
}

func ship(ctx context.Context, t Teacher, l BatchLedger, requests iter.Seq[Request], o Options, fetchOnly bool) (Tally, error) {
	svc, ok := t.(service)
	if !ok {
		return Tally{}, fmt.Errorf("teacher: %s has no batch service", t.Spec())
	}
	if o.Budget == nil {
		o.Budget = NewBudget(-1, 0)
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	o.Retry, o.Price = o.Retry.withDefaults(), o.Price.Half()
	s := &shipper{service: svc, ledger: l, o: o, tally: newTally(), ours: map[int64]bool{}, tries: map[Key]int{}}
	for {
		open, err := s.missing(requests)
		if err != nil || len(open) == 0 {
			return s.tally, err
		}
		wanted := map[Key]bool{}
		for _, r := range open {
			wanted[r.key(t)] = true
		}
		fetched, err := s.fetch(ctx, wanted)
		if err != nil {
			return s.tally, err
		}
		if fetched > 0 {
			continue
		}
		if fetchOnly {
			return s.tally, nil
		}
		if sent, err := s.ship(ctx, open); err != nil || !sent {
			return s.tally, err
		}
	}
}

// shipper is a Ship on its way.
type shipper struct {
	service service
	ledger  BatchLedger
	o       Options
	tally   Tally
	ours    map[int64]bool // batches that were shipped by this Ship, out of its budget
	tries   map[Key]int    // of rows that came back without an answer
	refused int            // submissions, one after the other
}

// missing returns the requests without an answer, and counts the others.
func (s *shipper) missing(requests iter.Seq[Request]) ([]Request, error) {
	s.tally.Done, s.tally.Answered, s.tally.Failed, s.tally.Unsent = 0, 0, 0, 0
	var open []Request
	seen := map[Key]bool{}
	for r := range requests {
		first := r.key(s.service)
		if seen[first] {
			continue
		}
		seen[first] = true
		for again := true; again; {
			key := r.key(s.service)
			reply, ok, err := recall(s.service, s.ledger, key, r.MaxTokens)
			switch {
			case err != nil:
				return nil, err
			case !ok && s.tally.failures[key] != nil:
				s.tally.Failed++
				s.tally.Done++
				s.tally.fail(first, s.tally.failures[key])
				again = false
			case !ok:
				open = append(open, r)
				again = false
			default:
				if r, again = r.followUp(reply); !again {
					s.tally.Answered++
					s.tally.Done++
				}
			}
		}
	}
	s.show()
	return open, nil
}

func (s *shipper) show() {
	if s.o.Progress != nil {
		s.o.Progress(s.tally)
	}
}

// ship sends what is open as batches, as much as the budget has room for.
func (s *shipper) ship(ctx context.Context, open []Request) (sent bool, err error) {
	for len(open) > 0 {
		var rows []Request
		var list []Attempt
		full := false
		for bytes := 0; len(open) > 0 && len(rows) < maxBatchRows && bytes < maxBatchBytes && !full; {
			r := open[0]
			if err := s.service.Check(r); err != nil {
				s.tally.fail(r.key(s.service), &Error{Fault: Rejected, Provider: s.service.Spec().Provider, Message: err.Error(), err: err})
				open, sent = open[1:], true // counted as failed when we look again
				continue
			}
			worst := s.o.Price.Worst(r)
			if full = !s.o.Budget.tryReserve(worst); full {
				break
			}
			canonical, key := r.Canonical(s.service.Spec().Provider)
			list = append(list, Attempt{key, s.service.Spec(), canonical, r.MaxTokens, worst})
			rows, open = append(rows, r), open[1:]
			bytes += len(canonical) + 512
		}
		if len(rows) == 0 {
			s.tally.Unsent = len(open)
			return sent, nil
		}
		if err := s.submit(ctx, rows, list); err != nil {
			return sent, err
		}
		sent = true
		if full {
			break // the rest when these have left something over
		}
	}
	return sent, nil
}

// submit journals a batch and sends it. If the reply is lost it may have arrived,
// and is looked for when its results are due.
func (s *shipper) submit(ctx context.Context, rows []Request, list []Attempt) error {
	b, err := s.ledger.BeginBatch(list)
	if err != nil {
		return err
	}
	s.ours[b.ID] = true
	remote, err := s.service.submit(ctx, b.Name, rows)
	if err == nil {
		s.refused = 0
		return s.ledger.Sent(b, remote)
	}
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	s.refused++
	if failure.Doubt() && s.refused < s.o.Retry.Attempts {
		return nil
	}
	if failure.Doubt() {
		return failure
	}
	if cerr := s.lose(b, &Error{Fault: NeverSent, Provider: failure.Provider, Message: failure.Error(), err: failure}); cerr != nil {
		return cerr
	}
	if !failure.retry() || s.refused >= s.o.Retry.Attempts {
		return failure
	}
	return sleep(ctx, max(failure.wait, s.o.Poll))
}

// lose ends a batch that did not reach its provider.
func (s *shipper) lose(b Batch, why *Error) error {
	rows, err := s.ledger.Rows(b)
	if err != nil {
		return err
	}
	return s.end(b, rows, map[int64]Outcome{}, why)
}

// fetch waits for the open batches that hold a wanted request and keeps their
// results. It returns how many there were.
func (s *shipper) fetch(ctx context.Context, wanted map[Key]bool) (n int, err error) {
	list, err := s.ledger.Open(s.service.Spec())
	if err != nil {
		return 0, err
	}
	for _, b := range list {
		rows, err := s.ledger.Rows(b)
		if err != nil {
			return n, err
		}
		if !slices.ContainsFunc(rows, func(r Row) bool { return wanted[r.Key] }) {
			continue // another notebook's
		}
		if err := s.await(ctx, b); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// await waits until a batch has ended. Faults on the way to the provider are
// waited out: the batch works on without us.
func (s *shipper) await(ctx context.Context, b Batch) error {
	for faults := 0; ; {
		st, ok, err := s.find(ctx, &b)
		var failure *Error
		switch {
		case err == nil && !ok && time.Since(b.Begun) > 2*s.o.Poll: // lists lag behind
			return s.lose(b, &Error{Fault: NeverSent, Provider: s.service.Spec().Provider, Message: "the provider knows no such batch"})
		case err == nil && st.ended:
			if err = s.keep(ctx, b, st); err == nil {
				return nil
			}
		}
		if err != nil && (!errors.As(err, &failure) || !failure.retry() || faults >= outage) {
			return err
		}
		wait := s.o.Poll
		if err != nil {
			wait = max(min(wait<<min(faults, 5), 20*wait), failure.wait)
			faults++
		} else {
			faults = 0
			s.tally.Shipped, s.tally.Ready = st.size, st.done
			s.show()
			if st.wait > 0 {
				wait = min(st.wait, 10*s.o.Poll)
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// find looks at a batch, by its id or, if the reply to its submission was
// lost, among the provider's batches: by name, or where there are no names by
// size and time, to be verified by its results.
func (s *shipper) find(ctx context.Context, b *Batch) (st state, ok bool, err error) {
	if b.Remote != "" {
		st, err = s.service.look(ctx, b.Remote)
		return st, err == nil, err
	}
	list, err := s.service.recent(ctx, b.Begun.Add(-time.Minute))
	if err != nil {
		return st, false, err
	}
	known, err := s.remotes()
	if err != nil {
		return st, false, err
	}
	for _, st := range list {
		switch {
		case known[st.remote]:
		case st.name == b.Name:
			return st, true, s.found(b, st)
		case st.name == "" && st.size == b.Size && !st.ended:
			return st, true, nil // wait, then see whose it is
		case st.name == "" && st.size == b.Size:
			named, err := s.named(ctx, *b, st)
			if err != nil {
				return st, false, err
			}
			if named {
				return st, true, s.found(b, st)
			}
		}
	}
	return state{}, false, nil
}

func (s *shipper) found(b *Batch, st state) error {
	b.Remote = st.remote
	return s.ledger.Sent(*b, st.remote)
}

// remotes are the ids of the batches that are accounted for.
func (s *shipper) remotes() (map[string]bool, error) {
	list, err := s.ledger.Open(s.service.Spec())
	known := map[string]bool{}
	for _, b := range list {
		if b.Remote != "" {
			known[b.Remote] = true
		}
	}
	return known, err
}

var errFound = errors.New("found")

// named reports whether the first result of a batch carries b's name.
func (s *shipper) named(ctx context.Context, b Batch, st state) (yes bool, err error) {
	err = s.service.results(ctx, st, func(r result) error {
		yes = strings.HasPrefix(r.id, b.Name+"-")
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return yes, err
}

// customID names row i of a batch.
func customID(name string, i int) string { return fmt.Sprintf("%s-%d", name, i) }

// keep fetches the results of a batch that has ended and writes them down.
func (s *shipper) keep(ctx context.Context, b Batch, st state) error {
	rows, err := s.ledger.Rows(b)
	if err != nil {
		return err
	}
	at := make(map[string]int, len(rows))
	for i := range rows {
		at[customID(b.Name, i)] = i
	}
	got := map[int64]Outcome{}
	err = s.service.results(ctx, st, func(r result) error {
		i, ok := at[r.id]
		if !ok {
			return nil // not ours; a duplicate is taken once
		}
		if _, twice := got[rows[i].Attempt]; twice {
			return nil
		}
		o := Outcome{ID: rows[i].Attempt, Key: rows[i].Key, Reply: r.reply, Failure: r.failure}
		if r.failure != nil {
			o.Reply = Reply{Status: r.failure.Status, Raw: r.failure.Raw, Usage: r.failure.usage}
		}
		o.Reply.CostUSD = s.o.Price.Cost(o.Reply.Usage)
		got[o.ID] = o
		return nil
	})
	if err != nil {
		return err
	}
	why := &Error{Fault: Expired, Provider: s.service.Spec().Provider, Message: "the batch ended without it"}
	if st.why != "" { // the file as a whole is at fault
		why.Fault, why.Message = Rejected, st.why
	}
	return s.end(b, rows, got, why)
}

// end writes an outcome for every row of a batch, why for those without one, and
// then that it has ended.
func (s *shipper) end(b Batch, rows []Row, got map[int64]Outcome, why *Error) error {
	list := make([]Outcome, len(rows))
	for i, r := range rows {
		o, ok := got[r.Attempt]
		if !ok {
			o = Outcome{ID: r.Attempt, Key: r.Key, Failure: why}
		}
		list[i] = o
	}
	if err := s.ledger.EndRows(list); err != nil {
		return err
	}
	for i, o := range list {
		if s.ours[b.ID] {
			s.o.Budget.settle(rows[i].ReservedUSD, o.Reply.CostUSD)
		}
		s.tally.book(o)
		if o.Failure == nil {
			continue
		}
		if o.Failure.Fault == NeverSent {
			continue
		}
		if s.tries[o.Key]++; !o.Failure.retry() || s.tries[o.Key] >= batchTries {
			s.tally.fail(o.Key, o.Failure)
		}
	}
	return s.ledger.EndBatch(b)
}
