package grade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// yaegiVersion is part of every GoFile's Version: another interpreter is
// another grader. A test holds it to go.mod.
const yaegiVersion = "v0.16.1"

// GoOptions limit a Go grader. Zero fields take the defaults.
type GoOptions struct {
	Deadline time.Duration // of one answer, in processor time; 5 s
	Start    time.Duration // of a child, which compiles the file; 30 s, for machines that are busy
	Memory   int64         // bytes of one child; 512 MiB
	Children int           // processes; one a core
}

// GoFile grades with a Go file: func Grade(prompt, answer, want string)
// (float64, string), interpreted by yaegi in child processes of this program.
//
// A child has an empty environment, no files and no network: only the packages
// of allowed can be imported. It is killed at its deadline or memory limit and
// a new one goes on; only the answer at hand is then Unscored. Graders must
// not keep state between calls: which child grades what is left open.
type GoFile struct {
	path    string
	source  string
	version string
	opts    GoOptions
	idle    chan *child // one slot a child; nil in it is a child not yet started
}

var _ Batch = (*GoFile)(nil)

// NewGoFile reads and vets path; errors name file and line. Children start on
// first use. The caller closes it.
func NewGoFile(path string, o GoOptions) (*GoFile, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := vet(filepath.Base(path), src); err != nil {
		return nil, err
	}
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Second
	}
	if o.Start <= 0 {
		o.Start = 30 * time.Second
	}
	if o.Memory <= 0 {
		o.Memory = 512 << 20
	}
	if o.Children <= 0 {
		o.Children = runtime.NumCPU()
	}
	sum := sha256.Sum256(src)
	g := &GoFile{
		path: path, source: string(src), opts: o,
		version: hex.EncodeToString(sum[:]) + " yaegi " + yaegiVersion,
		idle:    make(chan *child, o.Children),
	}
	for range o.Children {
		g.idle <- nil
	}
	return g, nil
}

// Name implements Grader.
func (g *GoFile) Name() string { return "go:" + filepath.Base(g.path) }

// Version is the digest of the source and the interpreter's version.
func (g *GoFile) Version() string { return g.version }

// Close ends the children. It must not be called while grading.
func (g *GoFile) Close() error {
	for range g.opts.Children {
		(<-g.idle).kill()
	}
	for range g.opts.Children {
		g.idle <- nil // a later call starts new ones
	}
	return nil
}

// Grade grades one answer.
func (g *GoFile) Grade(ctx context.Context, it Item) (Score, error) {
	scores, err := g.GradeAll(ctx, []Item{it})
	if err != nil {
		return Score{}, err
	}
	return scores[0], nil
}

// share is how many answers a child takes at a time: enough to hide the pipe,
// few enough that the children end together.
const share = 16

// GradeAll spreads the items over the children.
func (g *GoFile) GradeAll(ctx context.Context, items []Item) ([]Score, error) {
	scores := make([]Score, len(items))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(g.opts.Children)
	for lo := 0; lo < len(items) && groupCtx.Err() == nil; lo += share {
		hi := min(lo+share, len(items))
		group.Go(func() error { return g.gradeShare(groupCtx, items[lo:hi], scores[lo:hi]) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return scores, ctx.Err()
}

// gradeShare fills scores, with as many children one after another as the
// items need.
func (g *GoFile) gradeShare(ctx context.Context, items []Item, scores []Score) error {
	c := <-g.idle
	defer func() { g.idle <- c }()
	for done := 0; done < len(items); {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c == nil {
			var err error
			if c, err = startChild(ctx, g.path, g.source, g.opts); err != nil {
				return err
			}
		}
		n, err := c.grade(ctx, items[done:], scores[done:])
		done += n
		if err == nil {
			continue
		}
		c.kill()
		note := c.epitaph(err)
		c = nil
		if ctx.Err() != nil {
			return ctx.Err()
		}
		scores[done] = Score{Outcome: Unscored, Note: note}
		done++
	}
	return nil
}

// vet finds, before anything runs, what the interpreter would refuse or trip
// over.
func vet(name string, src []byte) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if !isAllowed(path) {
			return fmt.Errorf("%s: import %q: a grader may import only %s", fset.Position(spec.Pos()), path, strings.Join(allowed, ", "))
		}
	}
	const want = "func Grade(prompt, answer, want string) (float64, string)"
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Grade" && f.Recv == nil {
			if signature(f.Type) != "string string string -> float64 string" {
				return fmt.Errorf("%s: Grade has another signature: make it %s", fset.Position(f.Pos()), want)
			}
			return nil
		}
	}
	return fmt.Errorf("%s:1: no Grade in the file: add %s", name, want)
}

// signature spells the types of a function: "string string -> bool".
func signature(t *ast.FuncType) string {
	words := append(types(t.Params), "->")
	if t.TypeParams != nil {
		words = append(words, "generic")
	}
	return strings.Join(append(words, types(t.Results)...), " ")
}

func types(list *ast.FieldList) (words []string) {
	if list == nil {
		return nil
	}
	for _, f := range list.List {
		word := "?"
		if id, ok := f.Type.(*ast.Ident); ok {
			word = id.Name
		}
		for range max(1, len(f.Names)) {
			words = append(words, word)
		}
	}
	return words
}
