package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"starbook/runtime"
	"starbook/runtime/event"
)

type paramArgs struct {
	Name    string         `arg:"name" doc:"what -p calls it"`
	Default starlark.Value `arg:"default" doc:"its value without -p; gives the type: bool, int, float, string, or a list of one of them"`
	Doc     string         `arg:"doc=" doc:"a line for whoever wants to set it"`
}

func paramFunc() Func {
	return plain("param", "Declares a setting of the notebook and returns its value.\n"+
		"Set it with -p name=value; a list is written with commas. Declare settings before the first step.",
		func(_ context.Context, c *Call, a paramArgs) (starlark.Value, error) {
			if a.Name == "" || strings.ContainsAny(a.Name, "= \t\n") {
				return nil, fmt.Errorf("%q is no name for a setting", a.Name)
			}
			v := a.Default
			if _, err := settable(v); err != nil {
				return nil, fmt.Errorf("%s: %w", a.Name, err)
			}
			if s, ok := c.Run.ParamText(a.Name); ok {
				var err error
				if v, err = parseParam(s, a.Default); err != nil {
					return nil, runtime.Usage(fmt.Errorf("-p %s=%s: %w", a.Name, s, err))
				}
			}
			value, err := toJSON(v)
			if err != nil {
				return nil, err
			}
			def, err := toJSON(a.Default)
			if err != nil {
				return nil, err
			}
			return v, c.Run.Declare(a.Name, runtime.Param{Value: value, Default: def, Doc: a.Doc})
		})
}

// settable returns the type that a default gives.
func settable(v starlark.Value) (string, error) {
	switch v := v.(type) {
	case starlark.Bool, starlark.Int, starlark.Float, starlark.String:
		return v.Type(), nil
	case *starlark.List:
		if v.Len() == 0 {
			return "", errors.New("an empty list has no type: give it an element")
		}
		first, err := settable(v.Index(0))
		if err != nil || strings.HasPrefix(first, "list") {
			return "", errors.New("want a list of bool, int, float or string")
		}
		return "list of " + first, nil
	}
	return "", fmt.Errorf("a %s cannot be set with -p: want a bool, int, float, string or a list of them", v.Type())
}

// parseParam reads what -p said, in the type of the default.
func parseParam(s string, like starlark.Value) (starlark.Value, error) {
	switch like := like.(type) {
	case starlark.String:
		return starlark.String(s), nil
	case starlark.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, errors.New("want true or false")
		}
		return starlark.Bool(b), nil
	case starlark.Int:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("want a whole number")
		}
		return starlark.MakeInt64(n), nil
	case starlark.Float:
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || x-x != 0 {
			return nil, errors.New("want a number")
		}
		return starlark.Float(x), nil
	case *starlark.List:
		var items []starlark.Value
		for part := range strings.SplitSeq(s, ",") {
			v, err := parseParam(strings.TrimSpace(part), like.Index(0))
			if err != nil {
				return nil, err
			}
			items = append(items, v)
		}
		return starlark.NewList(items), nil
	}
	return nil, fmt.Errorf("a %s cannot be set", like.Type())
}

// Secret is a value of the environment that a script can hand on but not see:
// it prints as its name, and no record of the run contains it.
type Secret struct {
	name  string
	value string
}

var (
	_ starlark.Value = Secret{}
	_ Canonical      = Secret{}
)

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.value }

// String implements starlark.Value.
func (s Secret) String() string { return "<secret " + s.name + ">" }

// GoString keeps the value out of %#v.
func (s Secret) GoString() string { return s.String() }

// Type implements starlark.Value.
func (s Secret) Type() string { return "secret" }

// Freeze implements starlark.Value.
func (s Secret) Freeze() {}

// Truth implements starlark.Value: whether it is set.
func (s Secret) Truth() starlark.Bool { return s.value != "" }

// Hash implements starlark.Value.
func (s Secret) Hash() (uint32, error) { return 0, errors.New("a secret has no hash") }

// Canonical implements Canonical. Who asks does not change the answer, so only
// the name counts.
func (s Secret) Canonical() (json.RawMessage, error) {
	return json.Marshal(map[string]string{"secret": s.name})
}

type secretArgs struct {
	Name     string `arg:"name" doc:"variable of the environment: \"OPENAI_API_KEY\""`
	Optional bool   `arg:"optional=false" doc:"an unset variable is an empty secret, not an error"`
}

func secretFunc() Func {
	return plain("secret", "Returns a key from the environment, as a value that is never shown or stored.",
		func(_ context.Context, c *Call, a secretArgs) (starlark.Value, error) {
			v := c.Host.env(a.Name)
			if v == "" && !a.Optional {
				return nil, fmt.Errorf("%s is not set: export %s=…", a.Name, a.Name)
			}
			c.Run.Secret(v)
			return Secret{a.Name, v}, nil
		})
}

type assertArgs struct {
	OK      bool   `arg:"ok" doc:"what must hold: after.pass_rate >= 0.8"`
	Message string `arg:"message" doc:"the bar, in words"`
}

func assertFunc() Func {
	return plain("assert_", "Records whether a bar was met. If one was not, the notebook still runs to its end, and exits with 4.",
		func(_ context.Context, c *Call, a assertArgs) (starlark.Value, error) {
			c.Run.Bar(a.OK)
			e := event.Event{Kind: event.Bar, Name: a.Message}
			if a.OK {
				e.Value = 1
			}
			c.Run.Emit(c.Thread, e)
			return starlark.None, nil
		})
}
