package builtins

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// function returns {"function": digest}: of what fn does, by the syntax of its
// source (comments, layout, its name, its docstring and where it stands do not
// count), and of all that it can reach: defaults, captured variables, the
// globals it names, and so on through the functions among them.
//
// What fn can reach is frozen, so that it can run on several threads. It is
// not enough to freeze fn: Starlark does not follow globals.
func (c *canon) function(fn *starlark.Function) (json.RawMessage, error) {
	if n, met := c.functions[fn]; met {
		return tagged("function", text(fmt.Sprint("met ", n)))
	}
	if c.functions == nil {
		c.functions = map[*starlark.Function]int{}
	}
	c.functions[fn] = len(c.functions)
	if len(c.functions) == 1 { // the outermost: the next argument begins anew
		defer func() { c.functions = nil }()
	}
	code, globals, err := c.code(fn)
	if err != nil {
		return nil, err
	}
	fn.Freeze()
	h := sha256.New()
	h.Write(code)
	reach := func(what, name string, v starlark.Value) error {
		if v == nil {
			fmt.Fprintf(h, "%s %s unset\n", what, name)
			return nil
		}
		v.Freeze()
		b, err := c.value(v, true)
		if err != nil {
			return fmt.Errorf("function %s uses %s: %w", fn.Name(), name, err)
		}
		fmt.Fprintf(h, "%s %s %s\n", what, name, b)
		return nil
	}
	for i := range fn.NumParams() {
		name, _ := fn.Param(i)
		if err := reach("param", name, fn.ParamDefault(i)); err != nil {
			return nil, err
		}
	}
	for i := range fn.NumFreeVars() {
		b, v := fn.FreeVar(i)
		if err := reach("free", b.Name, v); err != nil {
			return nil, err
		}
	}
	values := fn.Globals()
	for _, name := range globals {
		if err := reach("global", name, values[name]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]digest{"function": digest(h.Sum(nil))})
}

// code returns what fn does, as canonical text, and the globals it names.
func (c *canon) code(fn *starlark.Function) (code []byte, globals []string, err error) {
	pos := fn.Position()
	f := c.syntax(pos.Filename())
	if f == nil {
		return nil, nil, fmt.Errorf("function %s: its source %s is not at hand", fn.Name(), pos.Filename())
	}
	var params []syntax.Expr
	var body any
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.DefStmt:
			if at(n.Def, pos) {
				params, body = n.Params, n.Body
				if len(n.Body) > 1 && isText(n.Body[0]) {
					body = n.Body[1:]
				}
			}
		case *syntax.LambdaExpr:
			if at(n.Lambda, pos) {
				// A lambda is a def that returns.
				params, body = n.Params, []syntax.Stmt{&syntax.ReturnStmt{Result: n.Body}}
			}
		}
		return body == nil
	})
	if body == nil {
		return nil, nil, fmt.Errorf("function %s: not found at %s", fn.Name(), pos)
	}
	p := printer{globals: map[string]bool{}}
	for _, x := range params {
		if b, ok := x.(*syntax.BinaryExpr); ok {
			x = b.X // the default counts by its value
		}
		p.print(reflect.ValueOf(x))
	}
	p.print(reflect.ValueOf(body))
	return p.out, slices.Sorted(maps.Keys(p.globals)), nil
}

// at says whether two positions in one file are the same, whichever time it was parsed.
func at(a, b syntax.Position) bool { return a.Line == b.Line && a.Col == b.Col }

// isText says whether s is a docstring.
func isText(s syntax.Stmt) bool {
	e, ok := s.(*syntax.ExprStmt)
	if !ok {
		return false
	}
	l, ok := e.X.(*syntax.Literal)
	return ok && l.Token == syntax.STRING
}

// printer writes a resolved syntax tree as an s-expression, without anything
// that does not change its meaning.
type printer struct {
	out     []byte
	globals map[string]bool
}

var _ io.Writer = (*printer)(nil)

// Write implements io.Writer.
func (p *printer) Write(b []byte) (int, error) {
	p.out = append(p.out, b...)
	return len(b), nil
}

func (p *printer) print(v reflect.Value) {
	switch x := v.Interface().(type) {
	case *syntax.Ident:
		fmt.Fprintf(p, " %s", x.Name)
		if b, ok := x.Binding.(*resolve.Binding); ok {
			fmt.Fprintf(p, ":%d", meaning(b.Scope))
			if b.Scope == resolve.Global {
				p.globals[x.Name] = true
			}
		}
		return
	case *syntax.ParenExpr:
		p.print(reflect.ValueOf(x.X))
		return
	case *syntax.Literal:
		fmt.Fprintf(p, " %s %q", x.Token, fmt.Sprint(x.Value))
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		fmt.Fprint(p, " [")
		for i := range v.Len() {
			p.print(v.Index(i))
		}
		fmt.Fprint(p, "]")
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			fmt.Fprint(p, " nil")
		} else {
			p.print(v.Elem())
		}
	case reflect.Struct:
		p.node(v)
	default: // a Token, a bool
		fmt.Fprintf(p, " %v", v)
	}
}

// node writes the fields of a syntax node, less positions, comments and what
// the resolver noted.
func (p *printer) node(v reflect.Value) {
	t := v.Type()
	fmt.Fprintf(p, " (%s", t.Name())
	for i := range t.NumField() {
		f := t.Field(i)
		if f.IsExported() && f.Type != reflect.TypeFor[syntax.Position]() && f.Name != "Function" {
			p.print(v.Field(i))
		}
	}
	fmt.Fprint(p, ")")
}

// meaning tells apart where a name gets its value. Whether a local is shared
// with an inner function makes no difference.
func meaning(s resolve.Scope) resolve.Scope {
	if s == resolve.Cell {
		return resolve.Local
	}
	return s
}
