package builtins

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"starbook/builtins/teacher"
)

// replied is what became of one request of an evaluation.
type replied struct {
	teacher.Reply
	failed string // why there is no reply, by name
}

// replies asks all requests, after consent if that costs money, and returns what
// became of each, in order. Run again, it pays only for what it has no answer to.
func (k *asking) replies(ctx context.Context, h *Host, requests []teacher.Request) ([]replied, error) {
	if k.on.price != (teacher.Price{}) {
		quote, err := teacher.NewQuote(k.to, k.ledger, slices.Values(requests), k.on.model, k.on.price)
		if err != nil {
			return nil, err
		}
		if quote.Open() > 0 {
			if err := k.consent(ctx, h, quote.String()); err != nil {
				return nil, err
			}
		}
	}
	tally, err := k.all(ctx, slices.Values(requests), len(requests))
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
		out[i].failed = "error"
		var failure *teacher.Error
		if errors.As(tally.Failure(k.to, r), &failure) {
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
