package cas

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Entry is one file of a Tree.
type Entry struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// Tree is a directory artifact: files under slash-separated names, sorted. Its
// digest is that of its canonical JSON, itself a blob.
type Tree []Entry

// PutTree keeps a sorted copy of t after checking that its names can be
// written to any directory and that its blobs exist and have those sizes.
func (d *Dir) PutTree(t Tree) (Digest, error) {
	t = slices.Clone(t)
	slices.SortFunc(t, byName)
	if err := t.check(); err != nil {
		return Digest{}, err
	}
	for _, e := range t {
		size, err := d.Size(e.Digest)
		if err != nil {
			return Digest{}, fmt.Errorf("cas: tree: %s: %w", e.Name, err)
		}
		if size != e.Size {
			return Digest{}, fmt.Errorf("cas: tree: %s has size %d: its blob %s has %d bytes", e.Name, e.Size, e.Digest.Short(), size)
		}
	}
	if t == nil {
		t = Tree{} // [] and not null
	}
	b, err := json.Marshal(t)
	if err != nil {
		return Digest{}, fmt.Errorf("cas: tree: %w", err)
	}
	return d.Put(b)
}

// ReadTree returns the tree that PutTree kept under g.
func (d *Dir) ReadTree(g Digest) (Tree, error) {
	b, err := d.ReadAll(g)
	if err != nil {
		return nil, err
	}
	var t Tree
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("cas: blob %s is not a tree: %w", g, err)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("cas: blob %s is not a tree: %w", g, err)
	}
	return t, nil
}

// Find returns the entry called name.
func (t Tree) Find(name string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(t, Entry{Name: name}, byName)
	if !ok {
		return Entry{}, false
	}
	return t[i], true
}

func byName(a, b Entry) int { return strings.Compare(a.Name, b.Name) }

// check refuses names that leave the directory (trees come from other
// machines), that are there twice, or that are file and directory at once.
func (t Tree) check() error {
	files := make(map[string]bool, len(t))
	for i, e := range t {
		if !fs.ValidPath(e.Name) || e.Name == "." || strings.ContainsAny(e.Name, "\\\x00") {
			return fmt.Errorf("cas: tree: bad name %q: want a relative slash-separated path", e.Name)
		}
		if i > 0 && t[i-1].Name >= e.Name {
			return fmt.Errorf("cas: tree: %q is there twice or out of order", e.Name)
		}
		files[e.Name] = true
	}
	for _, e := range t {
		for i, c := range e.Name {
			if c == '/' && files[e.Name[:i]] {
				return fmt.Errorf("cas: tree: %q is a file and a directory", e.Name[:i])
			}
		}
	}
	return nil
}
