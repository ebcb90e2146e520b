package builtins

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"go.starlark.net/starlark"

	notebook "starbook/runtime"
)

// maxRowSteps is how many operations a function may take for one row.
const maxRowSteps = 100_000_000

// each calls fn with every row, as a dict of its own, on several threads, and
// hands the results to take, which runs on many goroutines. An error names the
// first row that has one. fn was frozen when it was fingerprinted.
func each(ctx context.Context, s *notebook.Step, fn starlark.Callable, rows []Row, workers int, take func(i int, v starlark.Value) error) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex // first, firstErr
		first  = len(rows)
		failed error
	)
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i < first {
			first, failed = i, err
		}
		next.Store(int64(len(rows))) // no more rows are given out; all before i were
	}
	for range min(workers, len(rows)) {
		wg.Go(func() {
			t := &starlark.Thread{Name: fn.Name(), Print: func(_ *starlark.Thread, msg string) { s.Log(msg) }}
			stop := context.AfterFunc(ctx, func() { t.Cancel("interrupted") })
			defer stop()
			for {
				i := int(next.Add(1)) - 1
				if i >= len(rows) {
					return
				}
				t.SetMaxExecutionSteps(t.ExecutionSteps() + maxRowSteps)
				v, err := callRow(t, fn, rows[i])
				if err == nil {
					err = take(i, v)
				}
				if err != nil {
					fail(i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed != nil {
		return fmt.Errorf("row %d: %w", first+1, failed)
	}
	return nil
}

func callRow(t *starlark.Thread, fn starlark.Callable, r Row) (starlark.Value, error) {
	d, err := dictFromJSON(r)
	if err != nil {
		return nil, err
	}
	return starlark.Call(t, fn, starlark.Tuple{d}, nil)
}
