package builtins

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"starbook/runtime"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// lay puts the files of a tree under their names into a new directory, as
// links to the blobs, for code that reads a Hugging Face folder. remove takes
// the directory away; files that are mapped stay readable.
func lay(st *store.Store, h Handle) (dir string, remove func(), err error) {
	tree, err := st.Blobs.ReadTree(h.Digest)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", h, err)
	}
	if dir, err = os.MkdirTemp("", "starbook-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	for _, e := range tree {
		blob, err := filepath.Abs(st.Blobs.Path(e.Digest))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, e.Name)), 0o755)
		}
		if err == nil {
			err = os.Symlink(blob, filepath.Join(dir, e.Name))
		}
		if err != nil {
			remove()
			return "", nil, fmt.Errorf("%s: %w", h, err)
		}
	}
	return dir, remove, nil
}

// keep makes a tree artifact of the files of a directory that accept allows.
func keep(s *runtime.Step, kind, dir string, accept func(name string) bool, facts Facts) (runtime.Artifact, error) {
	var tree cas.Tree
	err := filepath.WalkDir(within(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		name := filepath.ToSlash(rel)
		if err != nil || !accept(name) {
			return err
		}
		info, err := os.Stat(path) // models are often links into a cache
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		g, err := s.Store().Blobs.PutFile(path)
		if err != nil {
			return err
		}
		tree = append(tree, cas.Entry{Name: name, Digest: g, Size: info.Size()})
		return nil
	})
	if err != nil {
		return runtime.Artifact{}, fmt.Errorf("%s: %w", dir, err)
	}
	g, err := s.PutTree(tree)
	if err != nil {
		return runtime.Artifact{}, err
	}
	return runtime.Artifact{Kind: kind, Digest: g, Summary: summary(facts)}, nil
}

// export copies the files of a tree into a directory inside the host's root.
func (h *Host) export(st *store.Store, a Handle, to string) error {
	tree, err := st.Blobs.ReadTree(a.Digest)
	if err != nil {
		return err
	}
	for _, e := range tree {
		if err := st.Blobs.Verify(e.Digest); err != nil {
			return err
		}
		f, err := st.Blobs.Open(e.Digest)
		if err != nil {
			return err
		}
		err = h.place(filepath.Join(to, filepath.FromSlash(e.Name)), f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// place writes a file inside the host's root, whole or not at all.
func (h *Host) place(name string, from io.Reader) error {
	root, err := h.root()
	if err != nil {
		return err
	}
	defer root.Close()
	if name = filepath.FromSlash(name); !filepath.IsLocal(name) {
		return fmt.Errorf("path: got %s, want a place in the notebook's folder", name)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	half := name + ".new"
	f, err := root.Create(half)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(half, name)
	}
	if err != nil {
		root.Remove(half) // best effort: the first error is the one to tell
	}
	return err
}
