package runtime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// Foresight is what a plan says of a step.
type Foresight string

// What can be said of a step before anything runs.
const (
	WillHit Foresight = "hit"     // its result is there
	WillRun Foresight = "run"     // its arguments are known, and nothing has its fingerprint
	Depends Foresight = "depends" // its arguments hold a result that is not there: a hit all the same, if that comes out as before
)

// Planned is a step as a Plan foresees it.
type Planned struct {
	Spec                // where a value is not known yet, Args hold {"unknown": "…"} in its place
	Seq      int        // order of first call, from 1
	Key      cas.Digest // fingerprint; zero if not all arguments are known
	State    Foresight
	After    []*Planned     // the steps without whose results it is not known
	Done     store.Step     // of a hit
	Begun    string         // what of its work others have done, in words; "": nothing is known
	Ready    bool           // that is all of it
	ArgLines map[string]int // where arguments stand that the call names
}

// Plan is what a notebook would do, found out by executing it without doing steps: what
// they would return is unknown to the script, which can hand it on but not look at it.
type Plan struct {
	Steps  []*Planned       // in order of first call
	Params map[string]Param // as declared
	End    *ScriptError     // why the plan goes no further than this; nil: it reaches the end of the notebook

	run     *Run
	mu      sync.Mutex
	steps   map[string]*Planned // by name and arguments
	threads []*starlark.Thread
	halted  string
}

// Missing is the error of a step that a plan does not do.
type Missing struct{ After []*Planned }

// Error implements error.
func (m *Missing) Error() string { return "depends on " + Names(m.After) }

// Names lists steps by name and line.
func Names(steps []*Planned) string {
	text := ""
	for i, s := range steps {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (line %d)", s.Name, s.Line)
	}
	return text
}

// Plan executes the notebook without doing steps, and writes nothing: the Store may be
// open for reading only. The error is that of a script that is wrong whatever its steps return.
func (r *Run) Plan(ctx context.Context, predeclared starlark.StringDict) (*Plan, error) {
	r.prepare()
	p := &Plan{run: r, steps: map[string]*Planned{}}
	r.plan = p
	err := r.script(ctx, predeclared)
	if err == nil {
		err = r.paramsKnown()
	}
	p.Params = r.params.declared
	at, f := (*ScriptError)(nil), (*Finished)(nil)
	switch {
	case ctx.Err() != nil || !errors.As(err, &at):
		return p, err
	case p.halted != "":
		at.Cause = errors.New(p.halted)
	case errors.As(err, &f):
		at.Cause = f
	default:
		return p, err
	}
	p.End = at
	return p, nil
}

// Planning returns the plan that this run makes, or nil if it works.
func (r *Run) Planning() *Plan { return r.plan }

// Halt ends the plan where the script stands: it looks at what is not known.
func (p *Plan) Halt(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted == "" {
		p.halted = "cannot see past this line: it depends on the value of " + what
	}
	for _, t := range p.threads {
		t.Cancel(p.halted)
	}
}

// foresee says what Do would do.
func (r *Run) foresee(key cas.Digest, spec Spec) (Artifact, error) {
	if !r.isFresh(spec.Name) {
		st, ok, err := r.lookUp(key)
		if ok {
			r.plan.add(&Planned{Spec: spec, Key: key, State: WillHit, Done: st})
			return made(st), nil
		}
		if err != nil {
			return Artifact{}, err
		}
	}
	return Artifact{}, &Missing{[]*Planned{r.plan.add(&Planned{Spec: spec, Key: key, State: WillRun})}}
}

// Dependent adds a step whose arguments are not all known.
func (p *Plan) Dependent(spec Spec, after []*Planned) *Planned {
	if p.run.isFresh(spec.Name) {
		return p.add(&Planned{Spec: spec, State: WillRun, After: after})
	}
	return p.add(&Planned{Spec: spec, State: Depends, After: after})
}

// add notes a step, or returns the same one if the plan has it already.
func (p *Plan) add(s *Planned) *Planned {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := s.Name + "\n" + string(s.Args)
	if twin, ok := p.steps[id]; ok {
		return twin
	}
	p.steps[id] = s
	s.Seq = len(p.Steps) + 1
	s.ArgLines = p.run.argLines(s.Line)
	p.Steps = append(p.Steps, s)
	return s
}

// argLines returns where the named arguments of the calls in a line of the notebook stand.
func (r *Run) argLines(line int) map[string]int {
	lines := map[string]int{}
	f := r.Syntax(r.Notebook.Path)
	if f == nil {
		return lines
	}
	syntax.Walk(f, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || int(call.Lparen.Line) != line {
			return true
		}
		for _, a := range call.Args {
			if named, ok := a.(*syntax.BinaryExpr); ok && named.Op == syntax.EQ {
				lines[named.X.(*syntax.Ident).Name] = int(named.OpPos.Line)
			}
		}
		return true
	})
	return lines
}

// watch lets the plan end what a thread does.
func (p *Plan) watch(t *starlark.Thread) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted != "" {
		t.Cancel(p.halted)
	}
	p.threads = append(p.threads, t)
}

// Seen are the operators that look at their operands in a way that a value of ours has no say
// in. In a plan they are calls of what the Run's predeclared names call by the operator.
var Seen = []syntax.Token{syntax.EQL, syntax.NEQ, syntax.LT, syntax.GT, syntax.LE, syntax.GE, syntax.IN, syntax.NOT_IN, syntax.PERCENT}

// compile makes a program of src in which what is unknown can be compared: the answer is
// unknown too. The syntax that fingerprints are made of is another tree, left as it is.
func (p *Plan) compile(name string, src []byte, isPredeclared func(string) bool) (*starlark.Program, error) {
	f, err := dialect.Parse(name, src, 0)
	if err != nil {
		return nil, err
	}
	rewrite(f, func(x syntax.Expr) syntax.Expr {
		b, ok := x.(*syntax.BinaryExpr)
		if !ok || !slices.Contains(Seen, b.Op) {
			return x
		}
		return &syntax.CallExpr{
			Fn: &syntax.Ident{NamePos: b.OpPos, Name: b.Op.String()}, Lparen: b.OpPos, Rparen: b.OpPos,
			Args: []syntax.Expr{b.X, b.Y},
		}
	})
	return starlark.FileProgram(f, isPredeclared)
}

// rewrite replaces every expression below a syntax node, from the leaves up.
func rewrite(node any, f func(syntax.Expr) syntax.Expr) {
	var visit func(v reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				visit(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					visit(v.Field(i))
				}
			}
		case reflect.Interface:
			if v.IsNil() {
				return
			}
			visit(v.Elem())
			if x, ok := v.Interface().(syntax.Expr); ok {
				v.Set(reflect.ValueOf(f(x)))
			}
		}
	}
	visit(reflect.ValueOf(node))
}
