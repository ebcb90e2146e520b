package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"starbook/builtins/grade"
)

func gradeModule() Module {
	return Module{
		Name: "grade",
		Doc:  "Graders: they say whether an answer is right. A function(prompt, answer, want) that returns a number from 0 to 1 is one too.",
		Funcs: []Func{
			grader("grade.exact", "Passes an answer that equals the reference.", func(a exactArgs) (grade.Grader, error) {
				return grade.Exact{Strip: a.Strip, FoldCase: a.FoldCase}, nil
			}),
			grader("grade.contains", "Passes an answer that contains the reference.", func(a containsArgs) (grade.Grader, error) {
				return grade.Contains{FoldCase: a.FoldCase}, nil
			}),
			grader("grade.regex", "Cuts the answer out by a regular expression, its first group if it has one, and compares that with the reference.", func(a regexArgs) (grade.Grader, error) {
				g, err := grade.NewRegex(a.Pattern)
				return g, err
			}),
			grader("grade.numeric", "Compares numbers: currency, thousands, fractions, LaTeX, \"#### 42\".", func(a numericArgs) (grade.Grader, error) {
				return grade.Numeric{Tolerance: a.Tolerance}, nil
			}),
			grader("grade.choice", "Compares the letter of a multiple choice.", func(noArgs) (grade.Grader, error) { return grade.Choice{}, nil }),
			grader("grade.json", "Compares JSON values, whatever their spelling.", func(noArgs) (grade.Grader, error) { return grade.JSON{}, nil }),
			gradeGo(),
			grader("grade.code", "Runs the answer as a Python program against the tests of its item, as HumanEval has them.\n"+
				"It is locked in: no network, no other processes, no files but Python's. Needs python3 and Linux.", func(a codeArgs) (grade.Grader, error) {
				return grade.NewCode(grade.CodeOptions{
					Python: a.Python, Test: a.Test, EntryPoint: a.EntryPoint,
					Deadline: time.Duration(a.Seconds) * time.Second, Memory: int64(a.MemoryMB) << 20,
				})
			}),
			gradeJudge(),
		},
	}
}

type noArgs struct{}

type exactArgs struct {
	Strip    bool `arg:"strip=true" doc:"ignore space around the answer"`
	FoldCase bool `arg:"fold_case=false" doc:"ignore upper and lower case"`
}

type containsArgs struct {
	FoldCase bool `arg:"fold_case=false" doc:"ignore upper and lower case"`
}

type regexArgs struct {
	Pattern string `arg:"pattern" doc:"in Go's syntax"`
}

type numericArgs struct {
	Tolerance float64 `arg:"tolerance=0.0" doc:"difference allowed, as a share of the reference"`
}

type codeArgs struct {
	Test       string `arg:"test=test" doc:"column with the tests: Python that defines check(candidate)"`
	EntryPoint string `arg:"entry_point=entry_point" doc:"column with the name of the function that is asked for"`
	Python     string `arg:"python=python3" doc:"interpreter: a name in PATH, or a path"`
	Seconds    int    `arg:"seconds=10" doc:"processor time of an answer at most"`
	MemoryMB   int    `arg:"memory_mb=1024" doc:"memory of an answer at most, in MiB"`
}

func (a *codeArgs) check() error {
	if a.Seconds < 1 || a.MemoryMB < 64 {
		return errors.New("want a second and 64 MiB at least")
	}
	return nil
}

type gradeGoArgs struct {
	Path string `arg:"path" doc:"Go file with func Grade(prompt, answer, want string) (float64, string); runs in a process of its own without files, network or environment"`
}

// Grader is a grader as a script holds it.
type Grader struct{ grade.Grader }

var (
	_ starlark.Value = Grader{}
	_ Canonical      = Grader{}
)

// String implements starlark.Value.
func (g Grader) String() string { return "<grader " + g.Name() + ">" }

// Type implements starlark.Value.
func (g Grader) Type() string { return "grader" }

// Freeze implements starlark.Value; a grader cannot change.
func (g Grader) Freeze() {}

// Truth implements starlark.Value.
func (g Grader) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (g Grader) Hash() (uint32, error) { return starlark.String(g.Name() + g.Version()).Hash() }

// Canonical implements Canonical: two graders of one name and version agree.
func (g Grader) Canonical() (json.RawMessage, error) {
	return json.Marshal(map[string]string{"grader": g.Name(), "version": g.Version()})
}

func grader[A any](name, doc string, make func(A) (grade.Grader, error)) Func {
	return plain(name, doc, func(_ context.Context, _ *Call, a A) (starlark.Value, error) {
		g, err := make(a)
		return Grader{g}, err
	})
}

func gradeGo() Func {
	return plain("grade.go", "Takes a grader written in Go. It costs its own sample, and nothing else, if it loops, panics or asks for what it may not have.",
		func(_ context.Context, c *Call, a gradeGoArgs) (starlark.Value, error) {
			g, err := grade.NewGoFile(c.Host.path(a.Path), grade.GoOptions{})
			if err != nil {
				return nil, err
			}
			c.Host.onClose(g.Close)
			return Grader{g}, nil
		})
}

// scripted grades with a function of the notebook, on a thread of its own.
type scripted struct {
	fn starlark.Callable
}

// Name implements grade.Grader.
func (g scripted) Name() string { return g.fn.Name() }

// Version implements grade.Grader; the step's arguments hold the function.
func (g scripted) Version() string { return "script" }

// Grade implements grade.Grader.
func (g scripted) Grade(ctx context.Context, it grade.Item) (grade.Score, error) {
	t := &starlark.Thread{Name: "grade"}
	t.SetMaxExecutionSteps(maxRowSteps)
	stop := context.AfterFunc(ctx, func() { t.Cancel(ctx.Err().Error()) })
	defer stop()
	v, err := starlark.Call(t, g.fn, starlark.Tuple{starlark.String(it.Prompt), starlark.String(it.Answer), starlark.String(it.Want)}, nil)
	if err != nil {
		if ctx.Err() != nil {
			return grade.Score{}, ctx.Err()
		}
		return grade.Score{Outcome: grade.Unscored, Note: err.Error()}, nil
	}
	var x float64
	switch v := v.(type) {
	case starlark.Bool:
		if v {
			x = 1
		}
	default:
		var ok bool
		if x, ok = starlark.AsFloat(v); !ok {
			return grade.Score{Outcome: grade.Unscored, Note: fmt.Sprintf("the grader returned a %s, not a number", v.Type())}, nil
		}
	}
	s := grade.Score{Value: x, Outcome: grade.Fail}
	if x >= 1 {
		s.Outcome = grade.Pass
	}
	return s, nil
}

// graderOf returns what an argument called grader holds.
func graderOf(v starlark.Value) (grade.Grader, error) {
	switch v := v.(type) {
	case Grader:
		return v.Grader, nil
	case *starlark.Function:
		v.Freeze()
		v.Globals().Freeze() // Function.Freeze leaves them (starlark-go issue 623)
		return scripted{v}, nil
	}
	return nil, errors.New("grader: want one of module grade, or a function(prompt, answer, want)")
}
