package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"

	"go.starlark.net/starlark"

	"starbook/builtins/sweep"
	"starbook/gpu/train"
	"starbook/runtime"
)

// What trainings share lies under this name; its state in this file.
const (
	trajectoryName = "trajectory"
	stateFile      = "state.safetensors"
)

// judged lets the pruner of a sweep look at every evaluation of a training, also of one that is
// found: what is pruned does not depend on what the store happens to hold.
func (f Func) judged() Func {
	call := f.call
	f.call = func(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		run, ctx, err := runtime.From(t)
		if err != nil || sweep.Watching(ctx) == nil {
			return call(h, t, args, kwargs)
		}
		w := sweep.Watching(ctx)
		w.Begin()
		v, err := call(h, t, args, kwargs)
		if err != nil {
			return nil, err
		}
		points, err := run.Store.Points(v.(Handle).Step, "eval/loss")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		losses := make([]float64, len(points))
		for i, p := range points {
			losses[i] = p.V
		}
		w.Report(losses)
		return v, context.Cause(ctx)
	}
	return f
}

// trajectoryOf returns the canonical arguments of a training, less those that only
// decide where it ends.
func trajectoryOf(args any) json.RawMessage {
	v := reflect.ValueOf(args)
	var spec []Arg
	for _, a := range argsOf(v.Type()) {
		if !a.stop {
			spec = append(spec, a)
		}
	}
	b, err := new(canon).args(spec, v)
	if err != nil {
		panic(err) // the step's own fingerprint went well with more of them
	}
	return b
}

func (a loraTrainArgs) begun(run *runtime.Run, s runtime.Spec) (words string, all bool) {
	return a.updates(run.Sharing(s, trajectoryName, trajectoryOf(a)))
}

func (a modelTrainArgs) begun(run *runtime.Run, s runtime.Spec) (words string, all bool) {
	return a.updates(run.Sharing(s, trajectoryName, trajectoryOf(a)))
}

// updates says how many updates of a training lie in a trajectory's directory, and whether
// the stopping rule needs no more.
func (a *trainArgs) updates(dir string) (words string, all bool) {
	past, err := train.ReadPast(filepath.Join(dir, stateFile))
	if err != nil || dir == "" { // then fit finds nothing either, or says what is wrong
		return "", false
	}
	rule := train.Stopper{Patience: a.Patience, MinDelta: a.MinDelta}
	kept := false // the weights of an evaluation
	for _, e := range past.Evals {
		v := rule.Judge(e.Loss)
		kept = kept || v.Best
		if v.Stop {
			return fmt.Sprintf("all %d updates are there", e.Step), kept
		}
	}
	if past.Done && kept {
		return fmt.Sprintf("all %d updates are there", past.Step), true
	}
	return fmt.Sprintf("%d updates are there", past.Step), false
}
