package jinja

import (
	"math"
	"strconv"
	"strings"
)

// percent is Python's "..." % v, for %s, %r, %d, %i, %f, %x and %% without
// flags but a zero, with width and precision.
func percent(r *run, format string, v Value) string {
	given, isTuple := v.(Tuple)
	if !isTuple {
		given = Tuple{v}
	}
	d, named := v.(*Dict)
	var b strings.Builder
	for {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			break
		}
		b.WriteString(format[:i])
		format = format[i+1:]
		var x Value = absent{}
		if strings.HasPrefix(format, "(") && named {
			end := strings.IndexByte(format, ')')
			if end < 0 {
				r.fail("a name in %%(...) is not closed")
			}
			x, _ = d.find(r, format[1:end])
			format = format[end+1:]
		}
		spec := format[:len(format)-len(strings.TrimLeft(format, "0123456789.-"))]
		format = format[len(spec):]
		if format == "" {
			r.fail("the format ends with an open %%")
		}
		verb := format[0]
		format = format[1:]
		if verb == '%' {
			b.WriteByte('%')
			continue
		}
		if x == (absent{}) {
			if len(given) == 0 {
				r.fail("not enough values for the format")
			}
			x, given = given[0], given[1:]
		}
		r.room(b.Len()/8 + 64)
		b.WriteString(formatted(r, x, spec, verb))
	}
	if isTuple && len(given) > 0 {
		r.fail("more values than the format has room for")
	}
	b.WriteString(format)
	return b.String()
}

// formatted writes one value: spec is [-][0][width][.precision].
func formatted(r *run, v Value, spec string, verb byte) string {
	widthText, precText, hasPrec := strings.Cut(strings.TrimLeft(spec, "-"), ".")
	width, _ := strconv.Atoi(widthText) // digits, or nothing
	prec, _ := strconv.Atoi(precText)
	if width > 10_000 || prec > 10_000 {
		r.fail("a format of width %s is too wide", spec)
	}
	s := ""
	switch verb {
	case 's':
		s = str(r, v)
		if hasPrec {
			s = s[:runeAt(s, min(prec, runes(r, s)))]
		}
	case 'r':
		s = repr(r, v)
	case 'd', 'i', 'x', 'X':
		n := integerOf(r, v)
		s = strconv.FormatInt(n, map[byte]int{'d': 10, 'i': 10, 'x': 16, 'X': 16}[verb])
		if verb == 'X' {
			s = strings.ToUpper(s)
		}
	case 'f', 'e', 'g':
		x, ok := number(v)
		if !ok {
			refuseUndefined(r, v)
			r.fail("%s is no number for %%%c", typeName(v), verb)
		}
		if !hasPrec {
			prec = 6
		}
		if verb == 'g' {
			r.fail("%%g is not supported")
		}
		s = strconv.FormatFloat(x, verb, prec, 64)
	default:
		r.fail("%%%c is not supported", verb)
	}
	room := strings.Repeat(" ", max(0, width-runes(r, s)))
	switch {
	case strings.HasPrefix(spec, "-"):
		return s + room
	case strings.HasPrefix(spec, "0") && verb != 's' && verb != 'r':
		return zfill(r, s, args{pos: []Value{int64(width)}}).(string)
	}
	return room + s
}

func integerOf(r *run, v Value) int64 {
	if n, ok := whole(v); ok {
		return n
	}
	x, ok := v.(float64)
	if !ok || math.IsNaN(x) || math.Abs(x) >= 1<<63 {
		refuseUndefined(r, v)
		r.fail("%s is no whole number", typeName(v))
	}
	return int64(x)
}

// braces is str.format, for {}, {0} and {name}, with a format such as :d or :.2f.
func braces(r *run, format string, a args) string {
	var b strings.Builder
	next := 0
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c != '{' && c != '}' {
			b.WriteByte(c)
			continue
		}
		if i+1 < len(format) && format[i+1] == c {
			b.WriteByte(c)
			i++
			continue
		}
		end := strings.IndexByte(format[i:], '}')
		if c == '}' || end < 0 {
			r.fail("a single %c in a format", c)
		}
		field, spec, _ := strings.Cut(format[i+1:i+end], ":")
		i += end
		v := fieldOf(r, field, &next, a)
		r.room(b.Len()/8 + 64)
		b.WriteString(braced(r, v, spec))
	}
	return b.String()
}

func fieldOf(r *run, field string, next *int, a args) Value {
	if field == "" {
		field = strconv.Itoa(*next)
		*next++
	}
	if n, err := strconv.Atoi(field); err == nil {
		if n < 0 || n >= len(a.pos) {
			r.fail("the format asks for value %d of %d", n, len(a.pos))
		}
		return a.pos[n]
	}
	for i, name := range a.names {
		if name == field {
			return a.named[i]
		}
	}
	r.fail("the format asks for %q", field)
	return nil
}

func braced(r *run, v Value, spec string) string {
	if spec == "" {
		return str(r, v)
	}
	verb := spec[len(spec)-1]
	if strings.IndexByte("sdfx", verb) < 0 || strings.Trim(spec[:len(spec)-1], "0123456789.") != "" {
		r.fail("the format %q is not supported", spec)
	}
	return formatted(r, v, spec[:len(spec)-1], verb)
}
