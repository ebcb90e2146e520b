package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is the diagram of ARCHITECTURE.md: what each package may import of
// ours. Arrows go down only. The root may import everything; a package that is
// not here has no place yet.
var allowed = map[string][]string{
	"runtime/cas":      {},
	"runtime/event":    {},
	"runtime/notebook": {},
	"runtime/stats":    {},
	"runtime/store":    {"runtime/cas", "runtime/event"},
	"runtime":          {"runtime/store", "runtime/cas", "runtime/event", "runtime/notebook"},

	"gpu":                   {},
	"gpu/safetensors":       {"gpu/internal/disk"},
	"gpu/internal/disk":     {},
	"gpu/token":             {},
	"gpu/chat":              {"gpu/chat/jinja", "gpu/token"},
	"gpu/chat/jinja":        {},
	"gpu/ref":               {"gpu", "gpu/safetensors"},
	"gpu/cpu":               {"gpu"},
	"gpu/cpu/internal/peer": {"gpu"}, // OpenBLAS, for the benchmark beside it
	"gpu/cuda": {
		"gpu", "gpu/cuda/kernels", "gpu/cuda/internal/driver", "gpu/cuda/internal/libs",
	},
	"gpu/cuda/kernels":            {},
	"gpu/cuda/internal/driver":    {},
	"gpu/cuda/internal/libs":      {},
	"gpu/cuda/internal/sim":       {"gpu/cuda/kernels"}, // a driver that computes on the CPU, for tests
	"gpu/cuda/internal/sim/build": {"gpu/cuda/internal/sim"},
	"gpu/gputest":                 {"gpu", "gpu/ref"},
	"gpu/gguf":                    {"gpu", "gpu/safetensors", "gpu/internal/disk"},
	"gpu/model":                   {"gpu", "gpu/safetensors", "gpu/gguf"},
	"gpu/train":                   {"gpu", "gpu/model", "gpu/safetensors"},
	"gpu/bench":                   {"gpu", "gpu/model", "gpu/train"},

	"builtins/dataset":      {},
	"builtins/hub":          {},
	"builtins/teacher":      {},
	"builtins/teacher/stub": {}, // a provider for tests
	"builtins/grade":        {},
	"builtins/sweep":        {"runtime"}, // for what a pruned trial's context ends with
	"builtins": {
		"builtins/dataset", "builtins/hub", "builtins/teacher", "builtins/grade", "builtins/sweep",
		"runtime", "runtime/store", "runtime/cas", "runtime/event", "runtime/stats",
		"gpu", "gpu/safetensors", "gpu/token", "gpu/chat", "gpu/chat/jinja", "gpu/model", "gpu/train", // not the devices: main brings one
	},

	"reports":       {"reports/where", "runtime/store", "runtime/cas", "runtime/event", "runtime/notebook", "runtime/stats"},
	"reports/where": {},
	"reports/live":  {"reports", "runtime/store"},

	"scripts":               {},
	"scripts/graders/regex": {},
	"scripts/data/nl-rx":    {"scripts/graders/regex"},
}

// doors says where a library may be imported: in a package or in one file of
// it. What stands in no row may be imported nowhere.
var doors = map[string][]string{
	"C":                               {"gpu/cpu", "gpu/cpu/internal/peer", "gpu/cuda/internal/driver", "gpu/cuda/internal/libs"},
	"gorgonia.org/cu":                 {"gpu/cuda/internal/driver"},
	"net/http":                        {"builtins/hub", "builtins/teacher", "builtins/teacher/stub", "reports/live"},
	"go.starlark.net":                 {"builtins", "runtime/run.go", "runtime/load.go", "runtime/plan.go", "runtime/trace.go"},
	"github.com/mattn/go-sqlite3":     {"runtime/store"},
	"database/sql":                    {"runtime/store"},
	"github.com/traefik/yaegi":        {"builtins/grade"},
	"github.com/sashabaranov":         {"builtins/teacher"},
	"github.com/anthropics":           {"builtins/teacher"},
	"github.com/tiktoken-go":          {"builtins/teacher"},
	"github.com/santhosh-tekuri":      {"builtins/teacher"},
	"github.com/parquet-go":           {"builtins/dataset"},
	"gonum.org/v1/plot":               {"reports"},
	"github.com/yuin/goldmark":        {"reports"},
	"github.com/spf13/cobra":          {"."},
	"github.com/rogpeppe/go-internal": {}, // tests only
}

// anywhere holds libraries that are as good as standard.
var anywhere = []string{"golang.org/x/sys", "golang.org/x/term", "golang.org/x/sync", "golang.org/x/text"}

// source is a Go file of this module that is not a test, whatever its build tags.
type source struct {
	dir, path string // slash-separated, from the root; the root is "."
	file      *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.ToSlash(path)
		all = append(all, source{filepath.ToSlash(filepath.Dir(path)), path, f})
	})
	return all
}

// walk calls visit for the files of the repository: hidden folders are not of it, but .ci is.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." && path != ".ci":
			return fs.SkipDir
		case d.Type().IsRegular():
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// under reports whether an import path is prefix or lies below it.
func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		may, known := allowed[s.dir]
		if !known && s.dir != "." {
			t.Errorf("%s: the package %s is not in the table: say in architecture_test.go and ARCHITECTURE.md what it may import", s.path, s.dir)
			continue
		}
		for _, spec := range s.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			ours, found := strings.CutPrefix(path, "starbook/")
			if found && s.dir != "." && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s, which %s may not", s.path, ours, s.dir)
			}
		}
	}
}

// TestImportsAcyclic keeps the table itself honest: a table with a cycle would allow one.
func TestImportsAcyclic(t *testing.T) {
	state := map[string]int{} // 1: on the path, 2: done
	var visit func(pkg string)
	visit = func(pkg string) {
		if state[pkg] == 1 {
			t.Fatalf("the table of imports has a cycle through %s", pkg)
		}
		if state[pkg] == 2 {
			return
		}
		state[pkg] = 1
		for _, next := range allowed[pkg] {
			if _, ok := allowed[next]; !ok {
				t.Errorf("%s may import %s, which is not in the table", pkg, next)
			}
			visit(next)
		}
		state[pkg] = 2
	}
	for pkg := range allowed {
		visit(pkg)
	}
}

func TestOneDoor(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if slices.ContainsFunc(anywhere, func(lib string) bool { return under(path, lib) }) {
				continue
			}
			where, listed := door(path)
			first, _, _ := strings.Cut(path, "/")
			if foreign := strings.Contains(first, "."); foreign && !listed {
				t.Errorf("%s imports %s, which has no door: name one in architecture_test.go", s.path, path)
			}
			if listed && !slices.Contains(where, s.dir) && !slices.Contains(where, s.path) {
				t.Errorf("%s imports %s, whose door is %s", s.path, path, strings.Join(where, ", "))
			}
		}
	}
}

func door(path string) ([]string, bool) {
	for lib, where := range doors {
		if under(path, lib) {
			return where, true
		}
	}
	return nil, false
}

func TestPackageComments(t *testing.T) {
	comments := map[string]int{}
	for _, s := range sources(t) {
		n := 0
		if s.file.Doc != nil {
			n = 1
		}
		comments[s.dir] += n
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s: %d files have a package comment, want exactly one", dir, n)
		}
	}
}

// TestExportedDocs: what the rooms export is explained where it is declared.
func TestExportedDocs(t *testing.T) {
	for _, s := range sources(t) {
		room, _, _ := strings.Cut(s.dir, "/")
		if !slices.Contains([]string{"runtime", "builtins", "gpu", "reports"}, room) {
			continue
		}
		for _, name := range undocumented(s.file) {
			t.Errorf("%s: %s has no doc comment", s.path, name)
		}
	}
}

func undocumented(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec)...)
			}
		}
	}
	return names
}

// undocumentedSpec: a comment above the group, above the line or behind it will do.
func undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	var names []string
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
			names = append(names, spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// here are the paths of the machine that a file was written on, and the registries
// that only that machine asks.
var here = []*regexp.Regexp{
	regexp.MustCompile(`/(work|farm|root|home|Users)/`),
	regexp.MustCompile(`proxy\.golang|pypi\.org|files\.pythonhosted|registry\.npmjs`),
}

func TestNoPathOfAMachine(t *testing.T) {
	walk(t, func(path string) {
		if path == "go.sum" || path == ".git" { // the latter is a file in a linked work tree
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			return // not text
		}
		for _, name := range here {
			if at := name.FindIndex(b); at != nil {
				t.Errorf("%s:%d names %q", path, 1+bytes.Count(b[:at[0]], []byte("\n")), b[at[0]:at[1]])
			}
		}
	})
}
