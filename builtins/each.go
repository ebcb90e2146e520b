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

// inParallel calls do with 0 to n-1 on so many goroutines, 0: one for each processor. Once
// a call fails no more are begun; at is the least place that failed, and err its error.
func inParallel(n, workers int, do func(i int) error) (at int, err error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	var mu sync.Mutex // at, err
	at = n
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if failed := do(i); failed != nil {
					next.Store(int64(n)) // all before i were given out
					mu.Lock()
					defer mu.Unlock()
					if i < at {
						at, err = i, failed
					}
					return
				}
			}
		})
	}
	wg.Wait()
	return at, err
}

// maxRowSteps is how many operations a function may take for one row.
const maxRowSteps = 100_000_000

// each calls fn with every row, as a dict of its own, on several threads, and
// hands the results to take, which runs on many goroutines. An error names the
// first row that has one. fn was frozen when it was fingerprinted.
func each(ctx context.Context, s *notebook.Step, fn starlark.Callable, rows []Row, workers int, take func(i int, v starlark.Value) error) error {
	at, err := inParallel(len(rows), workers, func(i int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := dictFromJSON(rows[i])
		if err != nil {
			return err
		}
		t := &starlark.Thread{Name: fn.Name(), Print: func(_ *starlark.Thread, msg string) { s.Log(msg) }}
		t.SetMaxExecutionSteps(maxRowSteps)
		stop := context.AfterFunc(ctx, func() { t.Cancel("interrupted") })
		defer stop()
		v, err := starlark.Call(t, fn, starlark.Tuple{d}, nil)
		if err != nil {
			return err
		}
		return take(i, v)
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("row %d: %w", at+1, err)
	}
	return nil
}
