package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

var stringMethods = map[string]func(*run, string, args) Value{
	"split":  func(r *run, s string, a args) Value { return split(r, s, a, false) },
	"rsplit": func(r *run, s string, a args) Value { return split(r, s, a, true) },
	"strip": func(r *run, s string, a args) Value {
		return strip(r, s, a, true, true)
	},
	"lstrip": func(r *run, s string, a args) Value { return strip(r, s, a, true, false) },
	"rstrip": func(r *run, s string, a args) Value { return strip(r, s, a, false, true) },
	"startswith": func(r *run, s string, a args) Value {
		return affix(r, s, a, strings.HasPrefix)
	},
	"endswith": func(r *run, s string, a args) Value { return affix(r, s, a, strings.HasSuffix) },
	"removeprefix": func(r *run, s string, a args) Value {
		return strings.TrimPrefix(s, a.bind(r, "removeprefix", "prefix").text(0))
	},
	"removesuffix": func(r *run, s string, a args) Value {
		return strings.TrimSuffix(s, a.bind(r, "removesuffix", "suffix").text(0))
	},
	"replace":  replaceMethod,
	"join":     func(r *run, s string, a args) Value { return join(r, a.bind(r, "join", "iterable").value(0), s) },
	"upper":    func(r *run, s string, a args) Value { return upper(r, s) },
	"lower":    func(r *run, s string, a args) Value { return lower(r, s) },
	"casefold": func(r *run, s string, a args) Value { return r.made(cases.Fold().String(s)) },
	"title":    func(r *run, s string, a args) Value { return r.made(title(s, afterLetter)) },
	"capitalize": func(r *run, s string, a args) Value {
		return capitalize(r, s)
	},
	"find":   func(r *run, s string, a args) Value { return index(r, "find", s, a, strings.Index) },
	"rfind":  func(r *run, s string, a args) Value { return index(r, "rfind", s, a, strings.LastIndex) },
	"index":  func(r *run, s string, a args) Value { return indexOrFail(r, "index", s, a, strings.Index) },
	"rindex": func(r *run, s string, a args) Value { return indexOrFail(r, "rindex", s, a, strings.LastIndex) },
	"count": func(r *run, s string, a args) Value {
		return int64(strings.Count(s, a.bind(r, "count", "sub").text(0)))
	},
	"splitlines": splitLines,
	"partition":  func(r *run, s string, a args) Value { return partition(r, s, a, false) },
	"rpartition": func(r *run, s string, a args) Value { return partition(r, s, a, true) },
	"format":     func(r *run, s string, a args) Value { return r.made(braces(r, s, a)) },
	"zfill":      zfill,
	"ljust":      func(r *run, s string, a args) Value { return pad(r, "ljust", s, a, 0) },
	"rjust":      func(r *run, s string, a args) Value { return pad(r, "rjust", s, a, 1) },
	"isspace":    func(_ *run, s string, _ args) Value { return all(s, isSpace) },
	"isdigit":    func(_ *run, s string, _ args) Value { return all(s, unicode.IsDigit) },
	"isnumeric":  func(_ *run, s string, _ args) Value { return all(s, unicode.IsNumber) },
	"isalpha":    func(_ *run, s string, _ args) Value { return all(s, unicode.IsLetter) },
	"isalnum": func(_ *run, s string, _ args) Value {
		return all(s, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) })
	},
	"isupper": func(_ *run, s string, _ args) Value {
		return strings.ContainsFunc(s, unicode.IsUpper) && !strings.ContainsFunc(s, unicode.IsLower)
	},
	"islower": func(_ *run, s string, _ args) Value {
		return strings.ContainsFunc(s, unicode.IsLower) && !strings.ContainsFunc(s, unicode.IsUpper)
	},
}

func all(s string, is func(rune) bool) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !is(c) })
}

// upper and lower are Unicode's full mappings, as Python's are: ß becomes SS.
func upper(r *run, s string) string { return r.made(cases.Upper(language.Und).String(s)) }
func lower(r *run, s string) string { return r.made(cases.Lower(language.Und).String(s)) }

func capitalize(r *run, s string) string {
	_, w := utf8.DecodeRuneInString(s)
	return r.made(strings.Map(unicode.ToTitle, s[:w]) + lower(r, s[w:]))
}

// title makes the first letter of each word large, and the others small.
func title(s string, inWord func(rune) bool) string {
	inside := false
	return strings.Map(func(c rune) rune {
		was := inside
		inside = inWord(c)
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	}, s)
}

// afterLetter is str.title's idea of a word: whatever follows a letter with case.
func afterLetter(c rune) bool { return unicode.IsUpper(c) || unicode.IsLower(c) || unicode.IsTitle(c) }

func split(r *run, s string, a args, fromEnd bool) Value {
	b := a.bind(r, "split", "sep", "maxsplit")
	limit := b.int(1, -1)
	r.room(4 * len(s))
	var parts []string
	switch sep := b.or(0, nil); {
	case sep == nil:
		parts = splitSpace(s, limit, fromEnd)
	case b.text(0) == "":
		r.fail("split by nothing")
	case limit < 0:
		parts = strings.Split(s, b.text(0))
	case fromEnd:
		parts = splitEnd(s, b.text(0), limit)
	default:
		parts = strings.SplitN(s, b.text(0), int(min(limit, int64(len(s))))+1)
	}
	return texts(parts)
}

func texts(parts []string) List {
	out := make(List, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}

func splitEnd(s, sep string, limit int64) []string {
	var last []string
	for ; limit > 0; limit-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		last = append(last, s[i+len(sep):])
		s = s[:i]
	}
	out := []string{s}
	for i := len(last) - 1; i >= 0; i-- {
		out = append(out, last[i])
	}
	return out
}

// splitSpace cuts at runs of white space, and gives no empty parts.
func splitSpace(s string, limit int64, fromEnd bool) []string {
	fields := strings.FieldsFunc(s, isSpace)
	if limit < 0 || int64(len(fields)) <= limit {
		return fields
	}
	if fromEnd {
		rest := s
		for range limit {
			rest = strings.TrimRightFunc(strings.TrimRightFunc(rest, isSpace), func(c rune) bool { return !isSpace(c) })
		}
		rest = strings.TrimRightFunc(rest, isSpace)
		return append([]string{rest}, fields[int64(len(fields))-limit:]...)
	}
	rest := strings.TrimLeftFunc(s, isSpace)
	for range limit {
		rest = strings.TrimLeftFunc(strings.TrimLeftFunc(rest, func(c rune) bool { return !isSpace(c) }), isSpace)
	}
	return append(fields[:limit:limit], rest)
}

func strip(r *run, s string, a args, left, right bool) Value {
	cut := isSpace
	if b := a.bind(r, "strip", "chars"); b.or(0, nil) != nil {
		chars := b.text(0)
		cut = func(c rune) bool { return strings.ContainsRune(chars, c) }
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return r.made(s)
}

func affix(r *run, s string, a args, has func(string, string) bool) Value {
	b := a.bind(r, "startswith", "prefix")
	if some, ok := b.value(0).(Tuple); ok {
		for _, v := range some {
			if t, ok := asText(v); ok && has(s, t) {
				return true
			}
		}
		return false
	}
	return has(s, b.text(0))
}

func replaceMethod(r *run, s string, a args) Value {
	b := a.bind(r, "replace", "old", "new", "count")
	return replace(r, s, b.text(0), b.text(1), b.int(2, -1))
}

func replace(r *run, s, old, with string, count int64) Value {
	n := int64(strings.Count(s, old))
	if count >= 0 {
		n = min(n, count)
	}
	grown := int64(len(s)) + n*int64(len(with))
	if grown > int64(r.limits.Output)*2 {
		r.fail("replace makes a text of more than %d bytes", r.limits.Output)
	}
	r.room(int(grown) / 2)
	return r.made(strings.Replace(s, old, with, int(n)))
}

// index returns the place of a part in characters, or -1.
func index(r *run, name, s string, a args, find func(string, string) int) Value {
	b := a.bind(r, name, "sub", "start", "end")
	from, to, _ := bounds(r, [3]Value{b.or(1, nil), b.or(2, nil), nil}, runes(r, s))
	if from > to {
		return int64(-1)
	}
	at := runeAt(s, from)
	i := find(s[at:at+runeAt(s[at:], to-from)], b.text(0))
	if i < 0 {
		return int64(-1)
	}
	return int64(from + utf8.RuneCountInString(s[at:at+i]))
}

func indexOrFail(r *run, name, s string, a args, find func(string, string) int) Value {
	i := index(r, name, s, a, find)
	if i == int64(-1) {
		r.fail("%s: the part is not in the string", name)
	}
	return i
}

func splitLines(r *run, s string, a args) Value {
	keep := a.bind(r, "splitlines", "keepends").flag(0, false)
	r.room(4 * len(s))
	return texts(lines(s, keep))
}

// lines cuts a text where Python's str.splitlines does.
func lines(s string, keepEnds bool) (out []string) {
	for s != "" {
		i := strings.IndexFunc(s, func(c rune) bool {
			return c >= '\n' && c <= '\r' || c >= 0x1c && c <= 0x1e || c == 0x85 || c == 0x2028 || c == 0x2029
		})
		if i < 0 {
			return append(out, s)
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			w = 2
		}
		end := i
		if keepEnds {
			end += w
		}
		out = append(out, s[:end])
		s = s[i+w:]
	}
	return out
}

func partition(r *run, s string, a args, fromEnd bool) Value {
	sep := a.bind(r, "partition", "sep").text(0)
	if sep == "" {
		r.fail("partition by nothing")
	}
	i := strings.Index(s, sep)
	if fromEnd {
		i = strings.LastIndex(s, sep)
	}
	switch {
	case i >= 0:
		return Tuple{s[:i], sep, s[i+len(sep):]}
	case fromEnd:
		return Tuple{"", "", s}
	}
	return Tuple{s, "", ""}
}

func zfill(r *run, s string, a args) Value {
	n := a.bind(r, "zfill", "width").int(0, 0) - int64(runes(r, s))
	if n <= 0 {
		return s
	}
	zeros := repeated(r, "0", n).(string)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1] + zeros + s[1:]
	}
	return zeros + s
}

// pad fills up to a width: before the text where side is 1, behind it where it is 0.
func pad(r *run, name, s string, a args, side int) Value {
	b := a.bind(r, name, "width", "fillchar")
	fill := " "
	if b.given(1) {
		fill = b.text(1)
	}
	room := repeated(r, fill, b.int(0, 0)-int64(runes(r, s))).(string)
	if side == 1 {
		return room + s
	}
	return s + room
}

var dictMethods = map[string]func(*run, *Dict, args) Value{
	"get": func(r *run, d *Dict, a args) Value {
		b := a.bind(r, "get", "key", "default")
		if v, ok := d.find(r, b.value(0)); ok {
			return v
		}
		return b.or(1, nil)
	},
	"items": func(r *run, d *Dict, _ args) Value {
		r.room(32 * d.Len())
		return &view{"dict_items", d.pairs()}
	},
	"keys":   func(_ *run, d *Dict, _ args) Value { return &view{"dict_keys", d.keys} },
	"values": func(_ *run, d *Dict, _ args) Value { return &view{"dict_values", d.vals} },
	"copy":   func(_ *run, d *Dict, _ args) Value { return d },
}

var listMethods = map[string]func(*run, []Value, args) Value{
	"index": func(r *run, items []Value, a args) Value {
		v := a.bind(r, "index", "value").value(0)
		for i := range items {
			if equal(r, items[i], v) {
				return int64(i)
			}
		}
		r.fail("the value is not in the list")
		return nil
	},
	"count": func(r *run, items []Value, a args) Value {
		v, n := a.bind(r, "count", "value").value(0), int64(0)
		for i := range items {
			if equal(r, items[i], v) {
				n++
			}
		}
		return n
	},
	"copy": func(_ *run, items []Value, _ args) Value { return List(items) },
}
