package store

import (
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"starbook/runtime/cas"
	"starbook/runtime/event"
)

// StepUse is a use with its step, if that was finished.
type StepUse struct {
	Use
	Step Step // the zero Step without a row
}

// Done reports whether the step has a result.
func (u StepUse) Done() bool { return !u.Step.Key.IsZero() }

// RunsOf returns the runs that refs name, in their order, as Run finds them. Whole ids take
// one query together.
func (s *Store) RunsOf(refs []string) ([]Run, error) {
	list, err := s.listRuns("WHERE run.id IN (SELECT value FROM json_each(?))", encoded(refs))
	if err != nil {
		return nil, fmt.Errorf("store: runs: %w", err)
	}
	whole := make(map[string]Run, len(list))
	for _, r := range list {
		whole[r.ID] = r
	}
	out := make([]Run, len(refs))
	for i, ref := range refs {
		r, ok := whole[ref]
		if !ok {
			if r, err = s.Run(ref); err != nil {
				return nil, err
			}
		}
		out[i] = r
	}
	return out, nil
}

// UsesOf returns the uses of many runs with their steps, by run and seq, in one query.
func (s *Store) UsesOf(runs []string) (map[string][]StepUse, error) {
	s.settle()
	list, err := lookup(s, func(u *StepUse) []any {
		st := &u.Step
		return []any{
			&u.Run, &u.Seq,
			hash{&u.Key},
			&u.Name, &u.Hit,
			words{&u.Failed},
			&u.Use.Seconds, &u.Cell, &u.Line,
			hash{&st.Key},
			words{&st.Name},
			&st.Version,
			rawJSON{&st.Args},
			decoded{&st.Inputs},
			words{&st.Kind},
			hash{&st.Output},
			decoded{&st.Refs},
			rawJSON{&st.Summary},
			&st.Seconds, &st.CostUSD,
			words{&st.Device},
			moment{&st.Created},
		}
	}, `SELECT u.run, u.seq, u.key, u.name, u.hit, u.failed, u.seconds, u.cell, u.line,
		s.key, s.name, coalesce(s.version, 0), s.args, s.inputs, s.kind, s.output,
		s.refs, s.summary, coalesce(s.seconds, 0), coalesce(s.cost_usd, 0), s.device, s.created
		FROM run_step AS u LEFT JOIN step AS s ON s.key = u.key
		WHERE u.run IN (SELECT value FROM json_each(?)) ORDER BY u.run, u.seq`, encoded(runs))
	if err != nil {
		return nil, fmt.Errorf("store: uses: %w", err)
	}
	out := make(map[string][]StepUse, len(runs))
	for _, u := range list {
		out[u.Run] = append(out[u.Run], u)
	}
	return out, nil
}

// SeriesOf returns the series of many steps by step and name, in one query.
func (s *Store) SeriesOf(steps []cas.Digest) (map[cas.Digest][]Series, error) {
	s.settle()
	list, err := lookup(s, (*Series).dest, "SELECT "+seriesColumns+" FROM series WHERE n > 0 AND step IN (SELECT value FROM json_each(?)) ORDER BY step, name", encoded(steps))
	if err != nil {
		return nil, fmt.Errorf("store: series: %w", err)
	}
	out := make(map[cas.Digest][]Series, len(steps))
	for _, c := range list {
		out[c.Step] = append(out[c.Step], c)
	}
	return out, nil
}

// BucketsOf is Buckets of one metric of many steps, which are read at the same time.
func (s *Store) BucketsOf(steps []cas.Digest, name string, max int) (map[cas.Digest][]Bucket, error) {
	lists := make([][]Bucket, len(steps))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, step := range steps {
		g.Go(func() (err error) {
			if lists[i], err = s.Buckets(step, name, max); err != nil {
				return fmt.Errorf("step %s: %w", step.Short(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make(map[cas.Digest][]Bucket, len(steps))
	for i, step := range steps {
		out[step] = lists[i]
	}
	return out, nil
}

// EventsOf returns the events of these kinds of many runs, by run, in order.
func (s *Store) EventsOf(runs []string, kinds ...event.Kind) (map[string][]event.Event, error) {
	s.settle()
	list, err := lookup(s, eventDest, "SELECT "+eventColumns+` FROM event
		WHERE run IN (SELECT value FROM json_each(?)) AND kind IN (SELECT value FROM json_each(?)) ORDER BY run, id`, encoded(runs), encoded(kinds))
	if err != nil {
		return nil, fmt.Errorf("store: events: %w", err)
	}
	out := make(map[string][]event.Event, len(runs))
	for _, e := range list {
		out[e.Run] = append(out[e.Run], e)
	}
	return out, nil
}
