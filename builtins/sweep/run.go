package sweep

import (
	"context"
	"sync"
)

// Outcome is a trial that is over, with what else came of it.
type Outcome struct {
	Trial
	Result any
	Err    error // why it failed
}

// Run makes the trials that s proposes, up to jobs at a time, and returns them in the
// order of their proposals. Try returns a trial's objective and what else came of it; an
// error fails that trial alone, unless ctx has ended. What is proposed depends on jobs,
// for TPE does not wait for trials that are under way, but never on which trial happens
// to end first: trial i knows exactly the trials up to i-jobs.
func Run(ctx context.Context, s Sampler, jobs int, try func(ctx context.Context, i int, p Point) (float64, any, error)) ([]Outcome, error) {
	jobs = max(jobs, 1)
	var out []*Outcome
	var done []chan struct{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i++ {
		var over []Trial
		for k := range max(0, i-jobs+1) {
			select {
			case <-done[k]:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			over = append(over, out[k].Trial)
		}
		p, ok := s.Next(i, over)
		if !ok {
			break
		}
		o, end := &Outcome{Trial: Trial{Point: p}}, make(chan struct{})
		out, done = append(out, o), append(done, end)
		wg.Go(func() {
			defer close(end)
			o.Value, o.Result, o.Err = try(ctx, i, p)
			o.Failed = o.Err != nil
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all := make([]Outcome, len(out))
	for i, o := range out {
		all[i] = *o
	}
	return all, nil
}
