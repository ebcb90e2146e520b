package builtins

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"starbook/runtime"
)

// unknown stands, in a plan, for what a step that is not done would return. A script can
// hand it on, take attributes of it, calculate with it, compare and print it; the plan ends
// where it has to know it.
type unknown struct {
	host  *Host
	plan  *runtime.Plan
	what  string // "lora.train (line 40) #7.best_step": equal for equal values
	after []*runtime.Planned
}

var (
	_ starlark.HasAttrs  = unknown{}
	_ starlark.HasBinary = unknown{}
	_ starlark.HasUnary  = unknown{}
	_ starlark.Callable  = unknown{}
	_ starlark.Mapping   = unknown{}
)

// serial is the number of a step in the plan, which is for telling values apart.
var serial = regexp.MustCompile(` #[0-9]+`)

// halt ends the plan.
func (u unknown) halt() { u.plan.Halt(serial.ReplaceAllString(u.what, "")) }

// derived is what comes of u, and of others.
func (u unknown) derived(what string, others ...unknown) unknown {
	after := slices.Clone(u.after)
	for _, o := range others {
		after = append(after, o.after...)
	}
	return unknown{u.host, u.plan, strings.ReplaceAll(what, mark, ""), distinct(after)}
}

// String implements starlark.Value. A string that is made of it is known by its mark.
func (u unknown) String() string { return mark + u.what + mark }

// mark stands around an unknown in a string: a noncharacter, which no text contains.
const mark = "\ufdd0"

// Type implements starlark.Value. The interpreter asks for it to compare values and to say
// what is wrong with them, and a script to decide: all of them need the value.
func (u unknown) Type() string { u.halt(); return "unknown" }

// Truth implements starlark.Value: a script that asks for it is about to decide.
func (u unknown) Truth() starlark.Bool { u.halt(); return false }

// Hash implements starlark.Value.
func (u unknown) Hash() (uint32, error) { u.halt(); return 0, errors.New("not known yet") }

// Freeze implements starlark.Value.
func (u unknown) Freeze() {}

// Attr implements starlark.HasAttrs.
func (u unknown) Attr(name string) (starlark.Value, error) {
	return u.derived(u.what + "." + name), nil
}

// AttrNames implements starlark.HasAttrs.
func (u unknown) AttrNames() []string { return nil }

// Get implements starlark.Mapping.
func (u unknown) Get(k starlark.Value) (starlark.Value, bool, error) {
	return u.derived(fmt.Sprintf("%s[%s]", u.what, k), unknownIn(k)...), true, nil
}

// Binary implements starlark.HasBinary.
func (u unknown) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	what := fmt.Sprintf("(%s %s %s)", u.what, op, y)
	if side == starlark.Right {
		what = fmt.Sprintf("(%s %s %s)", y, op, u.what)
	}
	return u.derived(what, unknownIn(y)...), nil
}

// Unary implements starlark.HasUnary.
func (u unknown) Unary(op syntax.Token) (starlark.Value, error) {
	return u.derived(fmt.Sprintf("(%s %s)", op, u.what)), nil
}

// Name implements starlark.Callable.
func (u unknown) Name() string { return u.what }

// CallInternal implements starlark.Callable: a method of a result, which may be a step.
func (u unknown) CallInternal(t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	owner, method := u.what, ""
	if i := strings.LastIndexByte(u.what, '.'); i >= 0 {
		owner, method = u.what[:i], u.what[i+1:]
	}
	run, ctx, err := runtime.From(t)
	if err != nil {
		return nil, err
	}
	for _, kind := range u.host.Kinds() {
		for _, f := range kind.Methods {
			if f.method() == method {
				recv := u.derived(owner)
				return f.foresee(ctx, u.host, run, t, append(starlark.Tuple{recv}, args...), kwargs)
			}
		}
	}
	return u.derived(fmt.Sprintf("%s%s", u.what, args), unknownIn(args)...), nil
}

// unknownIn returns what is unknown in a value that a script hands to a built-in. What a
// function captures is found when it is fingerprinted.
func unknownIn(v starlark.Value) []unknown { return lookFor(v, 0) }

func lookFor(v starlark.Value, depth int) (found []unknown) {
	if depth > maxDepth {
		return nil
	}
	switch v := v.(type) {
	case unknown:
		return []unknown{v}
	case starlark.String:
		if strings.Contains(string(v), mark) {
			return []unknown{{what: strings.ReplaceAll(string(v), mark, "")}}
		}
	case *starlark.Dict:
		for _, kv := range v.Items() {
			found = append(found, lookFor(kv[0], depth+1)...)
			found = append(found, lookFor(kv[1], depth+1)...)
		}
	case *starlarkstruct.Struct:
		for _, name := range v.AttrNames() {
			if x, err := v.Attr(name); err == nil {
				found = append(found, lookFor(x, depth+1)...)
			}
		}
	case *starlark.List, starlark.Tuple, *starlark.Set:
		for x := range starlark.Elements(v.(starlark.Iterable)) {
			found = append(found, lookFor(x, depth+1)...)
		}
	}
	return found
}

func distinct(steps []*runtime.Planned) []*runtime.Planned {
	var out []*runtime.Planned
	for _, s := range steps {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// operators returns what a plan calls in place of the operators that look at values: where
// one is unknown, so is the answer.
func (h *Host) operators() starlark.StringDict {
	out := starlark.StringDict{}
	for _, op := range runtime.Seen {
		out[op.String()] = starlark.NewBuiltin(op.String(), func(t *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			x, y := args[0], args[1]
			if found := unknownIn(args); len(found) > 0 {
				run, _, err := runtime.From(t)
				if err != nil {
					return nil, err
				}
				return unknown{host: h, plan: run.Planning()}.derived(fmt.Sprintf("(%s %s %s)", x, op, y), found...), nil
			}
			switch op {
			case syntax.IN, syntax.NOT_IN, syntax.PERCENT:
				return starlark.Binary(op, x, y)
			}
			ok, err := starlark.Compare(op, x, y)
			return starlark.Bool(ok), err
		})
	}
	return out
}

// Foreseeing returns the names that a notebook starts with whose plan is made.
func (h *Host) Foreseeing() starlark.StringDict {
	out := h.operators()
	maps.Copy(out, h.Predeclared())
	out.Freeze()
	return out
}
