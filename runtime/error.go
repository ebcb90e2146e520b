package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrBar means that the notebook ran to its end but an assert_ did not hold.
	ErrBar = errors.New("a bar was not met")
	// ErrInterrupted means that the run was asked to stop; running it again goes on.
	ErrInterrupted = errors.New("interrupted")
	// ErrUsage means that the run was asked for in a wrong way: an unknown parameter.
	ErrUsage = errors.New("usage")
)

// Pruned is the cause with which a context ends whose work its sweep has seen enough of. The
// run or the trial is neither failed nor interrupted: it has come to no value.
type Pruned struct {
	Why string // "eval 3: 1.5200 > median 1.3100 of 8 trials"
}

// Error implements error.
func (p *Pruned) Error() string { return "pruned: " + p.Why }

// prunedBy returns why ctx was pruned, nil if it was not.
func prunedBy(ctx context.Context) *Pruned {
	var p *Pruned
	errors.As(context.Cause(ctx), &p)
	return p
}

// usageError is an ErrUsage with its own words.
type usageError struct{ error }

// Is implements the protocol of errors.Is.
func (usageError) Is(target error) bool { return target == ErrUsage }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// Usage returns err as one that wraps ErrUsage.
func Usage(err error) error { return usageError{err} }

// ExitCode returns the exit status of the process for what Exec returned: 0
// ok or pruned, 1 failed, 2 usage, 3 interrupted, 4 a bar was not met.
func ExitCode(err error) int {
	var pruned *Pruned
	switch {
	case err == nil, errors.As(err, &pruned):
		return 0
	case errors.Is(err, ErrInterrupted):
		return 3
	case errors.Is(err, ErrUsage):
		return 2
	case errors.Is(err, ErrBar):
		return 4
	}
	return 1
}

// Finished is the error of a built-in that ends the notebook early, and well: what was
// asked for is known. The run is done.
type Finished struct{ Text string }

// Error says what it came to.
func (f *Finished) Error() string { return f.Text }

// Frame is a place on the way to an error.
type Frame struct {
	Name string // of the function, or "<toplevel>"
	File string
	Line int
	Col  int
}

// ScriptError says where in the notebook something went wrong.
type ScriptError struct {
	Cell   int     // number, from 1; 0 if outside the notebook
	Title  string  // of the cell
	File   string  // where it happened: the notebook, or a library
	Line   int     // from 1
	Col    int     // from 1
	Source string  // the line
	Frames []Frame // outermost first, the last one is File:Line:Col
	Cause  error
}

// Error shows the place, the line with a caret under it, and the cause.
func (e *ScriptError) Error() string {
	var b strings.Builder
	if e.Cell > 0 {
		fmt.Fprintf(&b, "cell %d", e.Cell)
		if e.Title != "" {
			fmt.Fprintf(&b, " %q", e.Title)
		}
		b.WriteString(" · ")
	}
	fmt.Fprintf(&b, "%s:%d:%d\n", e.File, e.Line, e.Col)
	if e.Source != "" {
		fmt.Fprintf(&b, "    %s\n    %s\n", e.Source, e.caret())
	}
	b.WriteString(e.Cause.Error())
	for i := len(e.Frames) - 2; i >= 0; i-- {
		f := e.Frames[i]
		fmt.Fprintf(&b, "\n  called from %s:%d:%d in %s", f.File, f.Line, f.Col, f.Name)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *ScriptError) Unwrap() error { return e.Cause }

// caret marks the column. For a call, whose column is that of its parenthesis,
// it marks the name of what is called.
func (e *ScriptError) caret() string {
	src := []rune(e.Source)
	end := min(max(e.Col-1, 0), len(src))
	start := end
	if end < len(src) && src[end] == '(' {
		for start > 0 && isName(src[start-1]) {
			start--
		}
	}
	pad := strings.Map(func(c rune) rune {
		if c == '\t' {
			return c
		}
		return ' '
	}, string(src[:start]))
	return pad + strings.Repeat("^", max(end-start, 1))
}

func isName(c rune) bool {
	return c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
