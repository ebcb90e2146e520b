package grade

import (
	"bufio"
	"fmt"
	"go/parser"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"
)

// allowed are the packages a grader may import: none of them reaches a file, a
// socket, the clock or the environment.
var allowed = []string{
	"bytes", "encoding/json", "errors", "fmt", "math", "math/big", "regexp", "sort",
	"strconv", "strings", "unicode", "unicode/utf8",
}

func isAllowed(path string) bool { return slices.Contains(allowed, path) }

// gradeFunc is what a grader file defines.
type gradeFunc = func(prompt, answer, want string) (float64, string)

// ChildMain turns the process into a grader child, and does not return, if it
// was started as one. Call it first in main, and in TestMain of packages that
// use GoFile.
func ChildMain() {
	switch os.Getenv(childEnv) {
	case "":
		return
	case "sandbox":
		confine()
	}
	// Two threads, so that the watchdog runs beside an endless loop.
	runtime.GOMAXPROCS(2)
	in, out := bufio.NewReader(os.Stdin), os.Stdout
	var h hello
	if readFrame(in, &h) != nil {
		os.Exit(1)
	}
	go watchMemory(h.Memory)
	grade, err := load(h.Name, h.Source)
	var r ready
	if err != nil {
		r.Error = err.Error()
	}
	if writeFrame(out, r) != nil || err != nil {
		os.Exit(1)
	}
	frames := make(chan []question)
	go func() {
		for {
			var qs []question
			if readFrame(in, &qs) != nil {
				os.Exit(0) // the parent is gone, whatever the grader is doing
			}
			frames <- qs
		}
	}()
	for qs := range frames {
		for _, q := range qs {
			if writeFrame(out, call(grade, q)) != nil {
				os.Exit(1)
			}
		}
	}
}

func call(grade gradeFunc, q question) (r reply) {
	defer func() {
		if p := recover(); p != nil {
			r = reply{Panic: clip(fmt.Sprint(p))}
		}
	}()
	v, note := grade(q.Prompt, q.Answer, q.Want)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return reply{Value: -1, Note: note} // JSON has no NaN; fromValue refuses -1 as well
	}
	return reply{Value: v, Note: note}
}

// watchMemory ends the process when it holds more than limit bytes. (An
// address-space limit is no use: Go reserves far more than it touches.)
func watchMemory(limit int64) {
	debug.SetMemoryLimit(limit * 3 / 4) // collect harder before it comes to that
	debug.SetMaxStack(int(limit / 2))
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	for {
		metrics.Read(s)
		if int64(s[0].Value.Uint64()-s[1].Value.Uint64()) > limit {
			os.Exit(memoryExit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// load compiles a grader. yaegi can panic on code that it does not know
// (range over an integer), which becomes an error.
func load(file, source string) (grade gradeFunc, err error) {
	name := filepath.Base(file)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: the interpreter (yaegi %s, Go 1.21) cannot read it: %s: write it in plainer Go, without range over integers and generics", name, yaegiVersion, clip(fmt.Sprint(p)))
		}
	}()
	i := interp.New(interp.Options{
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		SourcecodeFilesystem: noFiles{},
	})
	if err := i.Use(symbols()); err != nil {
		return nil, err
	}
	tree, err := parser.ParseFile(i.FileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	pkg := tree.Name.Name
	program, err := i.CompileAST(tree)
	if err != nil {
		return nil, err
	}
	if _, err := i.Execute(program); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	v, err := i.Eval(pkg + ".Grade")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	grade, ok := v.Interface().(gradeFunc)
	if !ok {
		return nil, fmt.Errorf("%s: Grade is a %v", name, v.Type())
	}
	return grade, nil
}

// symbols are yaegi's tables of the allowed packages. Of fmt, yaegi itself
// ties Print and Scan to the interpreter's streams, which lead nowhere.
func symbols() interp.Exports {
	table := interp.Exports{}
	for _, p := range allowed {
		key := p + "/" + path.Base(p) // "unicode/utf8/utf8"
		table[key] = stdlib.Symbols[key]
	}
	return table
}

// noFiles hides the file system from yaegi's search for imports.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
