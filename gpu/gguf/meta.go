package gguf

import (
	"fmt"
	"math"
)

// Meta is the metadata of a file, in its order. Values are bool, string, all
// Go's sized integers and floats, and []any of these of one kind; a list of
// strings is []string, of int32 []int32, of float32 []float32.
type Meta struct {
	Keys   []string
	values map[string]any
}

// Set adds a key, or changes its value.
func (m *Meta) Set(key string, value any) {
	if m.values == nil {
		m.values = map[string]any{}
	}
	if _, ok := m.values[key]; !ok {
		m.Keys = append(m.Keys, key)
	}
	m.values[key] = value
}

// Has reports whether there is such a key.
func (m *Meta) Has(key string) bool { return m.values[key] != nil }

// Value returns the value of a key, nil if there is none.
func (m *Meta) Value(key string) any { return m.values[key] }

// Int returns the value of a key as an integer, other if there is none. A
// value of another kind, or out of range, is an error.
func (m *Meta) Int(key string, other int) (int, error) {
	switch v := m.values[key].(type) {
	case nil:
		return other, nil
	case uint8:
		return int(v), nil
	case int8:
		return int(v), nil
	case uint16:
		return int(v), nil
	case int16:
		return int(v), nil
	case uint32:
		return int(v), nil
	case int32:
		return int(v), nil
	case int64:
		return int(v), nil
	case uint64:
		if v <= math.MaxInt {
			return int(v), nil
		}
	}
	return 0, fmt.Errorf("gguf: %s is %v: want an integer", key, m.values[key])
}

// Float returns the value of a key as a float, other if there is none.
func (m *Meta) Float(key string, other float64) (float64, error) {
	switch v := m.values[key].(type) {
	case nil:
		return other, nil
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	n, err := m.Int(key, 0)
	if err != nil {
		return 0, fmt.Errorf("gguf: %s is %v: want a number", key, m.values[key])
	}
	return float64(n), nil
}

// String returns the value of a key, "" if there is none or another kind.
func (m *Meta) String(key string) string {
	s, _ := m.values[key].(string)
	return s
}

// Bool returns the value of a key, other if there is none or another kind.
func (m *Meta) Bool(key string, other bool) bool {
	b, ok := m.values[key].(bool)
	if !ok {
		return other
	}
	return b
}

// Strings returns a list of strings, nil if there is none.
func (m *Meta) Strings(key string) []string {
	s, _ := m.values[key].([]string)
	return s
}

// Ints returns a list of 32-bit integers, nil if there is none.
func (m *Meta) Ints(key string) []int32 {
	s, _ := m.values[key].([]int32)
	return s
}

// Floats returns a list of 32-bit floats, nil if there is none.
func (m *Meta) Floats(key string) []float32 {
	s, _ := m.values[key].([]float32)
	return s
}
