package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"starbook/gpu/internal/disk"
)

// A Set is the tensors of one model, spread over one or more files.
type Set struct {
	files []*File
	in    map[string]*File // tensor to file
	names []string         // sorted
}

// The names that Hugging Face gives to the weights of a model.
const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// OpenSet opens the weights of a model: a folder that holds
// model.safetensors or model.safetensors.index.json, such an index itself, or
// the files one by one. A tensor in two files is refused; so is an index that
// does not agree with its files.
func OpenSet(paths ...string) (*Set, error) {
	if len(paths) == 0 {
		return nil, errors.New("safetensors: no file given")
	}
	if len(paths) == 1 {
		path, err := weightsIn(paths[0])
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(path, ".json") {
			return openIndex(path)
		}
		paths = []string{path}
	}
	return openFiles(paths)
}

// Tensor returns the tensor of that name, and whether there is one.
func (s *Set) Tensor(name string) (Tensor, bool) {
	f, ok := s.in[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensor(name)
}

// Names returns the names of all tensors, sorted. The caller must not change it.
func (s *Set) Names() []string { return s.names }

// Files returns the open files, sorted by name after an index and as given
// otherwise. They belong to the set.
func (s *Set) Files() []*File { return s.files }

// Close closes every file. No tensor data may be used afterwards.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files, s.in, s.names = nil, nil, nil
	return errors.Join(errs...)
}

// weightsIn finds the weights in a folder; any other path is returned as is.
func weightsIn(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("safetensors: %s: %w", path, disk.Cause(err))
	}
	if !info.IsDir() {
		return path, nil
	}
	for _, name := range []string{singleName, indexName} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return filepath.Join(path, name), nil
		}
	}
	return "", fmt.Errorf("safetensors: %s: neither %s nor %s is there", path, singleName, indexName)
}

func openFiles(paths []string) (_ *Set, err error) {
	s := &Set{in: map[string]*File{}}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for _, path := range paths {
		f, err := Open(path)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
		for _, name := range f.Names() {
			if other, ok := s.in[name]; ok {
				return nil, fmt.Errorf("safetensors: tensor %q is in %s and in %s", name, other.path, path)
			}
			s.in[name] = f
		}
	}
	s.names = slices.Sorted(maps.Keys(s.in))
	return s, nil
}

func openIndex(path string) (*Set, error) {
	where, err := readIndex(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	shards := map[string]bool{}
	for _, shard := range where {
		shards[shard] = true
	}
	var paths []string
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		paths = append(paths, filepath.Join(filepath.Dir(path), shard))
	}
	s, err := openFiles(paths)
	if err != nil {
		return nil, err
	}
	if err := agree(where, s); err != nil {
		s.Close()
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	return s, nil
}

// readIndex returns where each tensor lies. A shard is a plain file name: a
// path could lead out of the model's folder.
func readIndex(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, disk.Cause(err)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, err
	}
	if len(index.WeightMap) == 0 {
		return nil, errors.New("weight_map is empty or missing")
	}
	for _, name := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if shard := index.WeightMap[name]; strings.ContainsAny(shard, `/\`) || !filepath.IsLocal(shard) || shard == "." {
			return nil, fmt.Errorf("tensor %q: %q is not a plain file name", name, shard)
		}
	}
	return index.WeightMap, nil
}

// agree checks that the index and its shards name the same tensors.
func agree(where map[string]string, s *Set) error {
	for _, name := range slices.Sorted(maps.Keys(where)) {
		if f, ok := s.in[name]; !ok || filepath.Base(f.path) != where[name] {
			return fmt.Errorf("tensor %q is not in %s: download the model again", name, where[name])
		}
	}
	for _, name := range s.names {
		if _, ok := where[name]; !ok {
			return fmt.Errorf("tensor %q of %s is not in the index", name, filepath.Base(s.in[name].path))
		}
	}
	return nil
}
