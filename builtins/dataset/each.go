package dataset

import (
	"context"
	"fmt"
	"sync"
)

// Filter keeps the rows for which keep says so, asking workers at a time. An
// error of keep ends it: of several, that of the earliest row is returned.
// keep must not change its row.
func Filter(ctx context.Context, rows []Row, workers int, keep func(context.Context, Row) (bool, error)) ([]Row, error) {
	stays := make([]bool, len(rows))
	err := each(ctx, len(rows), workers, func(ctx context.Context, i int) (err error) {
		stays[i], err = keep(ctx, rows[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	var kept []Row
	for i, r := range rows {
		if stays[i] {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// Map returns what f makes of each row, in the order of the rows, calling it
// workers at a time. Errors are as in Filter. f must not change its row, but
// return a new one.
func Map(ctx context.Context, rows []Row, workers int, f func(context.Context, Row) (Row, error)) ([]Row, error) {
	out := make([]Row, len(rows))
	err := each(ctx, len(rows), workers, func(ctx context.Context, i int) (err error) {
		out[i], err = f(ctx, rows[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// chunk is how many rows a worker takes at a time.
const chunk = 64

// each calls f for 0 to n-1. Chunks are handed out in order and one that was
// begun is gone through, up to its own first error, so the earliest error does
// not depend on who was faster.
func each(ctx context.Context, n, workers int, f func(context.Context, int) error) error {
	var mu sync.Mutex // guards next, first and place
	next, place := 0, n
	var first error
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next >= n {
			return -1
		}
		from := next
		next += chunk
		return from
	}
	work := func() {
		for from := take(); from >= 0; from = take() {
			for i := from; i < min(from+chunk, n); i++ {
				err := ctx.Err()
				if err == nil {
					err = f(ctx, i)
				}
				if err == nil {
					continue
				}
				mu.Lock()
				if i < place {
					place, first = i, err
				}
				mu.Unlock()
				break
			}
		}
	}
	var wg sync.WaitGroup
	for range min(max(workers, 1), (n+chunk-1)/chunk) {
		wg.Go(work)
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if first != nil {
		return fmt.Errorf("dataset: row %d: %w", place+1, first)
	}
	return nil
}
