package sweep

import (
	"context"
	"sync"
)

// Run makes the trials that s proposes, up to jobs at a time, and returns them in the
// order of their proposals. Try returns a trial's objective; an error fails that trial
// alone, unless ctx has ended. What is proposed depends on jobs, for TPE does not wait
// for trials that are under way, but never on which trial happens to end first: trial i
// knows exactly the trials up to i-jobs.
func Run(ctx context.Context, s Sampler, jobs int, try func(ctx context.Context, i int, p Point) (float64, error)) ([]Trial, []error, error) {
	jobs = max(jobs, 1)
	var trials []*trial
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i++ {
		var over []Trial
		for _, t := range trials[:max(0, i-jobs+1)] {
			select {
			case <-t.done:
			case <-ctx.Done():
				return nil, nil, context.Cause(ctx)
			}
			over = append(over, t.Trial)
		}
		p, ok := s.Next(i, over)
		if !ok {
			break
		}
		t := &trial{Trial: Trial{Point: p}, done: make(chan struct{})}
		trials = append(trials, t)
		wg.Go(func() {
			defer close(t.done)
			t.Value, t.err = try(ctx, i, p)
			t.Failed = t.err != nil
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	out, errs := make([]Trial, len(trials)), make([]error, len(trials))
	for i, t := range trials {
		out[i], errs[i] = t.Trial, t.err
	}
	return out, errs, nil
}

type trial struct {
	Trial
	err  error
	done chan struct{}
}
