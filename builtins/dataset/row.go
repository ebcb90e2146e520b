// Package dataset reads, checks, combines and writes the rows that models are
// trained and tested on. Its functions are pure: no function changes a row that
// it is given, and the same arguments give the same rows in the same order.
package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Row is one example. Its values are those of JSON: nil, bool, string,
// json.Number (as written in the file), []any and map[string]any; Go's int,
// int64 and float64 may be put in as well.
type Row = map[string]any

// ID names a row: its field id if that is text or a number, else a digest of
// its content, "sha256:" and 16 digits.
func ID(r Row) string {
	if id, ok := Text(r, "id"); ok && id != "" {
		return id
	}
	b, err := AppendJSON(nil, r)
	if err != nil { // no JSON value: nothing that was read, or can be written
		b = fmt.Appendf(b[:0], "%v", r)
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// Parent names the row that r was made from, "" if it was made from none.
func Parent(r Row) string {
	p, _ := Text(r, "parent")
	return p
}

// Text returns a field as text: a string as it is, a number as it is written.
func Text(r Row, field string) (string, bool) {
	switch v := r[field].(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case int, int64, float64:
		b, err := AppendJSON(nil, v)
		return string(b), err == nil
	}
	return "", false
}

// AppendJSON appends the canonical JSON of a row or of any value in one: keys
// sorted by their bytes, no white space, numbers as written, in strings only
// the escapes that JSON demands. It fails on text that is not UTF-8, on
// infinities and NaN, and on types that are not JSON's.
func AppendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendString(b, v)
	case json.Number:
		if end, ok := number([]byte(v), 0); !ok || end != len(v) {
			return b, fmt.Errorf("%q is not a number", string(v))
		}
		return append(b, v...), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case float64:
		return appendFloat(b, v)
	case []any:
		return appendList(b, v)
	case map[string]any:
		return appendObject(b, v)
	}
	return b, fmt.Errorf("a value of type %T is not JSON", v)
}

func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return b, fmt.Errorf("%v has no form in JSON", f)
	}
	s, err := json.Marshal(f)
	return append(b, s...), err
}

func appendList(b []byte, list []any) (_ []byte, err error) {
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = AppendJSON(b, x); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendObject(b []byte, m map[string]any) (_ []byte, err error) {
	keys := make([]string, 0, 16)
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendString(b, k); err != nil {
			return b, err
		}
		if b, err = AppendJSON(append(b, ':'), m[k]); err != nil {
			return b, fmt.Errorf("%s: %w", k, err)
		}
	}
	return append(b, '}'), nil
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, errors.New("text is not UTF-8")
	}
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"'), nil
}
