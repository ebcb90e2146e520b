package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

// invoke calls f, or in a plan only says what it would do.
func (f Func) invoke(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	if run, ctx, err := runtime.From(t); err == nil && run.Planning() != nil {
		return f.foresee(ctx, h, run, t, args, kwargs)
	}
	return f.call(h, t, args, kwargs)
}

// foresee is a call in a plan. A built-in whose arguments are known is called, and finds the
// result of its step or not; one that would change something outside the store is not.
func (f Func) foresee(ctx context.Context, h *Host, run *runtime.Run, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var after []*runtime.Planned
	steps := f.steps
	if f.Step {
		steps = []string{f.Name}
	}
	unclear := unknownIn(args)
	for _, kv := range kwargs {
		unclear = append(unclear, unknownIn(kv)...)
	}
	cell, line := run.Place(t)
	out := unknown{host: h, plan: run.Planning(), what: fmt.Sprintf("%s (line %d)", f.Name, line)}
	if len(unclear) == 0 && !f.outside {
		v, err := f.call(h, t, args, kwargs)
		var missing *runtime.Missing
		if !errors.As(err, &missing) {
			return v, err
		}
		after = missing.After
		if len(after) > 0 { // what f does after the step that is missing
			steps = steps[slices.Index(steps, after[0].Name)+1:]
		}
		if f.Step {
			steps = nil
		}
	}
	for i, u := range unclear {
		after = append(after, u.after...)
		out.what += []string{" of ", ", "}[min(i, 1)] + u.what
	}
	out.after = distinct(after)
	if len(steps) > 0 {
		known, err := f.known(ctx, h, run, args, kwargs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		for _, name := range steps {
			s := run.Planning().Dependent(runtime.Spec{Name: name, Args: known, Cell: cell, Line: line}, out.after)
			out.after = []*runtime.Planned{s}
		}
	}
	if (f.Step || len(f.steps) > 0) && len(out.after) > 0 {
		last := out.after[len(out.after)-1]
		out.what = fmt.Sprintf("%s #%d", runtime.Names(out.after[len(out.after)-1:]), last.Seq)
	}
	if f.results == nil {
		return out, nil
	}
	var all starlark.Tuple
	for i := range f.results(f.named(args, kwargs)) {
		all = append(all, out.derived(fmt.Sprintf("%s[%d]", out.what, i)))
	}
	return all, nil
}

// named returns the arguments of a call by name.
func (f Func) named(args starlark.Tuple, kwargs []starlark.Tuple) map[string]starlark.Value {
	out := map[string]starlark.Value{}
	for i, v := range args {
		if i < len(f.Args) && !f.Args[i].Rest {
			out[f.Args[i].Name] = v
			continue
		}
		for _, a := range f.Args {
			if a.Rest {
				out[a.Name] = args[i:]
			}
		}
		break
	}
	for _, kv := range kwargs {
		out[string(kv[0].(starlark.String))] = kv[1]
	}
	return out
}

// known returns the arguments of a call in their canonical form, and where they are not
// known {"unknown": "…"} in their place.
func (f Func) known(ctx context.Context, h *Host, run *runtime.Run, args starlark.Tuple, kwargs []starlark.Tuple) (json.RawMessage, error) {
	v := reflect.New(f.args).Elem()
	c := canon{syntax: run.Syntax}
	given := f.named(args, kwargs)
	out := map[string]json.RawMessage{}
	var spec []Arg
	for _, a := range f.Args {
		x, ok := given[a.Name]
		if ok && len(unknownIn(x)) > 0 {
			if a.Unhashed {
				continue
			}
			b, err := c.value(x, false)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", a.Name, err)
			}
			out[a.Name] = b
			continue
		}
		if !ok && !f.Step {
			continue // it is for one of several steps, which may have another default
		}
		err := setDefault(v.FieldByIndex(a.field), a)
		if ok && err == nil {
			err = setArg(v.FieldByIndex(a.field), a, x)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		spec = append(spec, a)
	}
	if err := h.resolve(ctx, run.Store, spec, v); err != nil {
		return nil, err
	}
	b, err := c.args(spec, v)
	if err != nil {
		return nil, err
	}
	rest := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &rest); err != nil {
		return nil, err
	}
	for name, b := range rest {
		out[name] = b
	}
	return json.Marshal(out)
}
