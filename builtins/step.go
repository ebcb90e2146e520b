package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

// Func is a built-in.
type Func struct {
	Name string // "lora.train"
	Doc  string // a sentence, then what else there is to know
	Args []Arg
	Step bool // remembered by fingerprint; otherwise it runs every time

	steps   []string // other steps that a call does, in order
	outside bool     // it changes files: a plan does not call it
	args    reflect.Type
	// results is how many values a call with these arguments returns; nil: one
	results func(args map[string]starlark.Value) int

	call func(*Host, *starlark.Thread, starlark.Tuple, []starlark.Tuple) (starlark.Value, error)
}

// checker is an args struct that can tell, before anything is spent, that its
// values make no sense together. It may also normalise them.
type checker interface{ check() error }

// finisher is an args struct of a step that can end the notebook instead, with a
// *runtime.Finished.
type finisher interface {
	finish(h *Host, run *runtime.Run) error
}

// begun is an args struct whose step may find work of other steps.
type begun interface {
	// begun says, for a plan, how much of the work is there, and whether that is all.
	begun(run *runtime.Run, s runtime.Spec) (words string, all bool)
}

// Call is what a built-in that is not a step may use.
type Call struct {
	Name   string
	Host   *Host
	Run    *runtime.Run
	Thread *starlark.Thread
}

// plain makes a Func of fn, which runs on every call. A is its args struct.
func plain[A any](name, doc string, fn func(context.Context, *Call, A) (starlark.Value, error)) Func {
	spec := argsOf(reflect.TypeFor[A]())
	return Func{Name: name, Doc: doc, Args: spec, args: reflect.TypeFor[A](), call: func(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		run, ctx, err := runtime.From(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		a, err := unpack[A](name, spec, args, kwargs)
		if err != nil {
			return nil, err
		}
		v, err := fn(ctx, &Call{Name: name, Host: h, Run: run, Thread: t}, a)
		var step *runtime.StepError
		if errors.As(err, &step) {
			return nil, fmt.Errorf("%w", err) // it says its name; wrapped, so that this call is among the frames
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return v, nil
	}}
}

// step makes a Func whose result is remembered: work runs only if no step with
// this name, version and arguments has been done. Raise version when work
// means something else than before.
func step[A any](name string, version int, needs runtime.Resource, doc string,
	work func(context.Context, *Host, *runtime.Step, A) (runtime.Artifact, error),
) Func {
	spec := argsOf(reflect.TypeFor[A]())
	return Func{Name: name, Doc: doc, Args: spec, Step: true, args: reflect.TypeFor[A](), call: func(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		run, ctx, err := runtime.From(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		a, err := unpack[A](name, spec, args, kwargs)
		if err != nil {
			return nil, err
		}
		return do(ctx, h, run, t, name, version, needs, a, work)
	}}
}

// do returns what a step makes of its arguments, found or worked.
func do[A any](ctx context.Context, h *Host, run *runtime.Run, t *starlark.Thread, name string, version int, needs runtime.Resource, a A,
	work func(context.Context, *Host, *runtime.Step, A) (runtime.Artifact, error),
) (starlark.Value, error) {
	spec, v := argsOf(reflect.TypeFor[A]()), reflect.ValueOf(&a).Elem()
	if err := h.resolve(ctx, run.Store, spec, v); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := canon{syntax: run.Syntax}
	canonical, err := c.args(spec, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s := runtime.Spec{Name: name, Version: version, Args: canonical, Inputs: c.inputs, Needs: needs}
	s.Cell, s.Line = run.Place(t)
	if len(c.unknown) > 0 {
		return nil, &runtime.Missing{After: []*runtime.Planned{run.Planning().Dependent(s, c.unknown)}}
	}
	if f, ok := any(&a).(finisher); ok {
		if err := f.finish(h, run); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	art, err := run.Do(ctx, s, func(ctx context.Context, s *runtime.Step) (runtime.Artifact, error) {
		return work(ctx, h, s, a)
	})
	var missing *runtime.Missing
	if b, ok := any(a).(begun); ok && errors.As(err, &missing) {
		missing.After[0].Begun, missing.After[0].Ready = b.begun(run, s)
	}
	if err != nil {
		return nil, err
	}
	return h.Handle(art), nil
}

// unpack reads a call into an args struct and checks it.
func unpack[A any](name string, spec []Arg, args starlark.Tuple, kwargs []starlark.Tuple) (a A, err error) {
	if err := bind(name, spec, reflect.ValueOf(&a).Elem(), args, kwargs); err != nil {
		return a, err
	}
	if c, ok := any(&a).(checker); ok {
		if err := c.check(); err != nil {
			return a, fmt.Errorf("%s: %w", name, err)
		}
	}
	return a, nil
}

// value returns f as a script calls it.
func (f Func) value(h *Host) *starlark.Builtin {
	return starlark.NewBuiltin(f.Name, func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f.invoke(h, t, args, kwargs)
	})
}

// bind returns f as a method of recv, its first argument.
func (f Func) bind(h *Host, recv starlark.Value) *starlark.Builtin {
	b := starlark.NewBuiltin(f.Name, func(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		return f.invoke(h, t, append(starlark.Tuple{b.Receiver()}, args...), kwargs)
	})
	return b.BindReceiver(recv)
}

// does says which steps a call does, in order, for plans.
func (f Func) does(steps ...string) Func { f.steps = steps; return f }

// acts says that a call changes files outside the store, which a plan does not.
func (f Func) acts() Func { f.outside = true; return f }

// method is the name without its module.
func (f Func) method() string { return f.Name[strings.LastIndexByte(f.Name, '.')+1:] }

// summary makes the summary of an artifact.
func summary(facts any) json.RawMessage {
	b, err := json.Marshal(facts)
	if err != nil { // facts are numbers, strings and lists of ours
		return json.RawMessage("{}")
	}
	return b
}
