package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
)

// Arg is a parameter of a built-in, read from a field of its args struct:
//
//	Rank int    `arg:"rank=8" doc:"width of the adapter"`
//	Data Handle `arg:"data" kind:"dataset" doc:"rows to train on"`
//
// Without "=" an argument is required. "=None" makes it optional: None leaves
// the field zero (for a pointer: nil). "*parts" takes the positional arguments
// that are left; fields behind it are named in the call. "**space", a
// []starlark.Tuple, takes the named arguments that no other field takes. hash:"-" marks what
// cannot change the result, and hash:"set" what counts only if it differs from
// its default, so that adding it does not orphan the steps of the past. hash:"stop"
// marks what only decides where a training ends: see fit.
// kind:"dataset|scores" says which artifacts are welcome, and of a File kind:"folder" or
// "file|folder" that it may be a folder. An embedded struct lends its fields.
type Arg struct {
	Name     string
	Type     string // for readers: "int", "dataset", "list of string"
	Default  string // as written in the tag
	Doc      string
	Required bool
	Rest     bool // *args
	Named    bool // **kwargs
	Unhashed bool // cannot change the result

	kinds   []string
	hashSet bool
	stop    bool
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
	handleType         = reflect.TypeFor[Handle]()
	optionalHandleType = reflect.TypeFor[*Handle]() // implements starlark.Value, as Handle does, but is none
	fileType           = reflect.TypeFor[File]()
	callableType       = reflect.TypeFor[starlark.Callable]()
	valueType          = reflect.TypeFor[starlark.Value]()
	namedType          = reflect.TypeFor[[]starlark.Tuple]()
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
		a.Name, a.Named = strings.CutPrefix(name, "**")
		if !a.Named {
			a.Name, a.Rest = strings.CutPrefix(name, "*")
		}
		a.Unhashed, a.hashSet = f.Tag.Get("hash") == "-", f.Tag.Get("hash") == "set"
		a.stop = f.Tag.Get("hash") == "stop"
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
	case t == namedType:
		return "named values"
	case t.Kind() == reflect.Pointer && !t.Implements(valueType):
		return typeName(t.Elem(), kinds)
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem(), kinds)
	case t.Kind() == reflect.Map:
		return "dict of " + typeName(t.Elem(), kinds)
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
	case reflect.Slice, reflect.Map:
		err = json.Unmarshal([]byte(a.Default), dst.Addr().Interface())
	default:
		err = errors.New("only None can be its default")
	}
	return err
}
