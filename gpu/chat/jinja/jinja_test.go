package jinja

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func snippets(t testing.TB) (vars map[string]Value, cases []snippet) {
	t.Helper()
	b, err := os.ReadFile("testdata/snippets.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Vars  json.RawMessage
		Cases []snippet
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	v, err := FromJSON(f.Vars)
	if err != nil {
		t.Fatal(err)
	}
	vars = map[string]Value{}
	for _, k := range v.(*Dict).Keys() {
		vars[k.(string)], _ = v.(*Dict).Get(k)
	}
	return vars, f.Cases
}

type snippet struct {
	Template, Text, Error string
}

var clock = Options{Now: func() time.Time { return time.Date(2026, 11, 4, 9, 5, 7, 0, time.UTC) }}

func render(source string, vars map[string]Value, o Options) (string, error) {
	t, err := Parse(source)
	if err != nil {
		return "", err
	}
	out, err := t.Render(vars, o)
	return out.Text, err
}

// Small templates give what jinja2 gives, or are refused where it refuses.
func TestSnippets(t *testing.T) {
	vars, cases := snippets(t)
	for _, c := range cases {
		got, err := render(c.Template, vars, clock)
		if (err != nil) != (c.Error != "") || err == nil && got != c.Text {
			t.Errorf("%s\n got %q, %v\nwant %q %s", c.Template, got, err, c.Text, c.Error)
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d snippets", len(cases))
	}
}

func TestNoMistakeOfOurs(t *testing.T) {
	vars, _ := snippets(t)
	for _, source := range []string{"{{ d | dictsort(by=[1]) }}", "{{ [[1]] | unique | list }}", "{{ {[1]: 2} }}", "{{ [1] in d }}", "{{ d[[1]] }}", "{{ l is sameas [1] }}", "{{ l[l] }}", "{{ s[1:[1]] }}", "{{ {} | map(attribute=[1]) | list }}", "{{ dict([[[1], 2]]) }}", "{{ range([1]) }}", "{{ '%s' % namespace() }}", "{{ namespace() == namespace() }}", "{{ s.split([1]) }}", "{{ loop }}", "{{ [range][0] == range }}", "{{ [range] | sort }}", "{{ strftime_now([1]) }}", "{{ (1,) in {} }}", "{{ l.index([1]) }}"} {
		if _, err := render(source, vars, clock); err != nil && strings.Contains(err.Error(), internal) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for source, want := range map[string]string{
		"a\n{{ 1 + }}":  "line 2: expected an expression",
		"\n\n{{ x.y }}": "line 3: 'x' is undefined",
		"{% if a %}\n{% for b in c %}\n{% endif %}": "line 3",
		"{# a\nb #}\n{{ 1 | nope }}":                `line 3: the filter "nope" is not supported`,
		"{%\nset a = 1\n%}\n{{ a() }}":              "line 4: an int cannot be called",
		"\n{% include 'x' %}":                       `line 2: the statement "include" is not supported`,
	} {
		if _, err := render(source, nil, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", source, err, want)
		}
	}
	_, err := render("\n{{ raise_exception('no system role') }}", nil, Options{})
	var refused *Refused
	if !errors.As(err, &refused) || refused.Line != 2 || refused.Msg != "no system role" {
		t.Errorf("got %#v", err)
	}
}

// Hostile templates end with an error, soon and without much memory: a limit
// that does not hold lets this test run into its time or memory.
func TestLimits(t *testing.T) {
	big := strings.Repeat("x", 1000)
	for name, source := range map[string]string{
		"loops":      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
		"output":     "{% for a in range(99999) %}{{ '" + big + "' }}{% endfor %}",
		"doubling":   "{% set ns = namespace(s='xxxxxxxx') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
		"product":    "{{ 'x' * 99999999999 }}",
		"lists":      "{{ [1] * 99999999999 }}",
		"power":      "{{ 9 ** 9 ** 9 }}",
		"recursion":  "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
		"nesting":    strings.Repeat("(", 100_000) + "1",
		"tags":       strings.Repeat("{% if 1 %}", 10_000),
		"deep":       "{% set ns = namespace(s=[]) %}{% for a in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
		"wide":       "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
		"equal":      "{% set ns = namespace(s=[1], t=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
		"json":       "{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
		"replace":    "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s | replace('x', 'xxxxxxxxxx') %}{% endfor %}",
		"join":       "{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = [ns.s] * 10 | join(ns.s) %}{% endfor %}",
		"padding":    "{{ 'x'.ljust(99999999999) }}",
		"format":     "{{ '%999999999d' % 1 }}",
		"sum":        "{{ 1" + strings.Repeat("+1", 100_000) + " }}",
		"dots":       "{{ a" + strings.Repeat(".a", 100_000) + " }}",
		"elif":       "{% if 0 %}" + strings.Repeat("{% elif 0 %}", 10_000),
		"indent":     "{{ ('\\n' * 1000000) | indent(1000000, true, true) }}",
		"indentjson": "{{ [[[[[[[[[[1]]]]]]]]]] | tojson(indent=99999999) }}",
	} {
		if strings.HasPrefix(source, "(") {
			source = "{{ " + source + " }}"
		}
		if out, err := render(source, nil, Options{Limits: Limits{Work: 500_000, Output: 1 << 20, Depth: 200}}); err == nil {
			t.Errorf("%s: wrote %d bytes", name, len(out))
		}
	}
}

func TestFromJSON(t *testing.T) {
	for in, want := range map[string]string{
		`{"b": 1, "a": [1.0, -0, 1e3, null, true]}`: `{'b': 1, 'a': [1.0, 0, 1000.0, None, True]}`,
		`"x"`: `'x'`,
	} {
		v, err := FromJSON([]byte(in))
		if got := repr(&run{limits: DefaultLimits}, v); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, bad := range []string{``, `{`, `1 2`, `{"a": }`, `99999999999999999999`, strings.Repeat("[", 1000)} {
		if v, err := FromJSON([]byte(bad)); err == nil {
			t.Errorf("%q: read as %v", bad, v)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	vars, cases := snippets(f)
	for _, c := range cases {
		f.Add(c.Template)
	}
	small := Options{Limits: Limits{Work: 20_000, Output: 1 << 16, Depth: 50}, Now: clock.Now}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := Parse(source)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || strings.Contains(e.Msg, internal) {
				t.Errorf("%#v", err)
			}
			return
		}
		one, err := tmpl.Render(vars, small)
		if err != nil && strings.Contains(err.Error(), internal) {
			t.Fatal(err)
		}
		two, again := tmpl.Render(vars, small)
		if one.Text != two.Text || (err == nil) != (again == nil) {
			t.Errorf("twice is not the same: %q %v, %q %v", one.Text, err, two.Text, again)
		}
		if len(one.Text) > small.Limits.Output {
			t.Errorf("wrote %d bytes", len(one.Text))
		}
	})
}
