package safetensors

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// image puts a length before a header and n zero bytes behind it.
func image(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func one(entry string) string { return `{"a":` + entry + `}` }

// valid holds headers that the reference implementation reads, with the size
// of their buffers.
var valid = []struct {
	header string
	n      int
}{
	{`{}`, 0},
	{`{"__metadata__":{"format":"pt"}}`, 0},
	{one(`{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`) + "   ", 4},
	{one(`{"dtype":"F32","shape":[],"data_offsets":[0,4]}`), 4},
	{one(`{"data_offsets":[0,0],"shape":[0,7],"dtype":"I64"}`), 0},
	{one(`{"dtype":"F32","shape":[1],"data_offsets":[0,4],"later":{"x":[1]}}`), 4},
	{one(`{"dtype":"F4","shape":[8],"data_offsets":[0,4]}`), 4},
	{`{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 3},
	{`{"z":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},"y":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4},
}

// invalid holds files that must be refused, with a word of the reason.
var invalid = []struct {
	name, want string
	file       []byte
}{
	{"empty", "too few", nil},
	{"seven bytes", "too few", make([]byte, 7)},
	{"zero length", "begin with {", make([]byte, 8)},
	{"length over the limit", "limit", append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), "{}"...)},
	{"length beyond the end", "does not fit", []byte("\x09\x00\x00\x00\x00\x00\x00\x00{}")},
	{"negative length", "limit", bytes.Repeat([]byte{0xff}, 16)},
	{"leading space", "begin with {", image(` {}`, 0)},
	{"a list", "begin with {", image(`[]`, 0)},
	{"cut short", "EOF", image(`{"a":`, 0)},
	{"trailing text", "follows", image(`{}x`, 0)},
	{"two objects", "follows", image(`{}{}`, 0)},
	{"bad UTF-8", "UTF-8", image("{\"\xff\":{}}", 0)},
	{"duplicate name", "twice", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"duplicate name by escape", "twice", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1)},
	{"duplicate field", "twice", image(one(`{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}`), 1)},
	{"duplicate metadata", "twice", image(`{"__metadata__":{"a":"b","a":"c"}}`, 0)},
	{"metadata number", "not text", image(`{"__metadata__":{"a":1}}`, 0)},
	{"metadata null", "should be", image(`{"__metadata__":null}`, 0)},
	{"entry null", "should be", image(one(`null`), 0)},
	{"no dtype", "no dtype", image(one(`{"shape":[1],"data_offsets":[0,1]}`), 1)},
	{"dtype in capitals", "no dtype", image(one(`{"DTYPE":"U8","shape":[1],"data_offsets":[0,1]}`), 1)},
	{"dtype number", "not text", image(one(`{"dtype":8,"shape":[1],"data_offsets":[0,1]}`), 1)},
	{"unknown dtype", "unknown dtype", image(one(`{"dtype":"F128","shape":[1],"data_offsets":[0,16]}`), 16)},
	{"no shape", "no shape", image(one(`{"dtype":"U8","data_offsets":[0,1]}`), 1)},
	{"shape null", "should be", image(one(`{"dtype":"U8","shape":null,"data_offsets":[0,1]}`), 1)},
	{"shape of null", "not a number", image(one(`{"dtype":"U8","shape":[null],"data_offsets":[0,0]}`), 0)},
	{"shape of text", "not a number", image(one(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`), 1)},
	{"shape 1.0", "not a size", image(one(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`), 1)},
	{"shape -1", "not a size", image(one(`{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}`), 1)},
	{"shape 2^63", "not a size", image(one(`{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}`), 1)},
	{"product overflows", "overflow", image(one(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}`), 0)},
	{"product overflows before a zero", "overflow", image(one(`{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}`), 0)},
	{"bytes overflow", "overflow", image(one(`{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}`), 0)},
	{"half a byte", "whole bytes", image(one(`{"dtype":"F4","shape":[9],"data_offsets":[0,4]}`), 4)},
	{"one offset", "two numbers", image(one(`{"dtype":"U8","shape":[1],"data_offsets":[1]}`), 1)},
	{"three offsets", "two numbers", image(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}`), 1)},
	{"offset -0", "not a size", image(one(`{"dtype":"U8","shape":[0],"data_offsets":[0,-0]}`), 0)},
	{"end before begin", "hole or overlap", image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}}`, 2)},
	{"hole at the start", "hole or overlap", image(one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`), 2)},
	{"hole", "hole or overlap", image(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3)},
	{"overlap", "hole or overlap", image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3)},
	{"same place", "hole or overlap", image(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2)},
	{"too long for its shape", "takes 1", image(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,2]}`), 2)},
	{"too short for its shape", "takes 4", image(one(`{"dtype":"F32","shape":[1],"data_offsets":[0,2]}`), 2)},
	{"bytes left over", "end at byte", image(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`), 2)},
	{"bytes missing", "end at byte", image(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`), 1)},
}

func TestParse(t *testing.T) {
	for _, c := range valid {
		if _, err := Parse(image(c.header, c.n)); err != nil {
			t.Errorf("%s: %v", c.header, err)
		}
	}
	for _, c := range invalid {
		_, err := Parse(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	f, err := Open("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata()["format"] != "pt" || len(f.Names()) != 19 || !slices.IsSorted(f.Names()) {
		t.Errorf("metadata %v, names %q", f.Metadata(), f.Names())
	}
	a, ok := f.Tensor("a")
	v, err := a.F32()
	if !ok || err != nil || len(a.Shape) != 0 || len(v) != 1 || v[0] != 1.5 {
		t.Errorf("scalar: %v %v %v %v", a, ok, v, err)
	}
	if _, ok := f.Tensor("b"); ok {
		t.Error("found a tensor that is not there")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	os.WriteFile(empty, nil, 0o644)
	for path, want := range map[string]string{dir: "not a regular file", empty: "too few", filepath.Join(dir, "none"): "no such file"} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range valid {
		f.Add(image(c.header, c.n))
	}
	for _, c := range invalid {
		f.Add(c.file)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		var all []Tensor
		total := 0
		for _, name := range file.Names() {
			x, _ := file.Tensor(name)
			all, total = append(all, x), total+len(x.Data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, len(b))
		}
		var out bytes.Buffer
		if err := Write(&out, all, file.Metadata()); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			y, _ := again.Tensor(x.Name)
			if !slices.Equal(x.Shape, y.Shape) || x.DType != y.DType || !bytes.Equal(x.Data, y.Data) {
				t.Fatalf("%v became %v", x, y)
			}
		}
	})
}
