package builtins

import (
	"context"
	"errors"
	"fmt"

	"starbook/builtins/teacher"
	"starbook/runtime/store"
)

// asking is a large model that answers or judges for an evaluation, through the
// ledger and within a budget.
type asking struct {
	askArgs
	budget   float64 // dollars
	inFlight int
}

// ask returns what became of each request, and the dollars that they cost now.
// What was answered before costs nothing. An exhausted budget is an error: what
// was answered stays in the ledger.
func (a *asking) ask(ctx context.Context, st *store.Store, requests []teacher.Request, progress func(done int, usd float64)) ([]teacher.Result, float64, error) {
	t, err := a.who()
	if err != nil {
		return nil, 0, err
	}
	price, err := a.price(t.spec)
	if err != nil {
		return nil, 0, err
	}
	client, err := teacher.New(t.spec, teacher.Retry{Seed: 1})
	if err != nil {
		return nil, 0, err
	}
	defer client.Close()
	results, err := teacher.Batch(ctx, client, ledger{st}, requests, teacher.Options{
		InFlight: a.inFlight, BudgetUSD: a.budget, Price: price, Progress: progress,
	})
	if err != nil {
		return nil, 0, err
	}
	spent := 0.0
	for _, r := range results {
		if errors.Is(r.Err, teacher.ErrBudget) {
			return nil, spent, fmt.Errorf("%w ($%.2f)", r.Err, a.budget)
		}
		if !r.Cached {
			spent += r.Reply.CostUSD
		}
	}
	return results, spent, nil
}
