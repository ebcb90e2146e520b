package jinja

import (
	"strings"
	"time"
)

// functions are what a template may call without being given it.
var functions = map[string]function{
	"range":           rangeOf,
	"namespace":       newNamespace,
	"dict":            newDict,
	"raise_exception": raise,
	"strftime_now":    strftimeNow,
}

// maxRange is jinja2's bound in its sandbox.
const maxRange = 100_000

func rangeOf(r *run, a args) Value {
	b := a.bind(r, "range", "start", "stop", "step")
	from, to, step := int64(0), b.int(0, 0), b.int(2, 1)
	b.value(0)
	if b.given(1) {
		from, to = to, b.int(1, 0)
	}
	if step == 0 {
		r.fail("range does not get anywhere in steps of 0")
	}
	var out List
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(out) == maxRange {
			r.fail("range of more than %d numbers", maxRange)
		}
		out = append(out, i)
	}
	r.room(8 * len(out))
	return out
}

// A namespace is the one thing in a template that changes.
type namespace struct{ vars *Dict }

func newNamespace(r *run, a args) Value {
	return &namespace{newDict(r, a).(*Dict)}
}

func (n *namespace) set(r *run, name string, v Value) {
	if strings.HasPrefix(name, "_") {
		r.fail("the attribute %q of a namespace cannot be set", name)
	}
	r.spend(1)
	n.vars.Set(name, v)
}

// newDict copies a dict or pairs, and adds the named arguments.
func newDict(r *run, a args) Value {
	out := &Dict{}
	if len(a.pos) > 1 {
		r.fail("dict takes one argument besides those with names")
	}
	for _, v := range a.pos {
		from, ok := v.(*Dict)
		if !ok {
			from = &Dict{}
			for _, pair := range iterate(r, v) {
				kv := iterate(r, pair)
				if len(kv) != 2 {
					r.fail("dict wants pairs")
				}
				from.put(r, kv[0], kv[1])
			}
		}
		r.room(32 * from.Len())
		out = from.Clone()
	}
	for i, name := range a.names {
		out.Set(name, a.named[i])
	}
	return out
}

func raise(r *run, a args) Value {
	panic(&Refused{r.line, str(r, a.bind(r, "raise_exception", "message").value(0))})
}

func strftimeNow(r *run, a args) Value {
	return strftime(r, r.now(), a.bind(r, "strftime_now", "format").text(0))
}

// directives are C's strftime in Go's layout.
var directives = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'H': "15", 'I': "03", 'j': "002", 'm': "01", 'M': "04",
	'p': "PM", 'S': "05", 'y': "06", 'Y': "2006", 'F': "2006-01-02", 'T': "15:04:05", 'Z': "MST", 'z': "-0700", 'D': "01/02/06", 'R': "15:04",
	'h': "Jan", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
}

// unpadded are the directives with a minus sign, as in glibc.
var unpadded = map[byte]string{'d': "2", 'm': "1", 'I': "3", 'M': "4", 'S': "5"}

func strftime(r *run, t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		layout, ok := directives[format[i]]
		if format[i] == '-' && i+1 < len(format) {
			i++
			layout, ok = unpadded[format[i]]
		}
		switch {
		case ok:
			b.WriteString(t.Format(layout))
		case format[i] == '%' || format[i] == 'n' || format[i] == 't':
			b.WriteByte(map[byte]byte{'%': '%', 'n': '\n', 't': '\t'}[format[i]])
		default:
			r.fail("strftime_now does not know %%%c", format[i])
		}
	}
	return r.made(b.String())
}
