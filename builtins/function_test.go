package builtins

import (
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// fingerprint executes src and returns the canonical form of its global f.
func fingerprint(t *testing.T, src string) (string, error) {
	t.Helper()
	dialect := &syntax.FileOptions{Set: true, TopLevelControl: true}
	lib := "def helper(x):\n    return x\n"
	files := map[string]*syntax.File{}
	exec := func(t *starlark.Thread, name, src string) (starlark.StringDict, error) {
		host := (&Host{}).Predeclared()
		f, prog, err := starlark.SourceProgramOptions(dialect, name, src, host.Has)
		if err != nil {
			return nil, err
		}
		files[name] = f
		return prog.Init(t, host)
	}
	thread := &starlark.Thread{Load: func(t *starlark.Thread, name string) (starlark.StringDict, error) {
		return exec(t, name, lib)
	}}
	globals, err := exec(thread, "f.star", src)
	if err != nil {
		t.Fatalf("%s\n%v", src, err)
	}
	c := canon{syntax: func(name string) *syntax.File { return files[name] }}
	b, err := c.value(globals["f"], false)
	return string(b), err
}

// Each group means one thing, and no two groups mean the same.
func TestFunctionMeaning(t *testing.T) {
	groups := [][]string{
		{
			"def f(x):\n    return x + 1\n",
			"# comment\n\n\ndef f(x):  # more\n  \"\"\"Docstring.\"\"\"\n  return (x + 1)\n",
			"def g(x):\n    return x + 0x1\nf = g\n",
			"f = lambda x: x+1\n",
			"unused = [1]\ndef f(x):\n    return x + 1\n",
		},
		{"def f(x):\n    return x + 2\n"},
		{"def f(x):\n    return x + 1.0\n"},
		{"def f(x):\n    return x - 1\n"},
		{"def f(y):\n    return y + 1\n"}, // a parameter's name is part of how it is called
		{"def f(x):\n    return \"x\"\n", "def f(x):\n    return 'x'\n"},
		{"def f(x):\n    return b\"x\"\n"},
		{"def f(x = 1):\n    return x\n", "one = 1\ndef f(x = one):\n    return x\n"},
		{"def f(x = 2):\n    return x\n"},
		{"def f(*x):\n    return x\n"},
		{"def f(**x):\n    return x\n"},
		{"def f(*, x):\n    return x\n"},
		{"k = 1\ndef f(x):\n    return k\n", "k = 2 - 1\ndef f(x):\n    return k\n"},
		{"k = 2\ndef f(x):\n    return k\n"},
		{"k = [1]\ndef f(x):\n    return k\n"},
		{"k = (1,)\ndef f(x):\n    return k\n"},
		{"k = set([1])\ndef f(x):\n    return k\n"},
		{"k = {\"a\": 1, \"b\": 2}\ndef f(x):\n    return k\n"},
		{"k = {\"b\": 2, \"a\": 1}\ndef f(x):\n    return k\n"}, // the order can be seen
		{"k = struct(a = 1)\ndef f(x):\n    return k\n"},
		{"k = range(3)\ndef f(x):\n    return k\n"},
		{"k = len\ndef f(x):\n    return k\n"},
		{"k = \"a\".upper\ndef f(x):\n    return k\n"},
		{"k = \"b\".upper\ndef f(x):\n    return k\n"},
		{"k = json\ndef f(x):\n    return k\n"},
		{"k = \"é\"[:1]\ndef f(x):\n    return k\n"},
		{"k = \"é\"[1:]\ndef f(x):\n    return k\n"},
		{"def g(x):\n    return 1\ndef f(x):\n    return g(x)\n"},
		{"def g(x):\n    return 2\ndef f(x):\n    return g(x)\n"},
		{"def make(k):\n    def inner(x):\n        return k\n    return inner\nf = make(1)\n"},
		{"def make(k):\n    def inner(x):\n        return k\n    return inner\nf = make(2)\n"},
		{"def f(x):\n    return f\n"},
		{"def g(x):\n    return f\ndef f(x):\n    return g\n"},
		{"load(\"lib.star\", \"helper\")\ndef f(x):\n    return helper(x)\n"},
		{"def f(x):\n    for i in x:\n        pass\n"},
		{"def f(x):\n    if x:\n        return 1\n    else:\n        return 2\n"},
		{"def f(x):\n    return 1 if x else 2\n"},
		{"def f(x):\n    return [i for i in x if i]\n"},
		{"def f(x):\n    return x.a\n"},
		{"def f(x):\n    return x[\"a\"]\n"},
		{"def f(x):\n    return g2\ng2 = 1\n"},
	}
	seen := map[string]string{}
	for _, group := range groups {
		first := ""
		for i, src := range group {
			got, err := fingerprint(t, src)
			if err != nil {
				t.Errorf("%s\n%v", src, err)
				continue
			}
			if i == 0 {
				if other, ok := seen[got]; ok {
					t.Errorf("these have the same fingerprint:\n%s\n%s", other, src)
				}
				first, seen[got] = got, src
			} else if got != first {
				t.Errorf("these differ:\n%s\n%s", group[0], src)
			}
		}
	}
}

func TestFunctionCannotCapture(t *testing.T) {
	for src, want := range map[string]string{
		"k = [1]\nk.append(k)\ndef f(x):\n    return k\n":                            "function f uses k: ",
		"k = [time.parse_duration(\"1s\")]\ndef f(x):\n    return k\n":               "function f uses k: [0]: a time.duration cannot be part of a step",
		"def g(x):\n    return k\nk = [struct(d = time.hour)]\nf = lambda x: g(x)\n": "function lambda uses g: function g uses k: [0]: .d: a time.duration",
	} {
		if _, err := fingerprint(t, src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", src, err, want)
		}
	}
}
