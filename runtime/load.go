package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starbook/runtime/cas"
)

// maxLibrary is the size above which a file is not a library, in bytes.
const maxLibrary = 1 << 20

// dialect is the Starlark of notebooks. A global means one thing, so that a
// function's fingerprint has one value for it.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true}

// loader executes files: the notebook, and the libraries in its folder, each once.
type loader struct {
	run         *Run
	dir         string // of the notebook, as its path has it
	root        *os.Root
	predeclared starlark.StringDict
	done        map[string]starlark.StringDict // by name relative to dir
	loading     []string                       // from the outside in
}

func newLoader(r *Run, predeclared starlark.StringDict) (*loader, error) {
	dir := filepath.Dir(r.Notebook.Path)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("run: the notebook's folder: %w", err)
	}
	return &loader{run: r, dir: dir, root: root, predeclared: predeclared, done: map[string]starlark.StringDict{}}, nil
}

func (l *loader) close() { l.root.Close() }

// exec compiles and runs src on t. Positions in it carry name.
func (l *loader) exec(t *starlark.Thread, name string, src []byte) (starlark.StringDict, error) {
	f, prog, err := starlark.SourceProgramOptions(dialect, name, src, l.predeclared.Has)
	if err != nil {
		return nil, err
	}
	l.run.mu.Lock()
	l.run.files[name] = f
	l.run.mu.Unlock()
	if l.run.plan != nil {
		if prog, err = l.run.plan.compile(name, src, l.predeclared.Has); err != nil {
			return nil, err
		}
	}
	return prog.Init(t, l.predeclared)
}

// Check returns a *ScriptError if the notebook's text is not in the syntax of Starlark.
func (n *Notebook) Check() error {
	if _, err := dialect.Parse(n.Path, n.Source, 0); err != nil {
		return n.located(err, map[string][]byte{n.Path: n.Source})
	}
	return nil
}

// load implements Starlark's load: module is relative to the file that says
// so, and never leaves the notebook's folder, by ".." or by symbolic link.
func (l *loader) load(t *starlark.Thread, module string) (starlark.StringDict, error) {
	from, err := filepath.Rel(l.dir, t.CallFrame(0).Pos.Filename())
	if err != nil {
		return nil, err
	}
	name := path.Join(path.Dir(filepath.ToSlash(from)), module)
	switch {
	case path.Ext(name) != ".star":
		return nil, errors.New("libraries end in .star")
	case path.IsAbs(module) || !filepath.IsLocal(filepath.FromSlash(name)):
		return nil, errors.New("it lies outside the notebook's folder: copy it there")
	case slices.Contains(l.loading, name) || name == filepath.Base(l.run.Notebook.Path):
		return nil, fmt.Errorf("load cycle: %s", strings.Join(append(l.loading, name), " → "))
	}
	if globals, ok := l.done[name]; ok {
		return globals, nil
	}
	src, err := l.read(name)
	if err != nil {
		return nil, err
	}
	l.loading = append(l.loading, name)
	defer func() { l.loading = l.loading[:len(l.loading)-1] }()
	globals, err := l.exec(t, filepath.Join(l.dir, name), src)
	globals.Freeze()
	if err != nil {
		return nil, err
	}
	l.done[name] = globals
	return globals, nil
}

// read reads a library and keeps its text for the record.
func (l *loader) read(name string) ([]byte, error) {
	f, err := l.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxLibrary+1))
	if err != nil {
		return nil, err
	}
	if len(src) > maxLibrary {
		return nil, fmt.Errorf("larger than %d bytes: not a library", maxLibrary)
	}
	if line := badUTF8(src); line > 0 {
		return nil, fmt.Errorf("line %d is not UTF-8: save the file as UTF-8", line)
	}
	l.run.mu.Lock()
	l.run.sources[filepath.Join(l.dir, name)] = src
	l.run.mu.Unlock()
	if l.run.plan != nil {
		return src, nil // a plan keeps nothing
	}
	g, err := l.run.Store.Blobs.Put(src)
	if err != nil {
		return nil, err
	}
	l.run.mu.Lock()
	defer l.run.mu.Unlock()
	l.run.libs = append(l.run.libs, cas.Entry{Name: name, Digest: g, Size: int64(len(src))})
	return src, nil
}
