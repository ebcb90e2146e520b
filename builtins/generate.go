package builtins

import (
	"context"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"starbook/builtins/teacher"
	"starbook/runtime"
	"starbook/runtime/store"
)

func distillEstimate() Func {
	return plain("distill.estimate", "Says what distill.generate would cost, in US dollars, normally and as a batch, and sends nothing.\n"+
		"Input tokens are counted; what answers cost is taken from those that the ledger has to these questions, such as a pilot's.",
		func(_ context.Context, c *Call, a askArgs) (starlark.Value, error) {
			q, err := a.estimate(c.Host, c.Run.Store, c.Run.Secret)
			return starlark.String(q.String()), err
		})
}

type generateArgs struct {
	askArgs
	Field string `arg:"field=completion" doc:"column for the answer"`
	spendArgs
	Pilot        int  `arg:"pilot=40" doc:"questions that are asked first, to quote the rest; more, up to a tenth of all, until the quote is likely to be within 5 %. Their answers are kept; 0: none" hash:"-"`
	EstimateOnly bool `arg:"estimate_only=false" doc:"print the quote and end the notebook there, without an error; ask nothing" hash:"-"`
}

func (a *generateArgs) check() error {
	return errors.Join(a.askArgs.check(), a.spendArgs.check())
}

// finish ends the notebook with the quote, if that is all that is wanted: what comes
// after would want the answers.
func (a *generateArgs) finish(h *Host, run *runtime.Run) error {
	if !a.EstimateOnly {
		return nil
	}
	q, err := a.estimate(h, run.Store, run.Secret)
	if err != nil {
		return err
	}
	return &runtime.Finished{Text: fmt.Sprintf("estimate only: %s; nothing was asked, and the notebook ends here", q)}
}

func distillGenerate() Func {
	return step("distill.generate", 2, runtime.Net, "Asks a teacher about every row and adds its answer. Run it again to go on after an error or a kill: what was answered is kept.\n"+
		"Rows without a usable answer are left out and counted by reason in .dropped. Before money is spent, the quote is shown and consent asked for: on a terminal, or by --yes.",
		func(ctx context.Context, h *Host, s *runtime.Step, a generateArgs) (runtime.Artifact, error) {
			t, err := a.who()
			if err != nil {
				return runtime.Artifact{}, err
			}
			k, err := newAsking(h, s, a.teacherArgs, a.spendArgs)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer k.close()
			known, tally, err := a.ask(ctx, h, k, t)
			if err != nil {
				return runtime.Artifact{}, err
			}
			return a.collect(k, t, known, tally)
		})
}

// ask quotes, asks for consent, and asks: a pilot first if there is much to pay.
// Known is how many answers were there before.
func (a *generateArgs) ask(ctx context.Context, h *Host, k *asking, t Teacher) (known int, tally teacher.Tally, err error) {
	st := k.step.Store()
	var bad error
	questions := requests(a.each(st, t), &bad)
	if err := k.fetch(ctx, questions, 0); err != nil || bad != nil {
		return 0, tally, errors.Join(bad, err)
	}
	quote, err := a.quote(h, st, t, k.to, k.on)
	if err != nil {
		return 0, tally, err
	}
	known = quote.Answered
	pilot, worst := quote.Pilot(a.Pilot)
	if !quote.Free && quote.Open() > 0 {
		text := quote.String()
		if pilot != nil {
			text += fmt.Sprintf("; a pilot of %d first, worst case %s", len(pilot), teacher.USD(worst))
		}
		if err := k.consent(ctx, h, text); err != nil {
			return known, tally, err
		}
	}
	for n := a.Pilot; pilot != nil; {
		i := -1
		chosen := func(yield func(teacher.Request) bool) {
			for r := range questions {
				if i++; pilot[i] && !yield(r) {
					return
				}
			}
		}
		if tally, err = k.all(ctx, chosen, len(pilot)); err != nil || bad != nil {
			return known, tally, errors.Join(bad, err)
		}
		if quote, err = a.quote(h, st, t, k.to, k.on); err != nil {
			return known, tally, err
		}
		if n *= 2; quote.Sharp() || float64(quote.Answered) >= teacher.PilotShare*float64(quote.Questions) {
			pilot = nil
		} else {
			pilot, _ = quote.Pilot(n)
		}
		if pilot != nil {
			continue // the answers are kept, so that a larger pilot costs nothing more
		}
		if err := k.consent(ctx, h, quote.String()); err != nil {
			return known, tally, err
		}
	}
	tally, err = k.put(ctx, questions, quote)
	return known, tally, errors.Join(bad, err)
}

// consent keeps the quote in the record, and asks before money is spent.
func (k *asking) consent(ctx context.Context, h *Host, quote string) error {
	text := fmt.Sprintf("%s: %s; budget %s", k.to.Spec(), quote, teacher.USD(k.spend.BudgetUSD))
	k.step.Log(text)
	if h.Consent == nil {
		return errors.New("this costs money, and nobody is there to agree")
	}
	return h.Consent(ctx, text)
}

func (a *askArgs) estimate(h *Host, st *store.Store, hide func(string)) (teacher.Quote, error) {
	t, err := a.who()
	if err != nil {
		return teacher.Quote{}, err
	}
	on, err := a.terms(h, t)
	if err != nil {
		return teacher.Quote{}, err
	}
	c, err := teacher.New(t.spec, "none", teacher.Deadlines{}) // nothing is sent
	if err != nil {
		return teacher.Quote{}, err
	}
	defer c.Close()
	return a.quote(h, st, t, c, on)
}

// collect makes the dataset of the rows that were answered, from the ledger. If
// the budget ran out, the step fails, so that it is tried again.
func (a *generateArgs) collect(k *asking, t Teacher, known int, tally teacher.Tally) (runtime.Artifact, error) {
	if tally.Unsent > 0 {
		left, _ := k.budget.Left()
		return runtime.Artifact{}, fmt.Errorf("%w (%s, %s of %s spent or in doubt; %s open)", teacher.ErrBudget,
			plural(tally.Answered, "answers"), teacher.USD(a.BudgetUSD-left), teacher.USD(a.BudgetUSD), plural(tally.Unsent, "questions"))
	}
	w, err := newRowWriter(k.step)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.blob.Abort()
	var (
		usage    teacher.Usage
		cost     float64
		total    int
		last     error
		rejected = map[string]int{}
	)
	for q, err := range a.each(k.step.Store(), t) {
		if err != nil {
			return runtime.Artifact{}, err
		}
		total++
		reply, ok, err := teacher.Answer(k.to, k.ledger, q.request)
		if err != nil {
			return runtime.Artifact{}, err
		}
		why := a.unfit(q.request, reply)
		if !ok {
			why, last = "error", tally.Failure(k.to, q.request)
			var failure *teacher.Error
			if errors.As(last, &failure) {
				why = string(failure.Fault)
			}
		}
		usage.Input += reply.Usage.Input
		usage.Output += reply.Usage.Output
		cost += reply.CostUSD
		if why != "" {
			rejected[why]++
			continue
		}
		q.row[a.Field] = reply.Text
		if err := w.add(q.row); err != nil {
			return runtime.Artifact{}, err
		}
	}
	lost := total - w.rows
	if lost > 0 {
		k.step.Warn(fmt.Sprintf("%s without a usable answer (%s)", plural(lost, "rows"), counted(rejected)))
	}
	if lost == total && lost > 0 {
		err := fmt.Errorf("no usable answer among %d (%s)", lost, counted(rejected))
		if last != nil { // refusals are answers, and no error
			err = fmt.Errorf("%w: %w", err, last)
		}
		return runtime.Artifact{}, err
	}
	return w.commit(Facts{
		"asked": total, "from_ledger": known, "rejected": lost, "dropped": rejected, "input_tokens": usage.Input,
		"output_tokens": usage.Output, "cost_usd": cost, "teacher": t.name(),
	})
}

// unfit says why a reply is not taken.
func (a *generateArgs) unfit(r teacher.Request, reply teacher.Reply) string {
	why := r.Unfit(reply)
	if why == "truncated" && a.OnTruncated == "keep" {
		return ""
	}
	return why
}
