package jinja

import (
	"math"
	"slices"
)

// A Dict is a Python dict: it keeps the order of its keys.
type Dict struct {
	keys []Value
	vals []Value
	at   map[any]int // by hashed key
}

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.keys) }

// Set gives a key a value; the key is a scalar.
func (d *Dict) Set(key, value Value) {
	h, _ := hashed(key)
	if i, ok := d.at[h]; ok {
		d.vals[i] = value
		return
	}
	if d.at == nil {
		d.at = map[any]int{}
	}
	d.at[h] = len(d.keys)
	d.keys, d.vals = append(d.keys, key), append(d.vals, value)
}

// Get returns the value of a key.
func (d *Dict) Get(key Value) (Value, bool) {
	h, ok := hashed(key)
	if !ok {
		return nil, false
	}
	i, ok := d.at[h]
	if !ok {
		return nil, false
	}
	return d.vals[i], true
}

// Clone returns a dict with the same keys and values.
func (d *Dict) Clone() *Dict {
	out := &Dict{slices.Clone(d.keys), slices.Clone(d.vals), make(map[any]int, len(d.at))}
	for k, i := range d.at {
		out.at[k] = i
	}
	return out
}

// Keys returns the keys in their order.
func (d *Dict) Keys() []Value { return d.keys }

// find is Get for a key that a template gives.
func (d *Dict) find(r *run, key Value) (Value, bool) {
	refuseUndefined(r, key)
	if _, ok := hashed(key); !ok {
		r.fail("%s cannot be a key", typeName(key))
	}
	return d.Get(key)
}

// put is Set for a key that a template gives.
func (d *Dict) put(r *run, key, value Value) {
	d.find(r, key)
	d.Set(key, value)
}

// hashed returns what keys that are equal in Python have in common.
func hashed(key Value) (any, bool) {
	switch k := key.(type) {
	case nil, string, int64:
		return key, true
	case markup:
		return string(k), true
	case bool:
		return toInt(k), true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<62 {
			return int64(k), true
		}
		return k, true
	}
	return nil, false
}

func (d *Dict) pairs() List {
	out := make(List, d.Len())
	for i, k := range d.keys {
		out[i] = Tuple{k, d.vals[i]}
	}
	return out
}
