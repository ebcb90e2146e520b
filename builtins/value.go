package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starbook/runtime"
)

// Handle is an artifact as a script sees it: immutable, known by its digest.
type Handle struct {
	runtime.Artifact
	host *Host
}

var (
	_ starlark.HasAttrs   = Handle{}
	_ starlark.Comparable = Handle{}
	_ Canonical           = Handle{}
)

// KindDoc describes a kind of artifact: its facts, and what one can do with it.
type KindDoc struct {
	Name    string
	Doc     string
	Facts   []Fact
	Methods []Func           // the artifact is their first argument: "scores.failures"
	Note    func(Row) string // what print says of an artifact's summary, besides its digest; may be nil
}

// Fact is an attribute that comes from an artifact's summary.
type Fact struct{ Name, Doc string }

// Handle returns a as a value for scripts.
func (h *Host) Handle(a runtime.Artifact) Handle { return Handle{a, h} }

// String implements starlark.Value: <adapter 05a20ac3>, <dataset 5e21c0de, 3 rows>.
func (h Handle) String() string {
	note := ""
	if kind, ok := h.host.kind(h.Kind); ok && kind.Note != nil {
		if facts, err := decodeObject(h.Summary); err == nil {
			note = ", " + kind.Note(facts)
		}
	}
	return fmt.Sprintf("<%s %s%s>", h.Kind, h.Digest.Short(), note)
}

// Type implements starlark.Value.
func (h Handle) Type() string { return h.Kind }

// Freeze implements starlark.Value; a Handle cannot change.
func (h Handle) Freeze() {}

// Truth implements starlark.Value.
func (h Handle) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (h Handle) Hash() (uint32, error) {
	return uint32(h.Digest[0]) | uint32(h.Digest[1])<<8 | uint32(h.Digest[2])<<16 | uint32(h.Digest[3])<<24, nil
}

// CompareSameType implements starlark.Comparable: equal artifacts have equal
// kinds and bytes, whichever step made them.
func (h Handle) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	o := y.(Handle)
	same := h.Kind == o.Kind && h.Digest == o.Digest
	switch op {
	case syntax.EQL:
		return same, nil
	case syntax.NEQ:
		return !same, nil
	}
	return false, fmt.Errorf("%s %s %s: artifacts have no order", h.Kind, op, o.Kind)
}

// Canonical implements Canonical.
func (h Handle) Canonical() (json.RawMessage, error) {
	return json.Marshal(struct {
		Kind   string `json:"kind"`
		Digest digest `json:"digest"`
	}{h.Kind, h.Digest})
}

// Attr implements starlark.HasAttrs: the facts of its summary, and the methods
// of its kind.
func (h Handle) Attr(name string) (starlark.Value, error) {
	if name == "digest" {
		return starlark.String(h.Digest.String()), nil
	}
	kind, ok := h.host.kind(h.Kind)
	if !ok {
		return nil, nil
	}
	if i := slices.IndexFunc(kind.Methods, func(f Func) bool { return f.method() == name }); i >= 0 {
		return kind.Methods[i].bind(h.host, h), nil
	}
	if !slices.ContainsFunc(kind.Facts, func(f Fact) bool { return f.Name == name }) {
		return nil, nil
	}
	facts, err := decodeObject(h.Summary)
	if err != nil {
		return nil, fmt.Errorf("%s: summary: %w", h, err)
	}
	v, ok := facts[name]
	if !ok {
		return starlark.None, nil
	}
	return fromJSON(v)
}

// AttrNames implements starlark.HasAttrs.
func (h Handle) AttrNames() []string {
	names := []string{"digest"}
	if kind, ok := h.host.kind(h.Kind); ok {
		for _, f := range kind.Facts {
			names = append(names, f.Name)
		}
		for _, f := range kind.Methods {
			names = append(names, f.method())
		}
	}
	slices.Sort(names)
	return names
}

// fromJSON turns what encoding/json decoded (with UseNumber) into Starlark
// values. The members of an object are sorted.
func fromJSON(v any) (starlark.Value, error) {
	switch v := v.(type) {
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(v), nil
	case string:
		return starlark.String(v), nil
	case json.Number:
		return number(v)
	case []any:
		out := make([]starlark.Value, len(v))
		for i, x := range v {
			var err error
			if out[i], err = fromJSON(x); err != nil {
				return nil, err
			}
		}
		return starlark.NewList(out), nil
	case map[string]any:
		return dictFromJSON(v)
	}
	return nil, fmt.Errorf("internal error: a %T in JSON", v)
}

func dictFromJSON(m map[string]any) (*starlark.Dict, error) {
	d := starlark.NewDict(len(m))
	for _, k := range sortedKeys(m) {
		v, err := fromJSON(m[k])
		if err != nil {
			return nil, err
		}
		if err := d.SetKey(starlark.String(k), v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// number keeps whole numbers whole, however large.
func number(n json.Number) (starlark.Value, error) {
	if strings.ContainsAny(string(n), ".eE") {
		x, err := n.Float64()
		return starlark.Float(x), err
	}
	if i, err := n.Int64(); err == nil {
		return starlark.MakeInt64(i), nil
	}
	v, err := starlark.EvalOptions(&syntax.FileOptions{}, new(starlark.Thread), "number", string(n), nil)
	return v, err
}

// toJSON is the inverse of fromJSON: what it returns, encoding/json can write.
func toJSON(v starlark.Value) (any, error) { return toJSONDepth(v, 0) }

func toJSONDepth(v starlark.Value, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nests too deeply, or contains itself")
	}
	switch v := v.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(v), nil
	case starlark.String:
		return string(v), nil
	case starlark.Int:
		return json.Number(v.String()), nil
	case starlark.Float:
		b, err := float(float64(v))
		if err != nil || len(b) > 0 && b[0] == '{' {
			return nil, fmt.Errorf("%s has no place in JSON", v)
		}
		return json.Number(b), nil
	case *starlark.Dict:
		out := make(map[string]any, v.Len())
		for _, kv := range v.Items() {
			k, ok := starlark.AsString(kv[0])
			if !ok {
				return nil, fmt.Errorf("the key %s is not a string", kv[0])
			}
			x, err := toJSONDepth(kv[1], depth+1)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", k, err)
			}
			out[k] = x
		}
		return out, nil
	case *starlark.List, starlark.Tuple:
		out := []any{}
		for x := range starlark.Elements(v.(starlark.Iterable)) {
			e, err := toJSONDepth(x, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", len(out), err)
			}
			out = append(out, e)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %s has no place in JSON", v.Type())
}
