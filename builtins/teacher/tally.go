package teacher

import "maps"

// Tally counts what became of the questions of an Ask.
type Tally struct {
	Done       int // questions that have come to an end, well or not
	Answered   int
	Failed     int
	Unsent     int // the budget had no room for them
	FromLedger int // of the answered, those that nothing was sent for
	FollowUps  int // questions that a reply led to: a larger limit, a better form
	Attempts   int
	Shipped    int           // requests in the batch that is waited for
	Ready      int           // of them, done, as far as the provider says
	Faults     map[Fault]int // of attempts, by name
	SpentUSD   float64       // of replies in this run
	DoubtUSD   float64       // that may have been paid in this run without a reply that says so
	Usage      Usage

	failures map[Key]error
}

func newTally() Tally { return Tally{Faults: map[Fault]int{}, failures: map[Key]error{}} }

// Failure returns why a question has no answer; nil if it has, or was never put.
func (t Tally) Failure(to Teacher, r Request) error { return t.failures[r.key(to)] }

func (t *Tally) fail(k Key, err error) { t.failures[k] = err }

// book counts an attempt.
func (t *Tally) book(o Outcome) {
	t.Attempts++
	if o.Failure != nil {
		t.Faults[o.Failure.Fault]++
	}
	t.SpentUSD += o.Reply.CostUSD
	t.DoubtUSD += o.DoubtUSD
	u := o.Reply.Usage
	t.Usage.Input += u.Input
	t.Usage.Cached += u.Cached
	t.Usage.Written += u.Written
	t.Usage.Output += u.Output
	t.Usage.Reasoning += u.Reasoning
}

func (t Tally) clone() Tally {
	t.Faults, t.failures = maps.Clone(t.Faults), maps.Clone(t.failures)
	return t
}
