package builtins

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/builtins/sweep"
	"starbook/runtime"
	"starbook/runtime/event"
)

func sweepModule() Module {
	return Module{
		Name: "sweep",
		Doc: "Trials of a function with other settings each. Steps that trials have in common are done once; a killed sweep goes on\n" +
			"with the same proposals. From the command line: starbook sweep.",
		Funcs: []Func{sweepGrid(), sweepRandom(), sweepTPE(), sweepRange()},
	}
}

// sweepArgs are common to all samplers.
type sweepArgs struct {
	Fn       starlark.Callable `arg:"fn" doc:"called with the settings by name; returns a number, or scores, whose pass rate counts"`
	Minimize bool              `arg:"minimize=false" doc:"a smaller value is better, as of a loss"`
	Jobs     int               `arg:"jobs=1" doc:"trials at a time; they still share the GPU in turns. Where trials learn from each other, 4 at most"`
	Prune    string            `arg:"prune=" doc:"median or asha: end trials whose validation losses are worse than those of earlier ones; see below"`
	Title    string            `arg:"title=" doc:"the question, for the report"`
	Space    []starlark.Tuple  `arg:"**space" doc:"the settings to vary: lr = [1e-4, 1e-3], or a sweep.range"`
}

type randomArgs struct {
	sweepArgs
	Trials int   `arg:"trials=20" doc:"how many; fewer if the settings have fewer combinations"`
	Sample int64 `arg:"sampler_seed=1" doc:"of the proposals"`
}

const sweepResult = "\nReturns a struct: trials, in order, and best, each with its settings by name and .value; a trial that failed has .error\n" +
	"and the value None, one that was pruned has .pruned, which says why. A failed trial does not end the sweep.\n" +
	"prune judges each evaluation of a trial's trainings by the best loss so far: median ends a trial that is worse than the median\n" +
	"of at least 4 earlier trials there, after a warm-up of 1 evaluation (median:WARMUP); asha lets the best third pass\n" +
	"evaluation 1, 3, 9, … (asha:ETA:FIRST). A trial knows all but the last 3 before it, whatever jobs says, so that jobs changes\n" +
	"nothing. What was trained stays: the same training without prune goes on from there."

func sweepGrid() Func {
	return plain("sweep.grid", "Tries every combination of the settings, the last one varying fastest."+sweepResult,
		func(ctx context.Context, c *Call, a sweepArgs) (starlark.Value, error) {
			space, err := spaceOf(a.Space)
			if err != nil {
				return nil, err
			}
			if space.Size() == 0 {
				return nil, errors.New("a grid needs lists: a range has no end of values, use sweep.random or sweep.tpe")
			}
			return c.sweep(ctx, a, space, sweep.Grid{Space: space})
		})
}

func sweepRandom() Func {
	return plain("sweep.random", "Tries combinations drawn at random."+sweepResult,
		func(ctx context.Context, c *Call, a randomArgs) (starlark.Value, error) {
			space, err := spaceOf(a.Space)
			if err != nil {
				return nil, err
			}
			return c.sweep(ctx, a.sweepArgs, space, sweep.Random{Space: space, Trials: a.Trials, Seed: uint64(a.Sample)})
		})
}

func sweepTPE() Func {
	return plain("sweep.tpe", "Tries combinations that are likely among the good trials so far: the tree-structured Parzen estimator.\n"+
		"The first ten are random. A trial knows all but the last 3 before it."+sweepResult,
		func(ctx context.Context, c *Call, a randomArgs) (starlark.Value, error) {
			space, err := spaceOf(a.Space)
			if err != nil {
				return nil, err
			}
			return c.sweep(ctx, a.sweepArgs, space, sweep.TPE{Space: space, Trials: a.Trials, Seed: uint64(a.Sample), Maximize: !a.Minimize})
		})
}

type rangeArgs struct {
	Low   float64 `arg:"low" doc:"smallest value"`
	High  float64 `arg:"high" doc:"largest value"`
	Log   bool    `arg:"log=false" doc:"equal steps are equal factors, as of a learning rate"`
	Whole bool    `arg:"whole=false" doc:"whole numbers only"`
}

func sweepRange() Func {
	return plain("sweep.range", "Returns a range of numbers for a setting of sweep.random or sweep.tpe.",
		func(_ context.Context, _ *Call, a rangeArgs) (starlark.Value, error) {
			d := sweep.Dimension{Low: a.Low, High: a.High, Log: a.Log, Whole: a.Whole}
			return sweepSpan{d}, sweep.Space{d}.Check()
		})
}

// sweepSpan is what sweep.range returns.
type sweepSpan struct{ sweep.Dimension }

var _ starlark.Value = sweepSpan{}

// String implements starlark.Value.
func (s sweepSpan) String() string { return fmt.Sprintf("<range %g to %g>", s.Low, s.High) }

// Type implements starlark.Value.
func (s sweepSpan) Type() string { return "range of a sweep" }

// Freeze implements starlark.Value.
func (s sweepSpan) Freeze() {}

// Truth implements starlark.Value.
func (s sweepSpan) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (s sweepSpan) Hash() (uint32, error) { return 0, errors.New("a range of a sweep has no hash") }

// spaceOf reads the settings of a call.
func spaceOf(named []starlark.Tuple) (sweep.Space, error) {
	var space sweep.Space
	for _, kv := range named {
		name := string(kv[0].(starlark.String))
		if span, ok := kv[1].(sweepSpan); ok {
			span.Name = name
			space = append(space, span.Dimension)
			continue
		}
		list, ok := kv[1].(starlark.Sequence)
		if !ok {
			return nil, fmt.Errorf("%s: got %s, want a list of values or a sweep.range", name, kv[1].Type())
		}
		d := sweep.Dimension{Name: name, Choices: []any{}}
		for v := range starlark.Elements(list) {
			choice, err := choiceOf(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			d.Choices = append(d.Choices, choice)
		}
		space = append(space, d)
	}
	return space, space.Check()
}

func choiceOf(v starlark.Value) (any, error) {
	switch v := v.(type) {
	case starlark.Bool:
		return bool(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Float:
		return float64(v), nil
	case starlark.Int:
		if n, ok := v.Int64(); ok {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s cannot be a setting: want a bool, int, float or string", v)
}

// setting is the inverse of choiceOf.
func setting(v any) starlark.Value {
	switch v := v.(type) {
	case bool:
		return starlark.Bool(v)
	case int64:
		return starlark.MakeInt64(v)
	case float64:
		return starlark.Float(v)
	case string:
		return starlark.String(v)
	}
	return starlark.None
}

// sweep runs the trials on threads of their own, tells how they went, and returns them.
func (c *Call) sweep(ctx context.Context, a sweepArgs, space sweep.Space, s sweep.Sampler) (starlark.Value, error) {
	if fn, ok := a.Fn.(*starlark.Function); ok { // several threads will read what it reaches
		if _, err := (&canon{syntax: c.Run.Syntax}).function(fn); err != nil {
			return nil, err
		}
	}
	a.Fn.Freeze()
	pruner, err := sweep.ParsePruner(a.Prune)
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	search := sweep.Search{Sampler: s, Pruner: pruner}
	data := event.SweepData{Title: a.Title, Objective: "value", Minimize: a.Minimize}
	for _, d := range space {
		data.Names = append(data.Names, d.Name)
	}
	var over atomic.Int64
	var missing atomic.Pointer[runtime.Missing] // in a plan: a trial whose value is not known
	_, learns := s.(sweep.TPE)
	trials, err := search.Run(ctx, a.Jobs, func(ctx context.Context, i int, p sweep.Point) (x float64, result any, err error) {
		if m := missing.Load(); m != nil && learns {
			return 0, nil, m // nor is what the next one would be
		}
		v, err := c.try(ctx, a.Fn, data.Names, i, p)
		if u, ok := v.(unknown); ok {
			missing.CompareAndSwap(nil, &runtime.Missing{After: u.after})
			return 0, nil, missing.Load()
		}
		if err == nil {
			x, err = objective(v)
		}
		c.tell(int(over.Add(1)), i, data.Names, p, x, err)
		return x, v, err
	})
	if err != nil {
		return nil, err
	}
	if m := missing.Load(); m != nil {
		return nil, m
	}
	failed := 0
	for _, t := range trials {
		data.Trials = append(data.Trials, trialData(t))
		if t.Failed {
			failed++
		} else if _, ok := t.Result.(Handle); ok {
			data.Objective = "pass rate"
		}
	}
	if err := c.show(event.Sweep, "", data); err != nil {
		return nil, err
	}
	if len(trials) > 0 && failed == len(trials) {
		return nil, fmt.Errorf("all %d trials failed; the first: %w", failed, trials[0].Err)
	}
	return sweepValue(data, sweep.Best(trials, a.Minimize)), nil
}

// try calls fn with the settings of trial i.
func (c *Call) try(ctx context.Context, fn starlark.Callable, names []string, i int, p sweep.Point) (starlark.Value, error) {
	t, stop := c.Run.Fork(ctx, c.Thread, fmt.Sprintf("trial %d", i+1))
	defer stop()
	kwargs := make([]starlark.Tuple, len(p))
	for k, v := range p {
		kwargs[k] = starlark.Tuple{starlark.String(names[k]), setting(v)}
	}
	return starlark.Call(t, fn, nil, kwargs)
}

// objective is the number that a trial's result stands for.
func objective(v starlark.Value) (float64, error) {
	if h, ok := v.(Handle); ok && h.Kind == "scores" {
		rate, err := h.Attr("pass_rate")
		if err != nil {
			return 0, err
		}
		v = rate
	}
	x, ok := starlark.AsFloat(v)
	switch {
	case !ok:
		return 0, fmt.Errorf("fn returned a %s, want a number or scores", v.Type())
	case math.IsNaN(x) || math.IsInf(x, 0):
		return 0, fmt.Errorf("fn returned %v, which is no finite number", x)
	}
	return x, nil
}

// tell logs how a trial ended.
func (c *Call) tell(over, i int, names []string, p sweep.Point, x float64, err error) {
	text := fmt.Sprintf("trial %d (%d over): %s → ", i+1, over, settings(names, p))
	e := event.Event{Kind: event.Log, Text: text + fmt.Sprintf("%.6g", x)}
	var pruned *runtime.Pruned
	switch {
	case errors.As(err, &pruned):
		e.Text = text + pruned.Error()
	case err != nil:
		e = event.Event{Kind: event.Warn, Text: text + "failed: " + err.Error()}
	}
	c.Run.Emit(c.Thread, e)
}

// settings writes lr=0.001 patience=2.
func settings(names []string, p sweep.Point) string {
	words := make([]string, len(p))
	for k, v := range p {
		words[k] = fmt.Sprintf("%s=%v", names[k], v)
	}
	return strings.Join(words, " ")
}

func trialData(t sweep.Outcome) event.SweepTrial {
	out := event.SweepTrial{Values: t.Point, Pruned: t.Pruned}
	if t.Failed {
		out.Error = t.Err.Error()
	}
	if !t.Valued() {
		return out
	}
	out.Value = &t.Value
	if h, ok := t.Result.(Handle); ok {
		s := side(h)
		out.N, out.Passed = s.N, s.Passed
	}
	return out
}

// sweepValue is a sweep as the script sees it; best is the index of the best trial, or -1.
func sweepValue(data event.SweepData, best int) starlark.Value {
	trials := make([]starlark.Value, len(data.Trials))
	for i, t := range data.Trials {
		fields := starlark.StringDict{"value": starlark.None, "error": starlark.String(t.Error), "pruned": starlark.String(t.Pruned)}
		for k, name := range data.Names {
			fields[name] = setting(t.Values[k])
		}
		if t.Value != nil {
			fields["value"] = starlark.Float(*t.Value)
		}
		trials[i] = starlarkstruct.FromStringDict(starlark.String("trial"), fields)
	}
	fields := starlark.StringDict{"trials": starlark.NewList(trials), "best": starlark.None}
	if best >= 0 {
		fields["best"] = trials[best]
	}
	return starlarkstruct.FromStringDict(starlark.String("sweep"), fields)
}
