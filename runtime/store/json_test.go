package store

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
)

func TestJSONKeepsWhatJSONLacks(t *testing.T) {
	for _, v := range []float64{0, -1.5, 1e-300, math.NaN(), math.Inf(1), math.Inf(-1)} {
		through(t, Point{X: 7, V: v})
		through(t, Series{Step: key("s"), Name: "loss", N: 2, Last: v, Min: -v, MinX: 3, Max: v, MaxX: 4})
		through(t, Sample{Index: 3, ID: "a", Prompt: "p", Outcome: "pass", Score: v, LogProb: -v})
	}
	b, err := json.Marshal([]any{
		Point{X: 1, V: math.NaN()},
		Rows{Columns: []string{"a"}, Rows: [][]any{{math.Inf(-1)}, {int64(5)}, {nil}}},
	})
	must(t, err)
	if got, want := string(b), `[{"x":1,"v":"NaN"},{"columns":["a"],"rows":[["-Infinity"],[5],[null]]}]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var p Point
	if err := json.Unmarshal([]byte(`{"x": 1, "v": "high"}`), &p); err == nil {
		t.Error("a word was read as a number")
	}
}

func through[T any](t *testing.T, v T) {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	var back T
	must(t, json.Unmarshal(b, &back))
	if fmt.Sprint(back) != fmt.Sprint(v) {
		t.Errorf("%+v became %+v through %s", v, back, b)
	}
}
