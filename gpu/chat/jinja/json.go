package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxJSON bounds how deep JSON may be.
const maxJSON = 100

// FromJSON reads a value as Python's json.loads does: objects keep the order
// of their keys, whole numbers stay whole.
func FromJSON(b []byte) (Value, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	v, err := readJSON(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("JSON: something follows the value")
	}
	return v, nil
}

func readJSON(dec *json.Decoder, depth int) (Value, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxJSON {
		return nil, fmt.Errorf("more than %d levels deep", maxJSON)
	}
	switch t := t.(type) {
	case json.Number:
		return jsonNumber(string(t))
	case json.Delim:
		if t == '[' {
			list := List{}
			for dec.More() {
				v, err := readJSON(dec, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := dec.Token()
			return list, err
		}
		d := &Dict{}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := readJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			d.Set(k, v)
		}
		_, err := dec.Token()
		return d, err
	}
	return t, nil // nil, bool or string
}

func jsonNumber(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		return strconv.ParseFloat(s, 64)
	}
	return strconv.ParseInt(s, 10, 64)
}

// toJSON is transformers' tojson: json.dumps without ensure_ascii, and without
// jinja2's escapes for HTML.
func toJSON(r *run, v Value, a args) Value {
	b := a.bind(r, "tojson", "ensure_ascii", "indent", "separators", "sort_keys")
	w := &jsonWriter{run: r, ascii: b.flag(0, false), sort: b.flag(3, false), item: ", ", colon: ": "}
	switch in := b.or(1, nil).(type) {
	case nil:
	case string:
		w.indent, w.lines, w.item = in, true, ","
	default:
		w.indent, w.lines, w.item = repeated(r, " ", b.int(1, 0)).(string), true, ","
	}
	if s := b.or(2, nil); s != nil {
		sep := iterate(r, s)
		if len(sep) != 2 {
			r.fail("tojson wants two separators")
		}
		w.item, w.colon = str(r, sep[0]), str(r, sep[1])
	}
	w.value(v, 0)
	return r.made(w.out.String())
}

type jsonWriter struct {
	*run
	out         strings.Builder
	ascii, sort bool
	lines       bool // each item on a line of its own
	indent      string
	item, colon string
}

func (w *jsonWriter) value(v Value, level int) {
	defer w.enter()()
	w.spend(1)
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int64:
		w.out.WriteString(strconv.FormatInt(v, 10))
	case float64:
		w.out.WriteString(jsonFloat(v))
	case string:
		w.text(v)
	case markup:
		w.text(string(v))
	case List:
		w.items(v, level)
	case Tuple:
		w.items(v, level)
	case *Dict:
		w.dict(v, level)
	default:
		w.fail("%s cannot be written as JSON", typeName(v))
	}
	if w.out.Len() > w.limits.Output {
		w.fail("tojson writes more than %d bytes", w.limits.Output)
	}
}

func jsonFloat(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	return formatFloat(x)
}

// line begins a new line, if there are to be lines.
func (w *jsonWriter) line(level int) {
	if w.lines {
		w.room(1 + level*len(w.indent))
		w.out.WriteString("\n" + strings.Repeat(w.indent, level))
	}
}

func (w *jsonWriter) items(items []Value, level int) {
	w.out.WriteByte('[')
	for i, v := range items {
		if i > 0 {
			w.out.WriteString(w.item)
		}
		w.line(level + 1)
		w.value(v, level+1)
	}
	if len(items) > 0 {
		w.line(level)
	}
	w.out.WriteByte(']')
}

func (w *jsonWriter) dict(d *Dict, level int) {
	keys := d.keys
	if w.sort {
		keys = slices.Clone(keys)
		slices.SortStableFunc(keys, func(a, b Value) int { return order(w.run, a, b) })
	}
	w.out.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			w.out.WriteString(w.item)
		}
		w.line(level + 1)
		s, ok := asText(k)
		if !ok {
			sub := &jsonWriter{run: w.run}
			sub.value(k, 0)
			s = sub.out.String()
		}
		w.text(s)
		w.out.WriteString(w.colon)
		v, _ := d.Get(k)
		w.value(v, level+1)
	}
	if len(keys) > 0 {
		w.line(level)
	}
	w.out.WriteByte('}')
}

func (w *jsonWriter) text(s string) {
	w.room(len(s))
	w.out.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(c)
		case c < 0x20 || w.ascii && c > 0x7e:
			if i := strings.IndexRune("\b\f\n\r\t", c); i >= 0 && c < 0x20 {
				w.out.WriteByte('\\')
				w.out.WriteByte("bfnrt"[i])
				continue
			}
			if c > 0xffff { // a pair of surrogates
				c -= 0x10000
				w.out.WriteString(`\u` + hex(0xd800+c>>10, 4))
				c = 0xdc00 + c&0x3ff
			}
			w.out.WriteString(`\u` + hex(c, 4))
		default:
			w.out.WriteRune(c)
		}
	}
	w.out.WriteByte('"')
}
