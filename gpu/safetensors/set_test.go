package safetensors

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// model writes one U8 tensor per name into dir/file.
func model(t *testing.T, dir, file string, names ...string) string {
	t.Helper()
	var all []Tensor
	for i, n := range names {
		all = append(all, Tensor{n, "U8", []int{1}, []byte{byte(i)}})
	}
	path := filepath.Join(dir, file)
	if err := WriteFile(path, all, nil, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenSet(t *testing.T) {
	dir := t.TempDir()
	one := model(t, dir, "s1.safetensors", "b", "a")
	two := model(t, dir, "s2.safetensors", "c")
	index := filepath.Join(dir, indexName)
	os.WriteFile(index, []byte(`{"metadata":{"total_size":3},"weight_map":{"c":"s2.safetensors","a":"s1.safetensors","b":"s1.safetensors"}}`), 0o644)
	for _, paths := range [][]string{{dir}, {index}, {one, two}} {
		s, err := OpenSet(paths...)
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := s.Tensor("c"); !ok || c.Data[0] != 0 || !slices.Equal(s.Names(), []string{"a", "b", "c"}) || s.Files()[1].Path() != two {
			t.Errorf("%v: %v %v", paths, s.Names(), c)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	single := t.TempDir()
	model(t, single, singleName, "x")
	s, err := OpenSet(single)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.Tensor("y"); ok {
		t.Error("found a tensor that is not there")
	}
}

func TestOpenSetRefuses(t *testing.T) {
	for _, c := range []struct{ index, want string }{
		{`{"weight_map":{"a":"../s1.safetensors"}}`, "plain file name"},
		{`{"weight_map":{"a":"..\\s1.safetensors"}}`, "plain file name"},
		{`{"weight_map":{"a":".."}}`, "plain file name"},
		{`{"weight_map":{"a":""}}`, "plain file name"},
		{`{"weight_map":{"a":"/etc/passwd"}}`, "plain file name"},
		{`{"weight_map":{}}`, "weight_map"},
		{`{`, "JSON"},
		{`{"weight_map":{"a":"none.safetensors"}}`, "no such file"},
		{`{"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}}`, `"b" is not in s2`},
		{`{"weight_map":{"a":"s1.safetensors"}}`, `not in the index`},
	} {
		dir := t.TempDir()
		model(t, dir, "s1.safetensors", "a", "b")
		model(t, dir, "s2.safetensors", "c")
		os.WriteFile(filepath.Join(dir, indexName), []byte(c.index), 0o644)
		if _, err := OpenSet(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.index, err)
		}
	}
	dir := t.TempDir()
	a, b := model(t, dir, "a", "x"), model(t, dir, "b", "x")
	if _, err := OpenSet(a, b); err == nil || !strings.Contains(err.Error(), `"x" is in`) {
		t.Error(err)
	}
	if _, err := OpenSet(dir); err == nil || !strings.Contains(err.Error(), singleName) {
		t.Error(err)
	}
}
