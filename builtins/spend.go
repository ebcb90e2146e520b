package builtins

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"starbook/builtins/teacher"
	"starbook/runtime"
)

// spendArgs are the switches of everything that asks. None of them changes an
// answer.
type spendArgs struct {
	BudgetUSD float64 `arg:"budget_usd" doc:"dollars that this step may cost at most, over all its runs; the worst case of a request is set aside before it is sent" hash:"-"`
	BatchSize int     `arg:"batch_size=8" doc:"requests in flight" hash:"-"`
	Delay     float64 `arg:"delay=0.0" doc:"seconds between the starts of two requests" hash:"-"`
	Mode      string  `arg:"mode=now" doc:"now; or batch: through the provider's batch service, at half the price and within a day. It may be interrupted: run it again to fetch the results" hash:"-"`
}

func (a *spendArgs) check() error {
	switch {
	case a.BudgetUSD < 0:
		return errors.New("budget_usd is negative")
	case a.BatchSize < 1:
		return errors.New("batch_size must be at least 1")
	case a.Delay < 0:
		return errors.New("delay is negative")
	case a.Mode != "now" && a.Mode != "batch":
		return fmt.Errorf("mode: got %q, want now or batch", a.Mode)
	}
	return nil
}

// asking is a step that asks a teacher.
type asking struct {
	step   *runtime.Step
	to     teacher.Teacher
	ledger ledger
	budget *teacher.Budget
	on     terms
	spend  spendArgs
	began  time.Time
	shown  time.Time     // progress
	poll   time.Duration // of batches
}

// newAsking opens the teacher and the books. It tells of requests in doubt, once.
func newAsking(h *Host, s *runtime.Step, who teacherArgs, spend spendArgs) (*asking, error) {
	t, err := who.who()
	if err != nil {
		return nil, err
	}
	on, err := who.terms(h, t)
	if err != nil {
		return nil, err
	}
	if on.warn != "" {
		s.Warn(on.warn)
	}
	if err := tellDoubt(s); err != nil {
		return nil, err
	}
	c, err := who.open(h, t, s.Secret)
	if err != nil {
		return nil, err
	}
	k := &asking{step: s, to: c, ledger: ledger{s.Store(), s.Key()}, on: on, spend: spend, began: time.Now(), poll: h.BatchPoll}
	if err := k.setBudget(); err != nil {
		c.Close()
		return nil, err
	}
	return k, nil
}

// setBudget opens the budget with what this step has spent before.
func (a *asking) setBudget() error {
	usd, doubt, err := a.step.Store().Spent(a.step.Key())
	a.budget = teacher.NewBudget(a.spend.BudgetUSD, usd+doubt)
	return err
}

func tellDoubt(s *runtime.Step) error {
	list, err := s.Store().InDoubt()
	if err != nil || len(list) == 0 {
		return err
	}
	usd := 0.0
	for _, a := range list {
		usd += a.ReservedUSD
	}
	s.Warn(fmt.Sprintf("%s in doubt: sent by a run that was cut off, possibly paid, at most %s; what has no answer is asked again",
		plural(len(list), "requests"), teacher.USD(usd)))
	return s.Store().Told(list)
}

// close drops connections and books what the step has cost over all its runs.
func (a *asking) close() {
	a.to.Close()
	if usd, _, err := a.step.Store().Spent(a.step.Key()); err == nil {
		a.step.Cost(usd)
	}
}

// all asks. Total is how many questions there are, for the progress.
func (a *asking) all(ctx context.Context, questions iter.Seq[teacher.Request], total int) (teacher.Tally, error) {
	return teacher.Ask(ctx, a.to, a.ledger, questions, a.options(total))
}

func (a *asking) options(total int) teacher.Options {
	return teacher.Options{
		InFlight: a.spend.BatchSize, Delay: time.Duration(a.spend.Delay * float64(time.Second)), Budget: a.budget, Price: a.on.price,
		Retry: teacher.Retry{Seed: 1}, Poll: a.poll, Progress: func(t teacher.Tally) { a.progress(t, total) },
		Draining: func(n int, most time.Duration) {
			a.step.Warn(fmt.Sprintf("waiting up to %v for the replies to %s, which are kept; a second Ctrl-C drops them: in doubt, possibly paid",
				most, plural(n, "requests")))
		},
	}
}

// fetch waits for what earlier runs have shipped of these questions. What it cost
// is known only then.
func (a *asking) fetch(ctx context.Context, questions iter.Seq[teacher.Request], total int) error {
	if _, err := teacher.Fetch(ctx, a.to, a.ledger, questions, a.options(total)); err != nil {
		return err
	}
	return a.setBudget()
}

// put asks what was quoted, now or through the provider's batch service.
func (a *asking) put(ctx context.Context, questions iter.Seq[teacher.Request], q teacher.Quote) (teacher.Tally, error) {
	if a.spend.Mode == "batch" {
		return teacher.Ship(ctx, a.to, a.ledger, questions, a.options(q.Questions))
	}
	return a.all(ctx, questions, q.Rows)
}

// progress shows rate, cost and what the whole will cost, ten times a second.
func (a *asking) progress(t teacher.Tally, total int) {
	now := time.Now()
	if now.Sub(a.shown) < 100*time.Millisecond && t.Done < total {
		return
	}
	a.shown = now
	var parts []string
	if paid := t.Answered - t.FromLedger; paid > 0 {
		parts = append(parts, fmt.Sprintf("%.1f/s", float64(paid)/now.Sub(a.began).Seconds()))
		if (a.on.price != teacher.Price{}) {
			cost := teacher.USD(t.SpentUSD)
			if open := total - t.Done; open > 0 {
				cost += fmt.Sprintf(" of about %s", teacher.USD(t.SpentUSD+t.SpentUSD/float64(paid)*float64(open)))
			}
			parts = append(parts, cost)
		}
	}
	if t.Shipped > 0 && t.Done < total {
		parts = append(parts, fmt.Sprintf("batch %d of %d", t.Ready, t.Shipped))
	}
	for _, name := range sortedKeys(t.Faults) {
		parts = append(parts, fmt.Sprintf("%s %d", name, t.Faults[name]))
	}
	a.step.Progress(int64(t.Done), int64(total), strings.Join(parts, ", "))
}
