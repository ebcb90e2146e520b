// Package jinja runs the chat templates that come with language models, as
// Hugging Face transformers sets jinja2 up for them: trim_blocks and
// lstrip_blocks on, loop controls, {% generation %}, an immutable sandbox, and
// Python's way of writing, slicing and comparing values.
//
// A template is foreign code. It sees the values it is given and nothing else,
// changes none of them, and is stopped when it has worked or written too much.
// What is not implemented is refused by name when the template is parsed, if
// it is a statement, a filter or a test, and where it is met otherwise.
package jinja

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// A Template is parsed once and may be rendered by many goroutines at a time.
type Template struct {
	body  block
	names map[string]bool // what the template may ask for
}

// An Error says in which line of a template something is wrong.
type Error struct {
	Line int
	Msg  string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// Refused is the message of a template that called raise_exception: it is the
// conversation that is at fault.
type Refused struct {
	Line int
	Msg  string
}

// Error implements error.
func (e *Refused) Error() string { return e.Msg }

// Parse reads a template.
func Parse(source string) (t *Template, err error) {
	defer catch(&err)
	p := &parser{tokens: lex(source), names: map[string]bool{}}
	body := p.statements()
	if p.next().kind != endToken {
		p.fail("%s ends nothing that was begun", p.last().describe())
	}
	return &Template{body, p.names}, nil
}

// Uses tells whether the template reads a variable of this name.
func (t *Template) Uses(name string) bool { return t.names[name] }

// Limits bound what a hostile template can cost.
type Limits struct {
	Work   int // operations, and one more for every eight bytes made
	Output int // bytes
	Depth  int // of calls, and of values inside values
}

// DefaultLimits let a conversation of some million characters pass, and stop a
// runaway within seconds.
var DefaultLimits = Limits{Work: 10_000_000, Output: 32 << 20, Depth: 200}

// Options are what rendering needs besides the variables.
type Options struct {
	Limits Limits           // zero: DefaultLimits
	Now    func() time.Time // for strftime_now, which is undefined without it
}

// A Span is a range of bytes of the output, From up to To.
type Span struct{ From, To int }

// Output is a rendered template.
type Output struct {
	Text      string
	Generated []Span // what {% generation %} blocks wrote
}

// Render runs the template with these variables.
func (t *Template) Render(vars map[string]Value, o Options) (out Output, err error) {
	defer catch(&err)
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	r := &run{limits: o.Limits, vars: vars, now: o.Now, out: &strings.Builder{}, line: 1}
	t.body.exec(&scope{run: r})
	return Output{r.out.String(), r.generated}, nil
}

// catch turns the panic of fail into an error, and a mistake of this package
// too: a foreign template must not end the program.
func catch(err *error) {
	switch e := recover().(type) {
	case nil:
	case *Error:
		*err = e
	case *Refused:
		*err = e
	case runtime.Error:
		*err = &Error{1, internal + e.Error()}
	default:
		panic(e)
	}
}

const internal = "starbook's own mistake: "

// A run is one rendering.
type run struct {
	limits    Limits
	vars      map[string]Value
	now       func() time.Time
	out       *strings.Builder
	captures  int // how many blocks write elsewhere than into the output
	generated []Span
	line      int // of what is being done
	work      int
	depth     int
}

func (r *run) fail(format string, args ...any) {
	panic(&Error{r.line, fmt.Sprintf(format, args...)})
}

// spend pays for n operations.
func (r *run) spend(n int) {
	if r.work += n; r.work > r.limits.Work || r.work < 0 {
		r.fail("the template works too long: more than %d operations", r.limits.Work)
	}
}

// made pays for a new string.
func (r *run) made(s string) string {
	r.room(len(s))
	return s
}

// room pays for n bytes before they are made.
func (r *run) room(n int) {
	if n > r.limits.Output {
		r.fail("the template makes a text of more than %d bytes", r.limits.Output)
	}
	r.spend(1 + n/8)
}

// enter goes one level deeper, until the function that it returns is called.
func (r *run) enter() func() {
	if r.depth++; r.depth > r.limits.Depth {
		r.fail("more than %d levels deep", r.limits.Depth)
	}
	return func() { r.depth-- }
}

func (r *run) write(s string) {
	r.spend(1 + len(s)/8)
	if r.out.Len()+len(s) > r.limits.Output {
		r.fail("the template writes more than %d bytes", r.limits.Output)
	}
	r.out.WriteString(s)
}

// capture returns what f writes.
func (r *run) capture(f func()) string {
	outer := r.out
	r.out = &strings.Builder{}
	r.captures++
	defer func() { r.out = outer; r.captures-- }()
	f()
	return r.out.String()
}

// A scope holds the variables of a block; those around it show through.
type scope struct {
	*run
	vars  map[string]Value
	outer *scope
}

func (s *scope) inner() *scope { return &scope{run: s.run, outer: s} }

func (s *scope) set(name string, v Value) {
	if s.vars == nil {
		s.vars = map[string]Value{}
	}
	s.vars[name] = v
}

func (s *scope) get(name string) Value {
	for sc := s; sc != nil; sc = sc.outer {
		if v, ok := sc.vars[name]; ok {
			return v
		}
	}
	if v, ok := s.run.vars[name]; ok {
		return v
	}
	if f, ok := functions[name]; ok && (name != "strftime_now" || s.now != nil) {
		return f
	}
	return Undefined{fmt.Sprintf("%s is undefined", repr(s.run, name)), false}
}
