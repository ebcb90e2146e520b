package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
)

// golden is the file that ggml's own Python package wrote: testdata/make.py.
func golden(t testing.TB) *File {
	t.Helper()
	f, err := Open(filepath.Join("testdata", "types.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestMetadataIsRead(t *testing.T) {
	m := &golden(t).Meta
	for key, want := range map[string]any{
		"general.architecture": "llama", "test.uint8": uint8(200), "test.int8": int8(-100), "test.uint16": uint16(60000),
		"test.int16": int16(-30000), "test.uint32": uint32(4_000_000_000), "test.int32": int32(-2_000_000_000),
		"test.uint64": uint64(1 << 60), "test.int64": int64(-1 << 60), "test.float32": float32(0.1), "test.float64": 0.1,
		"test.bool": true, "test.string": "Grüße, 世界",
	} {
		if got := m.Value(key); got != want {
			t.Errorf("%s: %v (%T), want %v", key, got, got, want)
		}
	}
	if !slices.Equal(m.Strings("test.array"), []string{"", "a", "▁b"}) || !slices.Equal(m.Ints("test.ints"), []int32{1, -2, 3}) ||
		!slices.Equal(m.Floats("test.floats"), []float32{0.5, -0.25}) {
		t.Errorf("lists: %v %v %v", m.Value("test.array"), m.Value("test.ints"), m.Value("test.floats"))
	}
	if n, err := m.Int("test.int16", 0); n != -30000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if x, err := m.Float("test.uint8", 0); x != 200 || err != nil {
		t.Errorf("%v, %v", x, err)
	}
	if _, err := m.Int("test.string", 0); err == nil {
		t.Error("a string is no integer")
	}
	if n, err := m.Int("test.nothing", 7); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// Every type is decoded to the bits that the package decodes it to.
func TestTypesAreDecoded(t *testing.T) {
	f := golden(t)
	for _, typ := range []gpu.Type{gpu.F16, gpu.BF16, gpu.Q8_0, gpu.Q4_0, gpu.Q4_1, gpu.Q4_K, gpu.Q6_K} {
		x, ok := f.Tensor(typ.String())
		want, ok2 := f.Tensor(typ.String() + ".f32")
		if !ok || !ok2 || x.Type != typ || !slices.Equal(x.Shape, want.Shape) {
			t.Fatalf("%v: %+v, %+v", typ, x.Shape, want.Shape)
		}
		got, exact := typ.Decode(x.Data), gpu.F32.Decode(want.Data)
		for i := range exact {
			if math.Float32bits(got[i]) != math.Float32bits(exact[i]) && (got[i] != 0 || exact[i] != 0) {
				t.Errorf("%v %d: %v, want %v", typ, i, got[i], exact[i])
				break
			}
		}
	}
}

// What is encoded has the bytes that the package makes.
func TestTypesAreEncoded(t *testing.T) {
	f := golden(t)
	for _, typ := range []gpu.Type{gpu.F16, gpu.BF16, gpu.Q8_0} {
		source, _ := f.Tensor(typ.String() + ".source")
		want, _ := f.Tensor(typ.String())
		got, err := Encode(typ, gpu.F32.Decode(source.Data))
		if err != nil || !bytes.Equal(got, want.Data) {
			t.Errorf("%v: other bytes, %v", typ, err)
		}
	}
	if _, err := Encode(gpu.F16, []float32{7e4}); err == nil {
		t.Error("70000 became an F16")
	}
	if _, err := Encode(gpu.Q4_0, make([]float32, 32)); err == nil {
		t.Error("Q4_0 was written")
	}
}

func TestWrittenIsRead(t *testing.T) {
	var m Meta
	m.Set("general.architecture", "llama")
	m.Set("a.bool", true)
	m.Set("an.int", int32(-1))
	m.Set("words", []string{"x", ""})
	m.Set("ints", []int32{5})
	m.Set("scores", []float32{1, 2})
	tensors := []Tensor{
		{Name: "w", Type: gpu.Q8_0, Shape: []int{3, 64}},
		{Name: "norm", Type: gpu.F32, Shape: []int{5}},
		{Name: "half", Type: gpu.BF16, Shape: []int{2, 3}},
	}
	data := map[string][]byte{}
	for _, x := range tensors {
		data[x.Name] = bytes.Repeat([]byte{byte(len(x.Name))}, x.Type.Bytes(x.Len()))
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := WriteFile(path, &m, tensors, func(x Tensor) ([]byte, error) { return data[x.Name], nil }); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !slices.Equal(f.Meta.Keys, m.Keys) || !f.Meta.Bool("a.bool", false) || f.Meta.Strings("words")[0] != "x" {
		t.Errorf("%+v", f.Meta)
	}
	for i, x := range tensors {
		got := f.Tensors[i]
		if got.Name != x.Name || got.Type != x.Type || !slices.Equal(got.Shape, x.Shape) || !bytes.Equal(got.Data, data[x.Name]) {
			t.Errorf("%s: %v %v", got.Name, got.Type, got.Shape)
		}
	}
	if err := WriteFile(path, &m, tensors[:1], func(Tensor) ([]byte, error) { return nil, nil }); err == nil {
		t.Error("a tensor without its data was written")
	}
}

// A file that lies about sizes is refused, and says of which tensor or key.
func TestDamagedFilesAreRefused(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("testdata", "types.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, []byte("F16.source")) // the name, then 2 axes, 64 and 3
	change := func(offset int, value uint64, size int) []byte {
		b := slices.Clone(good)
		var le [8]byte
		binary.LittleEndian.PutUint64(le[:], value)
		copy(b[offset:], le[:size])
		return b
	}
	for want, b := range map[string][]byte{
		"begins with":          []byte(strings.Repeat("x", 40)),
		"version 1":            change(4, 1, 4),
		"version 50331648":     change(4, 3<<24, 4),
		"the header ends":      good[:400],
		"the data of a tensor": good[:len(good)-4096],
		"axes":                 change(at+10, 5, 4),
		"an axis of":           change(at+14, 1<<40, 8),
		"is of type Q5_K":      change(at+30, 13, 4),
		"which is no multiple": change(at+34, 3, 8),
		"lies at bytes":        change(at+34, 1<<40, 8),
		"tensor \"F32\" and":   change(at+34, 0, 8),
		"a list of":            change(bytes.Index(good, []byte("test.array"))+18, 1<<50, 8),
		"is of kind 77":        change(bytes.Index(good, []byte("test.bool"))+9, 77, 4),
	} {
		_, err := parse(b)
		if want == "the data of a tensor" {
			want = "lies at bytes"
		}
		if want == "tensor \"F32\" and" {
			want = "overlap"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := os.ReadFile(filepath.Join("testdata", "types.gguf"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:6000])
	var small bytes.Buffer
	var m Meta
	m.Set("general.alignment", uint32(32))
	m.Set("words", []string{"a"})
	tensor := Tensor{Name: "w", Type: gpu.Q8_0, Shape: []int{1, 32}}
	if err := Write(&small, &m, []Tensor{tensor}, func(Tensor) ([]byte, error) { return make([]byte, 34), nil }); err != nil {
		f.Fatal(err)
	}
	f.Add(small.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse(b)
		if err != nil {
			return
		}
		for _, x := range file.Tensors {
			if n := x.Type.Elements(len(x.Data)); n != x.Len() {
				t.Errorf("%s: %d elements of %v", x.Name, n, x.Shape)
			}
			x.Type.Decode(x.Data)
		}
	})
}
