package runtime

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// call is a step as it appears in one run: twins wait for the first.
type call struct {
	seq  int
	done chan struct{} // closed by the one that made the call
	art  Artifact      // art and err are set before done is closed
	err  error
}

// Do returns the result of a step: from the run's own memory, from the store,
// or by doing work. Twins in flight are joined, here and across processes. In a
// plan the error may be a *Missing.
func (r *Run) Do(ctx context.Context, spec Spec, work Work) (Artifact, error) {
	if err := r.paramsKnown(); err != nil {
		return Artifact{}, err
	}
	key := spec.Fingerprint()
	if r.plan != nil {
		return r.foresee(key, spec)
	}
	for {
		c, mine := r.join(key)
		if mine {
			c.art, c.err = r.do(ctx, c, key, spec, work)
			if c.err != nil && ctx.Err() != nil {
				r.forget(key, c) // given up, not failed: a twin may still want it
			}
			close(c.done)
			return c.art, c.err
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return Artifact{}, context.Cause(ctx)
		}
		if c.err == nil || !r.forgotten(key, c) {
			return c.art, c.err
		}
	}
}

// do answers from the store, or works with the step's lock and a slot in hand.
func (r *Run) do(ctx context.Context, c *call, key cas.Digest, spec Spec, work Work) (Artifact, error) {
	fresh := r.isFresh(spec.Name)
	if !fresh {
		if art, ok, err := r.hit(c, key, spec); ok || err != nil {
			return art, err
		}
	}
	scratch, unlock, err := r.Store.LockStep(ctx, key)
	if err != nil {
		return Artifact{}, r.fail(c, key, spec, 0, err)
	}
	defer unlock()
	if !fresh { // another process may have finished it while we waited
		if art, ok, err := r.hit(c, key, spec); ok || err != nil {
			return art, err
		}
	}
	if err := r.clear(key); err != nil {
		return Artifact{}, r.fail(c, key, spec, 0, err)
	}
	release, err := r.Pool.Acquire(ctx, spec.Needs)
	if err != nil {
		return Artifact{}, r.fail(c, key, spec, 0, err)
	}
	defer release()
	return r.work(ctx, c, &Step{run: r, key: key, spec: spec, scratch: scratch}, work)
}

// lookUp finds a finished step. A row whose bytes are gone does not count.
func (r *Run) lookUp(key cas.Digest) (st store.Step, ok bool, err error) {
	st, err = r.Store.Step(key)
	if errors.Is(err, store.ErrNotFound) || err == nil && !r.whole(st) {
		return st, false, nil
	}
	return st, err == nil, err
}

// hit answers from the store, if it can.
func (r *Run) hit(c *call, key cas.Digest, spec Spec) (Artifact, bool, error) {
	st, ok, err := r.lookUp(key)
	if err != nil {
		return Artifact{}, false, fmt.Errorf("%s: looking for step %s: %w", spec.Name, key.Short(), err)
	}
	if !ok {
		return Artifact{}, false, nil
	}
	r.emitStep(key, spec, event.Event{Kind: event.StepHit, Value: st.Seconds, Data: usd(st.CostUSD)})
	u := r.use(c, key, spec)
	u.Hit = true
	if err := r.Store.PutUse(u); err != nil {
		return Artifact{}, false, err
	}
	return made(st), true, nil
}

// made is what a finished step made.
func made(st store.Step) Artifact {
	return Artifact{Kind: st.Kind, Digest: st.Output, Refs: st.Refs, Summary: st.Summary, Step: st.Key}
}

// clear forgets a finished step that is to be done again. What an unfinished
// one left stays: its work goes on from there.
func (r *Run) clear(key cas.Digest) error {
	switch _, err := r.Store.Step(key); {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return r.Store.ForgetStep(key)
}

// whole says whether no blob of the step has been collected.
func (r *Run) whole(st store.Step) bool {
	return r.Store.Blobs.Has(st.Output) && !slices.ContainsFunc(st.Refs, func(g cas.Digest) bool {
		return !r.Store.Blobs.Has(g)
	})
}

// work runs the step and commits what it made: bytes first, row second.
func (r *Run) work(ctx context.Context, c *call, s *Step, work Work) (Artifact, error) {
	r.emitStep(s.key, s.spec, event.Event{Kind: event.StepStart})
	r.working.Add(1)
	defer r.working.Add(-1)
	start := time.Now()
	var art Artifact
	var err error
	stop := r.watchUsage(ctx, s)
	labels := pprof.Labels("step", s.spec.Name, "key", s.key.Short())
	pprof.Do(ctx, labels, func(ctx context.Context) { art, err = s.guard(ctx, work) })
	stop()
	seconds := time.Since(start).Seconds()
	if err == nil {
		err = r.commit(&art, s, seconds)
	}
	if p := prunedBy(ctx); p != nil && err != nil {
		return Artifact{}, r.cut(c, s, seconds, p)
	}
	if err != nil {
		return Artifact{}, r.fail(c, s.key, s.spec, seconds, err)
	}
	u := r.use(c, s.key, s.spec)
	u.Seconds = seconds
	if err := r.Store.PutUse(u); err != nil {
		return Artifact{}, err
	}
	r.emitStep(s.key, s.spec, event.Event{Kind: event.StepDone, Value: seconds, Data: usd(s.cost)})
	if err := r.Store.RemoveScratch(s.key); err != nil {
		s.Warn(fmt.Sprintf("scratch of a finished step stays behind: %v", err))
	}
	return art, nil
}

func (r *Run) commit(art *Artifact, s *Step, seconds float64) error {
	art.Step = s.key
	s.mu.Lock()
	art.Refs = append(art.Refs, s.refs...)
	s.mu.Unlock()
	slices.SortFunc(art.Refs, func(a, b cas.Digest) int { return slices.Compare(a[:], b[:]) })
	art.Refs = slices.Compact(art.Refs)
	if !r.Store.Blobs.Has(art.Digest) {
		return fmt.Errorf("made the %s %s, which is not among the blobs", art.Kind, art.Digest.Short())
	}
	st := store.Step{
		Key: s.key, Name: s.spec.Name, Version: s.spec.Version, Args: s.spec.Args, Inputs: s.spec.Inputs,
		Kind: art.Kind, Output: art.Digest, Refs: art.Refs, Summary: art.Summary,
		Seconds: seconds, CostUSD: s.cost, Device: s.device, Created: time.Now().UTC(),
	}
	return r.Store.PutStep(st)
}

// maxTold bounds the arguments that the event of a failure repeats, in bytes.
const maxTold = 64 << 10

// cut records that a step was left where it is: its trial is pruned.
func (r *Run) cut(c *call, s *Step, seconds float64, why *Pruned) error {
	r.emitStep(s.key, s.spec, event.Event{Kind: event.StepCut, Text: why.Error(), Value: seconds})
	u := r.use(c, s.key, s.spec)
	u.Seconds = seconds
	return errors.Join(&StepError{Name: s.spec.Name, Key: s.key, Err: why}, r.Store.PutUse(u))
}

// fail records why a step has no result. One that was interrupted is said to be so.
func (r *Run) fail(c *call, key cas.Digest, spec Spec, seconds float64, err error) error {
	err = &StepError{Name: spec.Name, Key: key, Err: err}
	text := err.Error()
	if where, ok := strings.CutSuffix(text, context.Canceled.Error()); ok {
		text = where + "interrupted; the next run takes it up again"
	}
	e := event.Event{Kind: event.StepFail, Text: text, Value: seconds}
	if len(spec.Args) <= maxTold {
		e.Data = spec.Args // a failed step has no row that would hold them
	}
	r.emitStep(key, spec, e)
	u := r.use(c, key, spec)
	u.Failed, u.Seconds = r.redact(text), seconds
	if uerr := r.Store.PutUse(u); uerr != nil {
		return errors.Join(err, uerr)
	}
	return err
}
