package builtins

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"

	"starbook/runtime"
	"starbook/runtime/event"
)

// What cannot change a result does not make a step run again; what can, does.
func TestStepsAreFoundAgain(t *testing.T) {
	const src = `
offset = 1
def shift(row):
    return {"n": row["n"] + offset}
d = data.jsonl("rows.jsonl")
e = data.map(d, shift, workers = 2)
`
	edits := []struct {
		what, old, new string
		works          []string
	}{
		{"nothing", "", "", nil},
		{"the number of workers", "workers = 2", "workers = 1", nil},
		{"a comment in the function", "    return", "    # shifts\n    return", nil},
		{"where the file lies", "rows.jsonl", "copy/moved.jsonl", nil},
		{"the function", "+ offset", "- offset", []string{"data.map"}},
		{"what it captures", "offset = 1", "offset = 2", []string{"data.map"}},
		{"the file", "rows.jsonl", "other.jsonl", []string{"data.jsonl", "data.map"}},
		{"the file, to one that reads the same", "rows.jsonl", "spaced.jsonl", []string{"data.jsonl"}},
	}
	for _, edit := range edits {
		b := newBench(t)
		b.write("rows.jsonl", "{\"n\":1}\n")
		b.write("copy/moved.jsonl", "{\"n\":1}\n")
		b.write("spaced.jsonl", "\n{\"n\": 1}\n")
		b.write("other.jsonl", "{\"n\":2}\n")
		if _, err := b.run(src); err != nil {
			t.Fatal(err)
		}
		if _, err := b.run(strings.Replace(src, edit.old, edit.new, 1)); err != nil {
			t.Fatal(err)
		}
		var works []string
		for _, e := range b.events {
			if e.Kind == event.StepStart {
				works = append(works, e.Name)
			}
		}
		if !slices.Equal(works, edit.works) {
			t.Errorf("after a change of %s: worked %v, want %v", edit.what, works, edit.works)
		}
	}
}

// An old file's digest is remembered by size and time; a young one's is not.
func TestFileDigestIsRemembered(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.dir, "f")
	digestOf := func(text string, age time.Duration) digest {
		t.Helper()
		b.write("f", text)
		at := time.Now().Add(-age).Truncate(time.Hour)
		if age == 0 {
			at = time.Now()
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		f := File{Path: path}
		if err := f.resolve(t.Context(), b.store); err != nil {
			t.Fatal(err)
		}
		return f.Digest
	}
	old := digestOf("old", 48*time.Hour)
	if digestOf("new", 48*time.Hour) != old {
		t.Error("a file of the same size and time was read again")
	}
	if digestOf("newer", 48*time.Hour) == old {
		t.Error("a file of another size was not read")
	}
	if digestOf("abc", 0) == digestOf("xyz", 0) {
		t.Error("a young file's digest was remembered")
	}
}

func TestDirectoryDigest(t *testing.T) {
	b := newBench(t)
	digestOf := func(dir string) digest {
		t.Helper()
		f := File{Path: filepath.Join(b.dir, dir)}
		if err := f.resolve(t.Context(), b.store); err != nil {
			t.Fatal(err)
		}
		return f.Digest
	}
	b.write("m1/config.json", "{}")
	b.write("m1/sub/w", "x")
	b.write("m2/sub/w", "x")
	b.write("m2/config.json", "{}")
	if digestOf("m1") != digestOf("m2") {
		t.Error("equal directories differ")
	}
	if err := os.Symlink("m1", filepath.Join(b.dir, "link")); err != nil || digestOf("link") != digestOf("m1") {
		t.Error("a link to a directory is another one", err)
	}
	b.write("m2/sub/w2", "")
	if digestOf("m1") == digestOf("m2") {
		t.Error("a new file makes no difference")
	}
	if err := os.Mkdir(filepath.Join(b.dir, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	f := File{Path: filepath.Join(b.dir, "empty")}
	if err := f.resolve(t.Context(), b.store); err == nil || !strings.Contains(err.Error(), "the directory is empty") {
		t.Errorf("empty: %v", err)
	}
}

func TestBars(t *testing.T) {
	b := newBench(t)
	_, err := b.run(`
assert_(1 > 2, "one beats two")
assert_(2 > 1, "two beats one")
print("to the end")
`)
	if !errors.Is(err, runtime.ErrBar) || runtime.ExitCode(err) != 4 || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("got %v", err)
	}
	if b.count(event.Print, "") != 1 || b.count(event.Bar, "one beats two") != 1 {
		t.Errorf("events: %+v", b.events)
	}
}

func TestParams(t *testing.T) {
	b := newBench(t)
	const src = `
out = [
    param("lr", 1e-3, "learning rate"), param("n", 2), param("on", False), param("name", "x"),
    param("sizes", [1, 2]), param("rates", [0.5]),
]
eq(out, [2e-5, 7, True, "a=b", [8, 16], [1.0, 2.5]])
`
	r, err := b.run(src, func(r *runtime.Run) {
		r.Params = map[string]string{"lr": "2e-5", "n": "7", "on": "true", "name": "a=b", "sizes": "8, 16", "rates": "1,2.5"}
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.store.Run(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	var params map[string]runtime.Param
	if err := json.Unmarshal(got.Params, &params); err != nil {
		t.Fatal(err)
	}
	if p := params["lr"]; p.Value != 2e-5 || p.Default != 1e-3 || p.Doc != "learning rate" || len(params) != 6 {
		t.Errorf("recorded: %s", got.Params)
	}
	for param, want := range map[string]string{
		"n=1.5": "want a whole number", "on=maybe": "want true or false", "lr=fast": "want a number",
		"lr=inf": "want a number", "sizes=1,x": "want a whole number",
	} {
		name, text, _ := strings.Cut(param, "=")
		_, err := b.run(src, func(r *runtime.Run) { r.Params = map[string]string{name: text} })
		if !errors.Is(err, runtime.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("-p %s: got %v", param, err)
		}
	}
}

type common struct {
	Seed int64 `arg:"seed=1" doc:"of the draw"`
}

type everything struct {
	Data  Handle            `arg:"data" kind:"dataset" doc:"d"`
	More  []Handle          `arg:"*more" kind:"dataset|scores" doc:"d"`
	Name  string            `arg:"name=x" doc:"d"`
	Rank  int               `arg:"rank=8" doc:"d"`
	LR    float64           `arg:"lr=2e-4" doc:"d"`
	Max   *int              `arg:"max=None" doc:"d"`
	Tags  []string          `arg:"tags=[\"q\",\"v\"]" doc:"d"`
	Rates []float64         `arg:"rates=[]" doc:"d"`
	Fn    starlark.Callable `arg:"fn=None" doc:"d"`
	Any   starlark.Value    `arg:"any=None" doc:"d"`
	Wait  float64           `arg:"wait=0.5" hash:"-" doc:"d"`
	New   bool              `arg:"new=false" hash:"set" doc:"d"`
	common
}

func TestArgs(t *testing.T) {
	spec := argsOf(reflect.TypeFor[everything]())
	const sig = `f(data, *more, name = "x", rank = 8, lr = 2e-4, max = None, tags = ["q","v"], rates = [], fn = None, any = None, wait = 0.5, new = False, seed = 1)`
	if got := signature("f", spec); got != sig {
		t.Errorf("signature\n%s\nwant\n%s", got, sig)
	}
	d := Handle{Artifact: runtime.Artifact{Kind: "dataset", Digest: digest{1}}}
	m := Handle{Artifact: runtime.Artifact{Kind: "model", Digest: digest{2}}}
	call := func(args starlark.Tuple, named starlark.StringDict) (everything, error) {
		var kwargs []starlark.Tuple
		for _, k := range slices.Sorted(maps.Keys(named)) {
			kwargs = append(kwargs, starlark.Tuple{starlark.String(k), named[k]})
		}
		return unpack[everything]("f", spec, args, kwargs)
	}
	a, err := call(starlark.Tuple{d, d, d}, starlark.StringDict{
		"lr": starlark.MakeInt(1), "max": starlark.MakeInt(3), "wait": starlark.Float(9), "seed": starlark.MakeInt(5),
		"rates": starlark.Tuple{starlark.MakeInt(1)}, "any": starlark.Tuple{starlark.None},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := canon{}
	got, err := c.args(spec, reflect.ValueOf(a))
	if err != nil {
		t.Fatal(err)
	}
	h := `{"kind":"dataset","digest":"01` + strings.Repeat("0", 62) + `"}`
	want := `{"any":[null],"data":` + h + `,"fn":null,"lr":1.0,"max":3,"more":[` + h + `,` + h + `],"name":"x","rank":8,"rates":[1.0],"seed":5,"tags":["q","v"]}`
	if string(got) != want {
		t.Errorf("canonical\n%s\nwant\n%s", got, want)
	}
	if len(c.inputs) != 3 {
		t.Errorf("%d inputs, want 3", len(c.inputs))
	}
	a.New = true
	if got, err := c.args(spec, reflect.ValueOf(a)); err != nil || !strings.Contains(string(got), `"new":true`) {
		t.Errorf("set: %s, %v", got, err)
	}
	for _, bad := range []struct {
		args  starlark.Tuple
		named starlark.StringDict
		want  string
	}{
		{nil, nil, "f: missing argument data (d): see starbook doc f"},
		{starlark.Tuple{m}, nil, "f: data: got model, want dataset"},
		{starlark.Tuple{d, m}, nil, "f: more: item 0: got model, want dataset or scores"},
		{starlark.Tuple{d}, starlark.StringDict{"data": d}, "f: got data twice"},
		{starlark.Tuple{d}, starlark.StringDict{"more": d}, "f: unexpected argument more"},
		{starlark.Tuple{d}, starlark.StringDict{"rnak": d}, "f: unexpected argument rnak (did you mean rank?)"},
		{starlark.Tuple{d}, starlark.StringDict{"rank": starlark.Float(8)}, "f: rank: got float, want int"},
		{starlark.Tuple{d}, starlark.StringDict{"rank": starlark.None}, "f: rank: got None, want int"},
		{starlark.Tuple{d}, starlark.StringDict{"rank": starlark.MakeInt64(1).Mul(starlark.MakeUint64(1 << 63))}, "is too large"},
		{starlark.Tuple{d}, starlark.StringDict{"lr": starlark.String("1")}, "f: lr: got string, want float"},
		{starlark.Tuple{d}, starlark.StringDict{"tags": starlark.String("q")}, "f: tags: got string, want list of string"},
		{starlark.Tuple{d}, starlark.StringDict{"tags": starlark.Tuple{starlark.True}}, "f: tags: item 0: got bool, want string"},
		{starlark.Tuple{d}, starlark.StringDict{"fn": starlark.MakeInt(1)}, "f: fn: got int, want function"},
	} {
		if _, err := call(bad.args, bad.named); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v %v\ngot  %v\nwant %s", bad.args, bad.named, err, bad.want)
		}
	}
}

// Every built-in, argument, artifact and attribute says what it is.
func TestEverythingIsDocumented(t *testing.T) {
	h := &Host{}
	for _, m := range h.Modules() {
		if m.Doc == "" {
			t.Errorf("module %s has no doc", m.Name)
		}
		for _, f := range m.Funcs {
			if !strings.HasPrefix(f.Name, m.Name+".") {
				t.Errorf("%s is in the module %s", f.Name, m.Name)
			}
		}
	}
	seen := map[string]bool{}
	for _, f := range h.Funcs() {
		if f.Doc == "" || !strings.HasSuffix(firstLine(f.Doc), ".") {
			t.Errorf("%s: its doc begins with no sentence: %q", f.Name, firstLine(f.Doc))
		}
		if seen[f.Name] {
			t.Errorf("%s occurs twice", f.Name)
		}
		seen[f.Name] = true
		for _, a := range f.Args {
			if a.Doc == "" {
				t.Errorf("%s: %s has no doc", f.Name, a.Name)
			}
		}
		if text, err := h.Manual(f.Name); err != nil || !strings.HasPrefix(text, f.Name+"(") {
			t.Errorf("manual of %s: %q, %v", f.Name, text, err)
		}
	}
	for _, k := range h.Kinds() {
		for _, f := range k.Facts {
			if f.Doc == "" {
				t.Errorf("%s.%s has no doc", k.Name, f.Name)
			}
		}
	}
	text, err := h.Manual("")
	if err != nil || !strings.Contains(text, "data.jsonl") {
		t.Errorf("contents: %q, %v", text, err)
	}
	if _, err := h.Manual("data.jsnl"); err == nil || !strings.Contains(err.Error(), "did you mean data.jsonl?") {
		t.Errorf("got %v", err)
	}
}
