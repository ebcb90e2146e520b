package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"starbook/runtime"
)

// Arg is a parameter of a built-in, read from a field of its args struct:
//
//	Rank int    `arg:"rank=8" doc:"width of the adapter"`
//	Data Handle `arg:"data" kind:"dataset" doc:"rows to train on"`
//
// Without "=" an argument is required. "=None" makes it optional: None leaves
// the field zero (for a pointer: nil). "*parts" takes the positional arguments
// that are left; fields behind it are named in the call. hash:"-" marks what
// cannot change the result, and hash:"set" what counts only if it differs from
// its default, so that adding it does not orphan the steps of the past.
// kind:"dataset|scores" says which artifacts are welcome. An embedded struct
// lends its fields.
type Arg struct {
	Name     string
	Type     string // for readers: "int", "dataset", "list of string"
	Default  string // as written in the tag
	Doc      string
	Required bool
	Rest     bool // *args
	Unhashed bool // cannot change the result

	kinds   []string
	hashSet bool
	field   []int // index path in the struct
}

// Canonical is a value that knows its own canonical JSON: a grader, a space
// to search.
type Canonical interface {
	Canonical() (json.RawMessage, error)
}

// File is an argument that names a file or a directory. It counts by what is
// in it, not by where it lies.
type File struct {
	Path   string // as it can be opened
	Digest digest // of the content; set before the work begins
}

var (
	handleType   = reflect.TypeFor[Handle]()
	fileType     = reflect.TypeFor[File]()
	callableType = reflect.TypeFor[starlark.Callable]()
	valueType    = reflect.TypeFor[starlark.Value]()
)

// argsOf reads the tags of an args struct. It panics if they make no sense:
// every table of built-ins is built in a test.
func argsOf(t reflect.Type) []Arg {
	var out []Arg
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, a := range argsOf(f.Type) {
				a.field = append([]int{i}, a.field...)
				out = append(out, a)
			}
			continue
		}
		tag, ok := f.Tag.Lookup("arg")
		if !ok {
			continue
		}
		name, def, optional := strings.Cut(tag, "=")
		a := Arg{Name: name, Default: def, Required: !optional, Doc: f.Tag.Get("doc"), field: []int{i}}
		a.Name, a.Rest = strings.CutPrefix(name, "*")
		a.Unhashed, a.hashSet = f.Tag.Get("hash") == "-", f.Tag.Get("hash") == "set"
		if k := f.Tag.Get("kind"); k != "" {
			a.kinds = strings.Split(k, "|")
		}
		a.Type = typeName(f.Type, a.kinds)
		if err := setDefault(reflect.New(f.Type).Elem(), a); err != nil {
			panic(fmt.Sprintf("builtins: %s.%s: %v", t, f.Name, err))
		}
		out = append(out, a)
	}
	return out
}

// typeName is what the manual calls a Go type.
func typeName(t reflect.Type, kinds []string) string {
	switch {
	case t.Kind() == reflect.Pointer && !t.Implements(valueType):
		return typeName(t.Elem(), kinds)
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem(), kinds)
	case len(kinds) > 0:
		return strings.Join(kinds, " or ")
	case t == handleType:
		return "artifact"
	case t == fileType:
		return "path"
	case t == callableType:
		return "function"
	case t == valueType:
		return "any"
	case t.Kind() == reflect.Float64:
		return "float"
	case t.Kind() == reflect.Int64:
		return "int"
	case t.Kind() == reflect.String, t.Kind() == reflect.Bool, t.Kind() == reflect.Int:
		return t.Kind().String()
	}
	return strings.ToLower(t.Name())
}

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
		set[i] = true
		if err := setArg(dst.FieldByIndex(spec[i].field), spec[i], v); err != nil {
			return fmt.Errorf("%s: %s: %w", name, spec[i].Name, err)
		}
	}
	if err := bindNamed(name, spec, set, dst, kwargs); err != nil {
		return err
	}
	for i, a := range spec {
		if a.Required && !set[i] {
			return fmt.Errorf("%s: missing argument for %s: %s", name, a.Name, signature(name, spec))
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

// setDefault gives a field the value that its tag says.
func setDefault(dst reflect.Value, a Arg) (err error) {
	if a.Required || a.Default == "None" {
		return nil
	}
	t := dst.Type()
	if t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		defer func() { dst.Set(p) }()
		dst, t = p.Elem(), t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		dst.SetString(a.Default)
	case reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(a.Default)
		dst.SetBool(b)
	case reflect.Int, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(a.Default, 10, 64)
		dst.SetInt(n)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(a.Default, 64)
		dst.SetFloat(x)
	case reflect.Slice:
		err = json.Unmarshal([]byte(a.Default), dst.Addr().Interface())
	default:
		err = errors.New("only None can be its default")
	}
	return err
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
