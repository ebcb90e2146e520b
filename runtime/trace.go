package runtime

import (
	"context"
	"errors"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// scriptError says where err came from. A cancelled script was pruned or interrupted.
func (r *Run) scriptError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	e := r.Notebook.located(err, r.sources)
	if lost := r.Store.Err(); lost != nil {
		e.Cause = lost
	} else if p := prunedBy(ctx); p != nil {
		e.Cause = p
	} else if ctx.Err() != nil {
		e.Cause = ErrInterrupted
	}
	if len(e.Frames) == 0 {
		return e.Cause
	}
	return e
}

// located says where in the notebook, or in one of the other sources, err came from.
func (n *Notebook) located(err error, sources map[string][]byte) *ScriptError {
	e := &ScriptError{Cause: err, Frames: frames(err)}
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		e.Cause = cause(eval)
	} else if msg, ok := syntaxMessage(err); ok {
		e.Cause = errors.New(msg)
	}
	if len(e.Frames) == 0 {
		return e
	}
	last := e.Frames[len(e.Frames)-1]
	e.File, e.Line, e.Col = last.File, last.Line, last.Col
	if lines := strings.Split(string(sources[e.File]), "\n"); e.Line >= 1 && e.Line <= len(lines) {
		e.Source = strings.TrimSuffix(lines[e.Line-1], "\r")
	}
	for _, f := range e.Frames {
		if f.File == n.Path {
			e.Cell = n.Cell(f.Line)
			break
		}
	}
	if e.Cell > 0 {
		e.Title = n.Cells[e.Cell-1].Title
	}
	return e
}

// cause is what a built-in returned, or what the interpreter said.
func cause(e *starlark.EvalError) error {
	if msg, ok := strings.CutPrefix(e.Msg, "Starlark computation cancelled: "); ok {
		return errors.New(msg)
	}
	if err := e.Unwrap(); err != nil {
		return err
	}
	return e
}

// frames returns the places in script files on the way to err, outermost
// first, through every thread that was involved.
func frames(err error) []Frame {
	var out []Frame
	add := func(name string, pos syntax.Position) {
		if pos.Line > 0 {
			out = append(out, Frame{Name: name, File: pos.Filename(), Line: int(pos.Line), Col: int(pos.Col)})
		}
	}
	for e := (*starlark.EvalError)(nil); errors.As(err, &e); err = e.Unwrap() {
		for _, f := range e.CallStack {
			add(f.Name, f.Pos)
		}
	}
	if pos, ok := syntaxPosition(err); ok {
		add("<toplevel>", pos)
	}
	return out
}

// syntaxPosition finds the place in an error of the parser or the resolver.
func syntaxPosition(err error) (syntax.Position, bool) {
	var parse syntax.Error
	var names resolve.ErrorList
	switch {
	case errors.As(err, &parse):
		return parse.Pos, true
	case errors.As(err, &names) && len(names) > 0:
		return names[0].Pos, true
	}
	return syntax.Position{}, false
}

// syntaxMessage returns such an error without its place, and a hint for the
// one rule of the dialect that surprises.
func syntaxMessage(err error) (string, bool) {
	var parse syntax.Error
	var names resolve.ErrorList
	switch {
	case errors.As(err, &parse):
		return parse.Msg, true
	case errors.As(err, &names) && len(names) > 0:
		msg := names[0].Msg
		if strings.HasPrefix(msg, "cannot reassign") {
			msg += " (in a notebook a name means one thing: choose another name, or write x = a if c else b)"
		}
		return msg, true
	}
	return "", false
}
