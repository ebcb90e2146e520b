package sweep

import (
	"context"
	"errors"
	"sync"

	"starbook/runtime"
)

// Search is how the trials of a sweep are chosen, and which are not worth their end.
type Search struct {
	Sampler
	Pruner Pruner // nil: none
}

// Behind is how many trials before it a trial does not know, where trials learn from each other: trial i
// is proposed and judged by the trials up to i - Behind, whatever ends first, however many
// run at a time. So no more than that do.
const Behind = 4

// Learns reports whether trials depend on what earlier ones came to.
func (s Search) Learns() bool {
	_, proposes := s.Sampler.(TPE)
	return proposes || s.Pruner != nil
}

// Outcome is a trial that is over, with what else came of it.
type Outcome struct {
	Trial
	Result any
	Err    error // why it failed
}

// Run makes the trials, up to jobs at a time, and returns them in the order of their
// proposals. Try returns a trial's objective and what else came of it; an error fails that
// trial alone, unless ctx has ended. Neither what is proposed nor what is pruned depends on
// jobs.
func (s Search) Run(ctx context.Context, jobs int, try func(ctx context.Context, i int, p Point) (float64, any, error)) ([]Outcome, error) {
	slots := make(chan struct{}, max(jobs, 1))
	var out []*Outcome
	var done []chan struct{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := 0; ; i++ {
		var over []Trial
		if s.Learns() {
			for k := range max(0, i-Behind+1) {
				if !wait(ctx, done[k]) {
					return nil, context.Cause(ctx)
				}
				over = append(over, out[k].Trial)
			}
		}
		p, ok := s.Next(i, over)
		if !ok {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		o, end := &Outcome{Trial: Trial{Point: p}}, make(chan struct{})
		out, done = append(out, o), append(done, end)
		wg.Go(func() {
			defer func() { close(end); <-slots }()
			s.try(ctx, i, o, over, try)
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

// try makes trial i, which is judged by those that are over.
func (s Search) try(ctx context.Context, i int, o *Outcome, over []Trial, try func(context.Context, int, Point) (float64, any, error)) {
	ctx, w := watched(ctx, s.Pruner, over)
	o.Value, o.Result, o.Err = try(ctx, i, o.Point)
	var pruned *runtime.Pruned
	switch {
	case errors.As(context.Cause(ctx), &pruned):
		o.Pruned, o.Err = pruned.Why, nil
	case o.Err != nil:
		o.Failed = true
	}
	o.Curves = w.end()
}

// wait reports whether done was closed before ctx ended.
func wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// Best returns the index of the trial with the best value, of equals the first; -1 if none
// has one.
func Best(trials []Outcome, minimize bool) int {
	best := -1
	for i, t := range trials {
		switch {
		case !t.Valued():
		case best < 0, minimize && t.Value < trials[best].Value, !minimize && t.Value > trials[best].Value:
			best = i
		}
	}
	return best
}
