package safetensors

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The bytes of the reference implementation come back from its own tensors,
// given in any order.
func TestWriteIsTheReference(t *testing.T) {
	want, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(want)
	if err != nil {
		t.Fatal(err)
	}
	var all []Tensor
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		all = append(all, x)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var got bytes.Buffer
		if err := Write(&got, all, f.Metadata()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("got  %q\nwant %q", got.Bytes(), want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	var huge []Tensor // 9 · 2⁶⁰ bytes less 9
	for i := range 9 {
		huge = append(huge, Tensor{Name: string(rune('a' + i)), DType: "U8", Shape: []int{1<<60 - 1}})
	}
	u8 := func(name string, n int) Tensor { return Tensor{name, "U8", []int{n}, make([]byte, n)} }
	for want, tensors := range map[string][]Tensor{
		"given twice":    {u8("a", 1), u8("a", 1)},
		"reserved":       {u8("__metadata__", 1)},
		"unknown dtype":  {{"a", "F31", nil, nil}},
		"negative axis":  {{"a", "U8", []int{-1}, nil}},
		"overflow":       {{"a", "U8", []int{1 << 62, 4}, nil}},
		"not UTF-8":      {u8("\xff", 1)},
		"2 bytes given":  {{"a", "U8", []int{3}, []byte{1, 2}}},
		"whole bytes":    {{"a", "F6_E2M3", []int{3}, nil}},
		"would overflow": huge,
	} {
		if err := Write(&bytes.Buffer{}, tensors, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.safetensors")
	specs := []Tensor{{Name: "a", DType: "F32", Shape: []int{2}}, {Name: "b", DType: "F64", Shape: []int{1}}}
	var order []string
	err := WriteFile(path, specs, nil, func(x Tensor) ([]byte, error) {
		order = append(order, x.Name)
		return make([]byte, 8), nil
	})
	if err != nil || !slices.Equal(order, []string{"b", "a"}) {
		t.Fatal(order, err)
	}
	before, _ := os.ReadFile(path)
	err = WriteFile(path, specs, nil, func(Tensor) ([]byte, error) { return nil, errors.New("lost") })
	if err == nil || !strings.Contains(err.Error(), `tensor "b": lost`) {
		t.Errorf("got %v", err)
	}
	after, _ := os.ReadFile(path)
	left, _ := os.ReadDir(dir)
	if !bytes.Equal(before, after) || len(left) != 1 {
		t.Errorf("a failed write left its traces: %v", left)
	}
}
