package event

import (
	"encoding/json"
	"math"
	"testing"
)

func TestNumbersKeepGaps(t *testing.T) {
	in := Curve{Name: "a", Y: Numbers{1, math.NaN(), -2.5, math.Inf(1)}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"name":"a","y":[1,null,-2.5,null]}`; string(b) != want {
		t.Errorf("got %s, want %s", b, want)
	}
	var out Curve
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Y) != 4 || out.Y[0] != 1 || !math.IsNaN(out.Y[1]) || out.Y[2] != -2.5 || !math.IsNaN(out.Y[3]) {
		t.Errorf("got %v", out.Y)
	}
	if err := json.Unmarshal([]byte(`{"y":["x"]}`), &out); err == nil {
		t.Error("text became a number")
	}
}
