package teacher

import (
	"context"
	"errors"
	"sync"
)

// ErrBudget means that a request was not sent because its worst case did not
// fit into what was left of the budget.
var ErrBudget = errors.New("teacher: over budget: raise budget_usd and run again; what was answered is kept")

// Budget is a cap on dollars, shared by all that spend for one purpose. What a
// request can cost at most is reserved before it leaves. It is safe for
// concurrent use.
type Budget struct {
	mu       sync.Mutex
	changed  *sync.Cond
	capUSD   float64 // negative: none
	spent    float64
	reserved float64
}

// NewBudget returns a budget of which something may be spent already, before a
// restart. A negative cap is none.
func NewBudget(capUSD, spentUSD float64) *Budget {
	b := &Budget{capUSD: capUSD, spent: spentUSD}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// reserve sets usd aside. If it does not fit now it waits, for those in flight
// mostly cost less than they have reserved; if nothing is in flight it never will.
func (b *Budget) reserve(ctx context.Context, usd float64) error {
	stop := context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})
	defer stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.capUSD >= 0 && b.spent+b.reserved+usd > b.capUSD {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if b.reserved <= 0 || b.spent+usd > b.capUSD {
			return ErrBudget
		}
		b.changed.Wait()
	}
	b.reserved += usd
	return nil
}

// tryReserve sets usd aside if it fits now.
func (b *Budget) tryReserve(usd float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.capUSD >= 0 && b.spent+b.reserved+usd > b.capUSD {
		return false
	}
	b.reserved += usd
	return true
}

// settle gives back what was reserved and books what was spent.
func (b *Budget) settle(reserved, spent float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= reserved
	if b.reserved < 1e-12 { // what is left of rounding
		b.reserved = 0
	}
	b.spent += spent
	b.changed.Broadcast()
}

// Left returns what may still be spent, and whether there is a cap at all.
func (b *Budget) Left() (usd float64, capped bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.capUSD - b.spent - b.reserved, b.capUSD >= 0
}
