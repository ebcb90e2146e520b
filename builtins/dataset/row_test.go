package dataset

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestAppendJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"b":1,"a":2,"ä":3,"A":4}`, `{"A":4,"a":2,"b":1,"ä":3}`},
		{`{"n":[1.0,1e5,-0,0.10,12345678901234567890]}`, `{"n":[1.0,1e5,-0,0.10,12345678901234567890]}`}, // as written
		{`{"s":"<&>\u2028\u00e9\/\"\\\n\r\t\u0001\u007f"}`, `{"s":"<&>` + "\u2028é" + `/\"\\\n\r\t\u0001` + "\x7f" + `"}`},
		{` { "x" : { "z" : null , "y" : [ true , false , { } , [ ] ] } } `, `{"x":{"y":[true,false,{},[]],"z":null}}`},
		{`{"e":"\ud83d\ude42"}`, `{"e":"🙂"}`},
	} {
		var p parser
		r, err := p.row([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got, err := AppendJSON(nil, r); err != nil || string(got) != c.want {
			t.Errorf("%s\n got %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
	if got, err := AppendJSON(nil, Row{"i": 1, "j": int64(2), "f": 0.5, "g": 1e21}); err != nil || string(got) != `{"f":0.5,"g":1e+21,"i":1,"j":2}` {
		t.Errorf("Go's numbers: %s %v", got, err)
	}
	for _, v := range []any{math.NaN(), math.Inf(1), "\xff", json.Number("1x"), json.Number(""), struct{}{}, Row{"a": []any{1, "\xff"}}} {
		if got, err := AppendJSON(nil, v); err == nil {
			t.Errorf("%#v became %s", v, got)
		}
	}
}

func TestID(t *testing.T) {
	a, b := Row{"x": "1", "y": "2"}, Row{"y": "2", "x": "1"}
	if ID(a) != ID(b) || !strings.HasPrefix(ID(a), "sha256:") || len(ID(a)) != 23 {
		t.Errorf("%s, %s", ID(a), ID(b))
	}
	if ID(a) == ID(Row{"x": "1"}) {
		t.Error("other content, the same id")
	}
	for want, r := range map[string]Row{"q": {"id": "q"}, "7": {"id": json.Number("7")}, "8": {"id": 8}} {
		if ID(r) != want {
			t.Errorf("%v: %s", r, ID(r))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{``, "byte 1: a row is an object"},
		{`[1]`, "a row is an object"},
		{`{"a":1}{`, "byte 8: something follows"},
		{`{"a":1,"b":2,"a":3}`, `byte 14: key "a" occurs twice`},
		{`{"a":1,"\u0061":3}`, `key "a" occurs twice`},
		{`{"x":{"a":1,"a":1}}`, `key "a" occurs twice`},
		{`{"a":01}`, "comma"},
		{`{"a":1.}`, "bad number"},
		{`{"a":-}`, "bad number"},
		{`{"a":1e}`, "bad number"},
		{`{"a":.5}`, "value is missing"},
		{`{"a":NaN}`, "value is missing"},
		{`{"a":tru}`, "value is missing"},
		{`{"a":1,}`, "key is missing"},
		{`{a:1}`, "key is missing"},
		{`{'a':1}`, "key is missing"},
		{`{"a" 1}`, "colon"},
		{`{"a":[1,]}`, "value is missing"},
		{`{"a":[1 2]}`, "comma"},
		{`{"a":"\ud800"}`, "lone surrogate"},
		{`{"a":"\ud800\u0041"}`, "lone surrogate"},
		{`{"a":"\udc00\ud800"}`, "lone surrogate"},
		{`{"a":"\u12g4"}`, "bad \\u escape"},
		{`{"a":"\u+123"}`, "bad \\u escape"},
		{`{"a":"\x41"}`, "bad escape"},
		{"{\"a\":\"\t\"}", "control character"},
		{"{\"a\":\"\\n\x01\"}", "control character"},
		{`{"a":` + strings.Repeat("[", 1002) + strings.Repeat("]", 1002) + `}`, "deep"},
	} {
		var p parser
		if r, err := p.row([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got %v, %v, want %q", c.in, r, err, c.want)
		}
	}
}

// What is read is what encoding/json reads, and comes back from what is written.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5e-3,"x\u00e9\n",null,true,{"b":{}}]}`))
	f.Add([]byte(`{"a":"\ud83d\ude42"} `))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p parser
		if checkText(b, 2) != nil {
			return
		}
		got, err := p.row(b)
		if err != nil {
			return
		}
		var want map[string]any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\n got %v\nwant %v, %v", b, got, want, err)
		}
		out, err := AppendJSON(nil, got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := p.row(out)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%q came back as %v, %v", out, again, err)
		}
	})
}
