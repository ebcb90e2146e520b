package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"starbook/runtime"
	"starbook/runtime/cas"
)

type digest = cas.Digest

// maxDepth is how deep values may nest; a list that contains itself is deeper.
const maxDepth = 100

// canon writes values as canonical JSON: equal values, and only they, have
// equal bytes. It notes the artifacts it meets.
type canon struct {
	syntax func(file string) *syntax.File // of the script's files
	inputs []digest
	// unknown holds the steps of a plan on whose results the value depends
	unknown []*runtime.Planned

	functions map[*starlark.Function]int // met so far, by order; for functions that refer to each other
	depth     int
}

// args returns the canonical form of an args struct.
func (c *canon) args(spec []Arg, v reflect.Value) (json.RawMessage, error) {
	out := make(map[string]json.RawMessage, len(spec))
	for _, a := range spec {
		if a.Unhashed {
			continue
		}
		f := v.FieldByIndex(a.field)
		b, err := c.field(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Name, err)
		}
		if a.hashSet {
			def := reflect.New(f.Type()).Elem()
			if err := setDefault(def, a); err != nil {
				return nil, err
			}
			if d, err := c.field(def); err == nil && string(d) == string(b) {
				continue
			}
		}
		out[a.Name] = b
	}
	return json.Marshal(out) // sorts the names
}

func (c *canon) field(f reflect.Value) (json.RawMessage, error) {
	t := f.Type()
	switch {
	case (t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface) && f.IsNil():
		return json.RawMessage("null"), nil
	case t == fileType:
		return json.Marshal(map[string]digest{"file": f.Interface().(File).Digest})
	case t == handleType && f.Interface().(Handle).Digest.IsZero():
		return json.RawMessage("null"), nil
	case t.Kind() == reflect.Float64:
		return float(f.Float())
	case t.Kind() == reflect.Map:
		out := map[string]json.RawMessage{}
		for _, key := range f.MapKeys() {
			b, err := c.field(f.MapIndex(key))
			if err != nil {
				return nil, fmt.Errorf("%q: %w", key.String(), err)
			}
			out[key.String()] = b
		}
		return json.Marshal(out)
	case t.Kind() == reflect.Slice:
		out := make([]json.RawMessage, f.Len())
		for i := range out {
			b, err := c.field(f.Index(i))
			if err != nil {
				return nil, fmt.Errorf("item %d: %w", i, err)
			}
			out[i] = b
		}
		return json.Marshal(out)
	}
	if t == optionalHandleType {
		return c.field(f.Elem())
	}
	if v, ok := f.Interface().(starlark.Value); ok {
		return c.value(v, false)
	}
	if t.Kind() == reflect.Pointer {
		return c.field(f.Elem())
	}
	return json.Marshal(f.Interface())
}

// value returns the canonical form of v. If exact is set, everything that a
// function could tell apart is kept apart: lists from tuples, the order of a
// dict. Otherwise the form is the JSON that a reader expects.
func (c *canon) value(v starlark.Value, exact bool) (json.RawMessage, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, errors.New("nests too deeply, or contains itself")
	}
	defer func() { c.depth-- }()
	switch v := v.(type) {
	case unknown:
		c.unknown = append(c.unknown, v.after...)
		return tagged("unknown", text(v.what))
	case Canonical:
		if h, ok := v.(Handle); ok {
			c.inputs = append(c.inputs, h.Digest)
		}
		return v.Canonical()
	case starlark.NoneType:
		return json.RawMessage("null"), nil
	case starlark.Bool:
		return json.Marshal(bool(v))
	case starlark.Int:
		return json.RawMessage(v.String()), nil
	case starlark.Float:
		return float(float64(v))
	case starlark.String:
		if strings.Contains(string(v), mark) {
			return tagged("unknown", text(strings.ReplaceAll(string(v), mark, "")))
		}
		return text(string(v)), nil
	case starlark.Bytes:
		return tagged("bytes", text(string(v)))
	case *starlark.Function:
		return c.function(v)
	case *starlark.Builtin:
		return c.builtin(v)
	case *starlark.Dict:
		return c.dict(v, exact)
	case *starlarkstruct.Struct:
		return c.record(v, exact)
	case *starlarkstruct.Module:
		return tagged("module", text(v.Name))
	case *starlark.List:
		return c.list(v, exact)
	case starlark.Tuple:
		return c.sequence("tuple", v, exact)
	case *starlark.Set:
		return c.sequence("set", v, exact)
	}
	if v.Type() == "range" {
		return tagged("range", text(v.String()))
	}
	return nil, fmt.Errorf("a %s cannot be part of a step", v.Type())
}

// float writes x so that it reads back as a float.
func float(x float64) (json.RawMessage, error) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return tagged("float", text(strconv.FormatFloat(x, 'g', -1, 64)))
	}
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.RawMessage(s), nil
}

// text writes s. Bytes that are no UTF-8 are told apart by their quoted form.
func text(s string) json.RawMessage {
	if strings.ToValidUTF8(s, "") != s {
		b, _ := tagged("quoted", text(strconv.QuoteToASCII(s)))
		return b
	}
	b, _ := json.Marshal(s)
	return b
}

func tagged(tag string, body json.RawMessage) (json.RawMessage, error) {
	return json.Marshal(map[string]json.RawMessage{tag: body})
}

func (c *canon) list(seq starlark.Iterable, exact bool) (json.RawMessage, error) {
	out := []json.RawMessage{}
	for x := range starlark.Elements(seq) {
		b, err := c.value(x, exact)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", len(out), err)
		}
		out = append(out, b)
	}
	return json.Marshal(out)
}

func (c *canon) sequence(tag string, seq starlark.Iterable, exact bool) (json.RawMessage, error) {
	b, err := c.list(seq, exact)
	if err != nil || !exact {
		return b, err
	}
	return tagged(tag, b)
}

func (c *canon) dict(d *starlark.Dict, exact bool) (json.RawMessage, error) {
	if exact {
		items := make(starlark.Tuple, 0, 2*d.Len())
		for _, kv := range d.Items() {
			items = append(items, kv...)
		}
		return c.sequence("dict", items, true)
	}
	out := map[string]json.RawMessage{}
	for _, kv := range d.Items() {
		k, ok := starlark.AsString(kv[0])
		if !ok {
			return nil, fmt.Errorf("the key %s is not a string", kv[0])
		}
		b, err := c.value(kv[1], false)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", k, err)
		}
		out[k] = b
	}
	return json.Marshal(out)
}

func (c *canon) record(s *starlarkstruct.Struct, exact bool) (json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for _, name := range s.AttrNames() {
		v, err := s.Attr(name)
		if err != nil {
			return nil, err
		}
		if out[name], err = c.value(v, exact); err != nil {
			return nil, fmt.Errorf(".%s: %w", name, err)
		}
	}
	b, err := json.Marshal(out)
	if err != nil || !exact {
		return b, err
	}
	return tagged("struct", b)
}

// builtin is a function in Go, or a method of a value: that is frozen, as in
// function.
func (c *canon) builtin(b *starlark.Builtin) (json.RawMessage, error) {
	b.Freeze()
	parts := starlark.Tuple{starlark.String(b.Name())}
	if b.Receiver() != nil {
		parts = append(parts, b.Receiver())
	}
	return c.sequence("builtin", parts, true)
}
