package store

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// number is a float64 in JSON, which has neither NaN nor infinity: they are the strings
// "NaN", "Infinity" and "-Infinity", as in the JSON of protocol buffers.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch v := float64(n); {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(v)
	}
}

func (n *number) UnmarshalJSON(b []byte) error {
	s := string(b)
	if unquoted, err := strconv.Unquote(s); err == nil {
		s = unquoted
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("store: %s is not a number", b)
	}
	*n = number(v)
	return nil
}

// The types below have the methods of none of ours, so that encoding them does not come
// back to us; a field beside an embedded one takes the place of its namesake.
type (
	plainPoint  Point
	plainSeries Series
	plainSample Sample

	jsonPoint struct {
		*plainPoint
		V *number `json:"v"`
	}
	jsonSeries struct {
		*plainSeries
		Last *number `json:"last"`
		Min  *number `json:"min"`
		Max  *number `json:"max"`
	}
	jsonSample struct {
		*plainSample
		Score   *number `json:"score"`
		LogProb *number `json:"logprob"`
	}
)

func (p *Point) shadow() jsonPoint { return jsonPoint{(*plainPoint)(p), (*number)(&p.V)} }

func (r *Series) shadow() jsonSeries {
	return jsonSeries{(*plainSeries)(r), (*number)(&r.Last), (*number)(&r.Min), (*number)(&r.Max)}
}

func (r *Sample) shadow() jsonSample {
	return jsonSample{(*plainSample)(r), (*number)(&r.Score), (*number)(&r.LogProb)}
}

// MarshalJSON writes NaN and infinities as strings.
func (p Point) MarshalJSON() ([]byte, error) { return json.Marshal(p.shadow()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Point) UnmarshalJSON(b []byte) error { v := p.shadow(); return json.Unmarshal(b, &v) }

// MarshalJSON writes NaN and infinities as strings.
func (r Series) MarshalJSON() ([]byte, error) { return json.Marshal(r.shadow()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Series) UnmarshalJSON(b []byte) error { v := r.shadow(); return json.Unmarshal(b, &v) }

// MarshalJSON writes NaN and infinities as strings.
func (r Sample) MarshalJSON() ([]byte, error) { return json.Marshal(r.shadow()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Sample) UnmarshalJSON(b []byte) error { v := r.shadow(); return json.Unmarshal(b, &v) }

// MarshalJSON writes infinities as strings.
func (r Rows) MarshalJSON() ([]byte, error) {
	rows := make([][]any, len(r.Rows))
	for i, row := range r.Rows {
		rows[i] = make([]any, len(row))
		for j, v := range row {
			if f, ok := v.(float64); ok {
				v = number(f)
			}
			rows[i][j] = v
		}
	}
	return json.Marshal(struct {
		Columns []string `json:"columns"`
		Rows    [][]any  `json:"rows"`
	}{r.Columns, rows})
}
