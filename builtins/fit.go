package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"starbook/builtins/sweep"
	"starbook/gpu/model"
	"starbook/gpu/safetensors"
	"starbook/gpu/train"
	"starbook/runtime"
)

// fit trains until the end or until patience runs out, and leaves the best weights in
// place.
//
// When to stop changes nothing about the updates before, so it is no part of the
// trajectory: trainings that differ in hash:"stop" arguments only share one directory
// with the last state and the weights of every evaluation that was the best so far,
// which are those that some patience could choose. The stopping rule is a fold over the
// evaluations there; only what lies behind them is trained.
func (f *fitting) fit(ctx context.Context, m *loaded, a trainArgs, o train.Options, trajectory json.RawMessage) (Facts, error) {
	shared, unlock, err := f.step.Share(ctx, trajectoryName, trajectory)
	if err != nil {
		return nil, err
	}
	defer unlock()
	f.shared, f.options, f.params = shared, o, m.Params()
	if f.adapter != nil {
		f.params = f.adapter.Params
	}
	f.stopper = train.Stopper{Patience: a.Patience, MinDelta: a.MinDelta}
	over, err := f.recall(ctx)
	if err != nil {
		return nil, err
	}
	if !over {
		rows := f.rows
		if o.Distil, err = m.softened(f.step.Store(), a, rows.examples, rows.held); err != nil {
			return nil, err
		}
		t, err := train.New(m.Transformer, f.adapter, rows.examples, rows.held, o)
		if err != nil {
			return nil, err
		}
		defer t.Close()
		_, perEpoch := o.Steps(len(rows.examples))
		f.trainer, f.about = t, about{len(rows.examples), len(rows.held), rows.left, perEpoch}
		if err := f.train(ctx); err != nil {
			return nil, err
		}
	}
	if err := f.keepBest(ctx); err != nil {
		return nil, err
	}
	facts, err := f.facts(ctx, a)
	if err != nil {
		return nil, err
	}
	return facts, f.final(m, facts)
}

// fitting is a training that a step looks after.
type fitting struct {
	step      *runtime.Step
	rows      *learnable
	adapter   *model.Adapter // nil: all of the model is trained
	base      string         // the model's name, for the adapter's files
	saveSteps int            // updates between checkpoints; 0: none
	shared    *runtime.Shared
	params    *model.Params
	options   train.Options
	trainer   *train.Trainer // nil if all was there already
	stopper   train.Stopper

	about     about
	decisions []string
	losses    []float64   // of the evaluations so far
	stopped   string      // "patience", "end"; "" while it goes on
	end       int         // the last update
	best      *train.Eval // nil: none yet
}

// about is what the facts say of the examples, kept with the trajectory.
type about struct {
	Rows     int `json:"rows"`
	Held     int `json:"validation_rows"`
	Left     int `json:"left_out"`
	PerEpoch int `json:"updates_per_epoch"`
}

// saveEvery bounds what a kill can cost.
const saveEvery = 15 * time.Second

func (f *fitting) statePath() string { return filepath.Join(f.shared.Dir, stateFile) }
func (f *fitting) aboutPath() string { return filepath.Join(f.shared.Dir, "about.json") }
func (f *fitting) bestPath(step int) string {
	return filepath.Join(f.shared.Dir, fmt.Sprintf("best-%d.safetensors", step))
}

// recall lets the stopping rule judge the evaluations that are there. It reports
// whether that is all: the rule stopped at one of them, or training had come to its end.
// A sweep's pruner judges them first.
func (f *fitting) recall(ctx context.Context) (over bool, err error) {
	past, err := train.ReadPast(f.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return false, errors.Join(f.shared.DropPoints(0), f.step.DropPoints(0))
	}
	if err != nil {
		return false, err
	}
	f.end = past.Step
	for _, e := range past.Evals {
		if f.judge(ctx, e).Stop || ctx.Err() != nil {
			f.end = e.Step
			break
		}
	}
	if ctx.Err() != nil {
		return false, errors.Join(context.Cause(ctx), f.copyPoints(f.end))
	}
	if f.stopped != "" && f.best == nil { // no evaluation was a number: the weights at the stop were not kept
		f.stopper = train.Stopper{Patience: f.stopper.Patience, MinDelta: f.stopper.MinDelta}
		f.decisions, f.losses, f.stopped, f.end = nil, nil, "", 0
		return false, errors.Join(os.Remove(f.statePath()), f.shared.DropPoints(0), f.step.DropPoints(0))
	}
	if err := f.copyPoints(f.end); err != nil {
		return false, err
	}
	if past.Done && f.stopped == "" && f.best != nil {
		f.stopped = "end"
	}
	if f.stopped == "" {
		return false, nil
	}
	b, err := os.ReadFile(f.aboutPath())
	if err == nil {
		err = json.Unmarshal(b, &f.about)
	}
	f.step.Log(fmt.Sprintf("%d updates found, none made", f.end))
	return true, err
}

// copyPoints gives the step the shared points up to update end.
func (f *fitting) copyPoints(end int) error {
	if err := f.step.DropPoints(0); err != nil {
		return err
	}
	names, err := f.shared.Series()
	if err != nil {
		return err
	}
	for _, name := range names {
		points, err := f.shared.Points(name)
		if err != nil {
			return err
		}
		for _, p := range points {
			if p.X <= int64(end) {
				f.step.Metric(name, p.X, p.V)
			}
		}
	}
	return nil
}

// judge asks the stopping rule, and the sweep's pruner, which may end ctx.
func (f *fitting) judge(ctx context.Context, e train.Eval) train.Verdict {
	f.losses = append(f.losses, e.Loss)
	sweep.Watching(ctx).Report(f.losses)
	v := f.stopper.Judge(e.Loss)
	f.decisions = append(f.decisions, v.Why)
	if v.Best {
		f.best = &e
	}
	if v.Stop {
		f.stopped = "patience"
	}
	return v
}

// train goes on from the state that is there, or from the beginning.
func (f *fitting) train(ctx context.Context) error {
	if err := f.resume(); err != nil {
		return err
	}
	saved, begun, computed := time.Now(), time.Now(), 0
	total := int64(f.trainer.Total())
	if f.adapter != nil {
		f.trainer.Hold(f.saveSteps)
	}
	for u, err := range f.trainer.Steps(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return errors.Join(err, f.save())
			}
			return err
		}
		computed += u.Rows
		f.record(u, float64(computed)/time.Since(begun).Seconds())
		f.step.Progress(int64(u.Step), total, "")
		stop := false
		if u.Eval != nil {
			v := f.judge(ctx, *u.Eval)
			f.step.Log(v.Why)
			if v.Best {
				if err := f.saveBest(u.Step); err != nil {
					return err
				}
			}
			stop = v.Stop || ctx.Err() != nil
		}
		if err := f.checkpoint(u.Step); err != nil {
			return err
		}
		if u.Eval != nil || f.trainer.Done() || time.Since(saved) > saveEvery {
			if err := f.save(); err != nil {
				return err
			}
			saved = time.Now()
		}
		if stop {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(err, f.save())
	}
	f.end = f.trainer.Step()
	if f.stopped == "" {
		f.stopped = "end"
	}
	return nil
}

// resume restores the state of an earlier training; the series lose what lies behind it.
func (f *fitting) resume() error {
	b, err := json.Marshal(f.about)
	if err == nil {
		err = os.WriteFile(f.aboutPath(), b, 0o644)
	}
	if err != nil {
		return err
	}
	st, err := train.ReadState(f.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.trainer.Restore(st)
	}
	if err != nil {
		return err
	}
	f.step.Log(fmt.Sprintf("going on after update %d", st.Step()))
	return errors.Join(f.shared.DropPoints(int64(st.Step())+1), f.step.DropPoints(int64(st.Step())+1))
}

// record writes an update's metrics, to the step and to the trajectory. The rate is
// shown and not kept: it is no function of the step's arguments.
func (f *fitting) record(u train.Update, rate float64) {
	x := int64(u.Step)
	metric := func(name string, v float64) {
		f.step.Metric(name, x, v)
		f.shared.Metric(name, x, v)
	}
	metric("train/loss", u.Loss)
	metric("train/grad_norm", u.GradNorm)
	metric("train/learning_rate", u.LR)
	metric("train/rows", float64(u.Rows))
	f.step.Show("train/tokens_per_second", x, rate)
	if u.Skipped {
		f.step.Warn(fmt.Sprintf("update %d skipped: loss or gradient is not finite; examples %v", u.Step, u.Bad))
	}
	if u.Eval != nil {
		metric("eval/loss", u.Eval.Loss)
		metric("eval/perplexity", u.Eval.Perplexity())
	}
}

// saveBest keeps the weights of an evaluation that was the best so far.
func (f *fitting) saveBest(step int) error {
	raw, err := safetensors.AppendF32(nil, "F32", f.trainer.BestWeights())
	if err != nil {
		return err
	}
	w := safetensors.Tensor{Name: "w", DType: "F32", Shape: []int{f.params.Len()}, Data: raw}
	return safetensors.WriteFile(f.bestPath(step), []safetensors.Tensor{w}, nil, nil)
}

// save writes the state after the metrics up to it are durable, so that a
// resumed series has no holes.
func (f *fitting) save() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.step.Store().Flush(ctx); err != nil {
		return err
	}
	st, err := f.trainer.State()
	if err != nil {
		return err
	}
	return st.WriteFile(f.statePath())
}

// keepBest puts the weights in place that the rule chose, and sees that they are these;
// without an evaluation that was a number, those of the last update stay.
func (f *fitting) keepBest(ctx context.Context) error {
	if f.best == nil {
		return nil
	}
	file, err := safetensors.Open(f.bestPath(f.best.Step))
	if err != nil {
		return err
	}
	defer file.Close()
	t, ok := file.Tensor("w")
	if !ok {
		return fmt.Errorf("%s: no weights in it: remove it and run the same command again", f.bestPath(f.best.Step))
	}
	w, err := t.F32()
	if err != nil {
		return err
	}
	if err := f.params.Write(w); err != nil || f.trainer == nil {
		return err
	}
	again, err := f.trainer.Evaluate(ctx)
	if err == nil && again.Loss != f.best.Loss {
		err = fmt.Errorf("the best weights, of update %d, had a loss of %v, and restored they have %v: the device does not repeat itself", f.best.Step, f.best.Loss, again.Loss)
	}
	return err
}

func (f *fitting) facts(ctx context.Context, a trainArgs) (Facts, error) {
	if err := f.step.Store().Flush(ctx); err != nil {
		return nil, err
	}
	rows, err := f.step.Store().Points(f.step.Key(), "train/rows")
	if err != nil {
		return nil, err
	}
	tokens := 0
	for _, p := range rows {
		tokens += int(p.V)
	}
	facts := Facts{
		"rows": f.about.Rows, "validation_rows": f.about.Held, "left_out": f.about.Left, "trainable": f.params.Len(), "stopped_step": f.end,
		"stopped": f.stopped, "patience": a.Patience, "eval_steps": a.EvalSteps, "decisions": f.decisions,
		"epochs": float64(f.end) / float64(f.about.PerEpoch), "tokens": tokens,
	}
	if f.best != nil {
		facts["best_step"], facts["best_eval_loss"] = f.best.Step, f.best.Loss
	}
	return facts, nil
}
