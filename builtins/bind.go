package builtins

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

// bind fills dst, a struct, from a call of name.
func bind(name string, spec []Arg, dst reflect.Value, args starlark.Tuple, kwargs []starlark.Tuple) error {
	set := make([]bool, len(spec))
	for i, a := range spec {
		if err := setDefault(dst.FieldByIndex(a.field), a); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if a.Rest {
			rest := args[min(i, len(args)):]
			args = args[:min(i, len(args))]
			set[i] = true
			if err := setArg(dst.FieldByIndex(a.field), a, rest); err != nil {
				return fmt.Errorf("%s: %s: %w", name, a.Name, err)
			}
		}
	}
	if len(args) > len(spec) {
		return fmt.Errorf("%s: got %d arguments, want at most %d: %s", name, len(args), len(spec), signature(name, spec))
	}
	for i, v := range args {
		if spec[i].Named {
			return fmt.Errorf("%s: got %d arguments without a name: %s", name, len(args), signature(name, spec))
		}
		set[i] = true
		if err := setArg(dst.FieldByIndex(spec[i].field), spec[i], v); err != nil {
			return fmt.Errorf("%s: %s: %w", name, spec[i].Name, err)
		}
	}
	if i := slices.IndexFunc(spec, func(a Arg) bool { return a.Named }); i >= 0 {
		set[i] = true
		kwargs = takeNamed(spec, i, dst, kwargs)
	}
	if err := bindNamed(name, spec, set, dst, kwargs); err != nil {
		return err
	}
	for i, a := range spec {
		if a.Required && !set[i] {
			return fmt.Errorf("%s: missing argument %s (%s): see starbook doc %s", name, a.Name, a.Doc, name)
		}
	}
	return nil
}

func bindNamed(name string, spec []Arg, set []bool, dst reflect.Value, kwargs []starlark.Tuple) error {
	for _, kv := range kwargs {
		key := string(kv[0].(starlark.String))
		i := slices.IndexFunc(spec, func(a Arg) bool { return a.Name == key && !a.Rest })
		if i < 0 {
			return fmt.Errorf("%s: unexpected argument %s%s", name, key, didYouMean(key, argNames(spec)))
		}
		if set[i] {
			return fmt.Errorf("%s: got %s twice", name, key)
		}
		set[i] = true
		if err := setArg(dst.FieldByIndex(spec[i].field), spec[i], kv[1]); err != nil {
			return fmt.Errorf("%s: %s: %w", name, key, err)
		}
	}
	return nil
}

// takeNamed gives spec[i] the named arguments that no other field takes, and
// returns the others.
func takeNamed(spec []Arg, i int, dst reflect.Value, kwargs []starlark.Tuple) (others []starlark.Tuple) {
	var taken []starlark.Tuple
	for _, kv := range kwargs {
		if slices.ContainsFunc(spec, func(a Arg) bool { return a.Name == string(kv[0].(starlark.String)) && !a.Named }) {
			others = append(others, kv)
		} else {
			taken = append(taken, kv)
		}
	}
	dst.FieldByIndex(spec[i].field).Set(reflect.ValueOf(taken))
	return others
}

func argNames(spec []Arg) (names []string) {
	for _, a := range spec {
		names = append(names, a.Name)
	}
	return names
}

func didYouMean(name string, known []string) string {
	if n := runtime.Nearest(name, known); n != "" {
		return fmt.Sprintf(" (did you mean %s?)", n)
	}
	if len(known) == 0 {
		return ""
	}
	return fmt.Sprintf(" (there are %s)", strings.Join(known, ", "))
}

// setArg converts v to the type of dst.
func setArg(dst reflect.Value, a Arg, v starlark.Value) error {
	t := dst.Type()
	if v == starlark.None && !a.Required && a.Default == "None" {
		dst.SetZero()
		return nil
	}
	switch {
	case t == handleType:
		h, ok := v.(Handle)
		if !ok || len(a.kinds) > 0 && !slices.Contains(a.kinds, h.Kind) {
			return want(a, v)
		}
		dst.Set(reflect.ValueOf(h))
	case t == optionalHandleType:
		p := reflect.New(handleType)
		if err := setArg(p.Elem(), a, v); err != nil {
			return err
		}
		dst.Set(p)
	case t == fileType:
		s, ok := starlark.AsString(v)
		if !ok || s == "" {
			return want(a, v)
		}
		dst.Set(reflect.ValueOf(File{Path: s}))
	case t.Kind() == reflect.Interface || t.Implements(valueType):
		if !reflect.TypeOf(v).AssignableTo(t) {
			return want(a, v)
		}
		dst.Set(reflect.ValueOf(v))
	case t.Kind() == reflect.Pointer:
		p := reflect.New(t.Elem())
		dst.Set(p)
		return setArg(p.Elem(), a, v)
	case t.Kind() == reflect.Slice:
		return setSlice(dst, a, v)
	case t.Kind() == reflect.Map:
		return setMap(dst, a, v)
	default:
		return setBasic(dst, a, v)
	}
	return nil
}

func setSlice(dst reflect.Value, a Arg, v starlark.Value) error {
	seq, ok := v.(starlark.Sequence)
	if !ok {
		return want(a, v)
	}
	elem := a
	elem.Type = strings.TrimPrefix(a.Type, "list of ")
	out := reflect.MakeSlice(dst.Type(), 0, seq.Len())
	for x := range starlark.Elements(seq) {
		e := reflect.New(dst.Type().Elem()).Elem()
		if err := setArg(e, elem, x); err != nil {
			return fmt.Errorf("item %d: %w", out.Len(), err)
		}
		out = reflect.Append(out, e)
	}
	dst.Set(out)
	return nil
}

// setMap converts a dict with strings as keys.
func setMap(dst reflect.Value, a Arg, v starlark.Value) error {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return want(a, v)
	}
	elem := a
	elem.Type = strings.TrimPrefix(a.Type, "dict of ")
	out := reflect.MakeMap(dst.Type())
	for _, kv := range d.Items() {
		key, ok := starlark.AsString(kv[0])
		if !ok {
			return fmt.Errorf("key %s is not a string", kv[0])
		}
		e := reflect.New(dst.Type().Elem()).Elem()
		if err := setArg(e, elem, kv[1]); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
		out.SetMapIndex(reflect.ValueOf(key), e)
	}
	dst.Set(out)
	return nil
}

func setBasic(dst reflect.Value, a Arg, v starlark.Value) error {
	switch dst.Kind() {
	case reflect.String:
		s, ok := starlark.AsString(v)
		if !ok {
			return want(a, v)
		}
		dst.SetString(s)
	case reflect.Bool:
		b, ok := v.(starlark.Bool)
		if !ok {
			return want(a, v)
		}
		dst.SetBool(bool(b))
	case reflect.Int, reflect.Int64:
		i, ok := v.(starlark.Int)
		if !ok {
			return want(a, v)
		}
		n, ok := i.Int64()
		if !ok {
			return fmt.Errorf("%s is too large", i)
		}
		dst.SetInt(n)
	case reflect.Float64:
		x, ok := starlark.AsFloat(v)
		if !ok {
			return want(a, v)
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is not a finite number", v)
		}
		dst.SetFloat(x)
	default:
		return fmt.Errorf("internal error: no conversion to %s", dst.Type())
	}
	return nil
}

func want(a Arg, v starlark.Value) error {
	got := v.Type()
	if v == starlark.None {
		got = "None"
	}
	return fmt.Errorf("got %s, want %s", got, a.Type)
}
