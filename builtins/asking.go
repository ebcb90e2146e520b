package builtins

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"starbook/builtins/teacher"
)

// replied is what became of one request.
type replied struct {
	teacher.Reply
	failed string // why there is no reply, by name
	err    error  // the same; may be nil
}

// replies quotes, asks all requests, after consent if that costs money, and returns what
// became of each, in order. Run again, it pays only for what it has no answer to.
func (k *asking) replies(ctx context.Context, h *Host, requests []teacher.Request) ([]replied, error) {
	all := slices.Values(requests)
	if err := k.fetch(ctx, all, 0); err != nil {
		return nil, err
	}
	quote, err := teacher.NewQuote(k.to, k.ledger, all, k.on.model, k.on.price)
	if err != nil {
		return nil, err
	}
	if !quote.Free && quote.Open() > 0 {
		if err := k.consent(ctx, h, quote.String()); err != nil {
			return nil, err
		}
	}
	tally, err := k.put(ctx, all, quote)
	if err != nil {
		return nil, err
	}
	if tally.Unsent > 0 {
		return nil, fmt.Errorf("%w (%s of %s unsent)", teacher.ErrBudget, plural(tally.Unsent, "questions"), teacher.USD(k.spend.BudgetUSD))
	}
	out := make([]replied, len(requests))
	for i, r := range requests {
		reply, ok, err := teacher.Answer(k.to, k.ledger, r)
		if err != nil {
			return nil, err
		}
		out[i] = replied{Reply: reply}
		if ok {
			continue
		}
		out[i].failed, out[i].err = "error", tally.Failure(k.to, r)
		var failure *teacher.Error
		if errors.As(out[i].err, &failure) {
			out[i].failed = string(failure.Fault)
		}
	}
	return out, nil
}

// cool asks for the likeliest answer where the model takes a temperature.
func (a *teacherArgs) cool(h *Host) error {
	t, err := a.who()
	if err != nil {
		return err
	}
	zero := 0.0
	a.Temperature = &zero
	table, err := teacher.ReadPrices(h.env("STARBOOK_PRICES"))
	if err != nil {
		return err
	}
	model, _ := table.Model(t.spec)
	if model.Takes(teacher.Request{Model: t.spec.Model, Temperature: &zero, Effort: a.Effort}) != nil {
		a.Temperature = nil
	}
	return nil
}
