package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starbook/builtins"
	"starbook/runtime"
	"starbook/runtime/store"
)

// planned is the quickstart in small: every kind of step that it has.
const planned = `# %% [markdown]
# # A small quickstart

# %% Parameters
questions = param("questions", 10, "how many to ask")
lr        = param("lr", 0.005, "learning rate")
fraction  = param("fraction", 0.25, "share of reverse pairs")

# %% The data
base = model.open("models/regex-base")
book = data.jsonl("book.jsonl")
test = data.head(book, 3)
same = grade.exact()
shortest = 3

def long_enough(row):
    # What is too short says nothing.
    return len(row["prompt"]) > shortest

def plain(row):
    return {"id": row["id"], "prompt": row["prompt"]}

pool = data.map(data.filter(data.exclude(book, test), long_enough), plain)

# %% Before
before = eval.run(base, test, grader = same, max_new_tokens = 8, name = "base")
print("before:", before)

# %% Ask
guesses  = model.generate(base, pool, max_new_tokens = 8)
unsure   = data.top(guesses, questions, by = "confidence", descending = False)
chance   = data.sample(guesses, 4, seed = 1)
improved = distill.generate(unsure, teacher = distill.practice(book), budget_usd = 1.0, batch_size = 4)

# %% Train
pairs = pair.bidirectional(improved, source = "teacher", reverse_fraction = fraction, seed = 1)
fit, unfit = data.validate(pairs, against = [test], keep = ["W-NEAR"])
tune, dev  = data.split(fit, 0.2, seed = 3)
adapter = lora.train(base, tune, r = 4, alpha = 8, targets = ["q_proj"], lr = lr, schedule = "linear", dropout = 0.0, epochs = 1.0,
                     batch_size = 4, validation = dev, patience = 2, seed = 1)
tuned = lora.merge(base, adapter)

# %% After
after = eval.run(tuned, test, grader = same, max_new_tokens = 8, name = "tuned")
report.compare(before, after)
if after.pass_rate > before.pass_rate:
    data.write(dev, "better.jsonl")
`

// lab is a folder with the notebook, which has been run once.
type lab struct {
	t    *testing.T
	app  *app
	path string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	scripts, err := filepath.Abs("scripts")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(scripts, "models"), filepath.Join(dir, "models")); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, app: &app{storeDir: filepath.Join(dir, "store")}, path: filepath.Join(dir, "nb.star")}
	l.write("book.jsonl", book(""))
	l.write("nb.star", planned)
	l.run()
	return l
}

// book is 24 questions with answers.
func book(mark string) string {
	var b strings.Builder
	for i := range 24 {
		fmt.Fprintf(&b, `{"id":"q%d","prompt":"lines with the word number %d%s","answer":".*%d.*"}`+"\n", i, i*7919, mark, i)
	}
	return b.String()
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(l.path), name), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// run runs the notebook and returns how many of its steps were no hits.
func (l *lab) run() (worked int) {
	l.t.Helper()
	nb, err := runtime.ReadNotebook(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	st, err := store.Open(l.app.storeDir)
	if err != nil {
		l.t.Fatal(err)
	}
	defer st.Close()
	host := &builtins.Host{Dir: filepath.Dir(l.path), OpenDevice: openDevice, Consent: newPurse(true).consent}
	defer host.Close()
	r := &runtime.Run{Notebook: nb, Store: st, Pool: newPool()}
	if err := r.Exec(context.Background(), host.Predeclared()); err != nil {
		l.t.Fatal(err)
	}
	uses, err := st.Uses(r.ID)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, u := range uses {
		if !u.Hit {
			worked++
		}
	}
	return worked
}

func (l *lab) plan(params map[string]string) *forecast {
	l.t.Helper()
	f, err := l.app.plan(context.Background(), l.path, params, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return f
}

// bytes is the digest of everything that the store keeps.
func (l *lab) bytes() string {
	sum := sha256.New()
	err := filepath.WalkDir(l.app.storeDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err // SQLite's own: there while somebody reads
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(sum, "%s %x\n", path, b)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// edit is one change, and what the plan has to say of it.
type edit struct {
	old, new string // in the notebook; or a param and its value
	step     string // the first step that would run
	arg      string // the input that changed
	was, is  string // its old and new value, or a part of it
}

var edits = []edit{
	{"lr", "0.006", "lora.train", "lr", "0.005", "0.006"},
	{"fraction", "0.5", "pair.bidirectional", "reverse_fraction", "0.25", "0.5"},
	{"questions", "9", "data.top", "n", "10", "9"},
	{`param("lr", 0.005`, `param("lr", 0.007`, "lora.train", "lr", "0.005", "0.007"},
	{"r = 4,", "r = 2,", "lora.train", "r", "4", "2"},
	{"alpha = 8", "alpha = 16", "lora.train", "alpha", "8.0", "16.0"},
	{`["q_proj"]`, `["v_proj"]`, "lora.train", "targets", "q_proj", "v_proj"},
	{`"linear"`, `"cosine"`, "lora.train", "schedule", "linear", "cosine"},
	{"dropout = 0.0", "dropout = 0.1", "lora.train", "dropout", "0.0", "0.1"},
	{"epochs = 1.0", "epochs = 2", "lora.train", "epochs", "1.0", "2.0"},
	{"batch_size = 4, validation", "batch_size = 2, validation", "lora.train", "batch_size", "4", "2"},
	{"patience = 2", "patience = 3", "lora.train", "patience", "2", "3"},
	{"patience = 2, seed = 1", "patience = 2, seed = 2", "lora.train", "seed", "1", "2"},
	{"patience = 2,", "patience = 2, min_delta = 0.1,", "lora.train", "min_delta", "0.0", "0.1"},
	{"patience = 2,", "patience = 2, warmup = 0.1,", "lora.train", "warmup", "0.0", "0.1"},
	{"patience = 2,", "patience = 2, turns = 'last',", "lora.train", "turns", "", "last"},
	{", validation = dev", "", "lora.train", "validation", "dataset", "null"},
	{"seed = 3", "seed = 4", "data.split", "seed", "3", "4"},
	{"fit, 0.2", "fit, 0.25", "data.split", "fractions", "0.2", "0.25"},
	{`["W-NEAR"]`, `["W-DUP"]`, "data.check", "keep", "W-NEAR", "W-DUP"},
	{`source = "teacher"`, `source = "book"`, "pair.bidirectional", "source", "teacher", "book"},
	{"batch_size = 4)", "batch_size = 4, max_tokens = 64)", "distill.generate", "max_tokens", "512", "64"},
	{"batch_size = 4)", "batch_size = 4, system = 'Be brief.')", "distill.generate", "system", `""`, "Be brief."},
	{"guesses, 4", "guesses, 5", "data.sample", "n", "4", "5"},
	{"descending = False", "descending = True", "data.top", "descending", "false", "true"},
	{"pool, max_new_tokens = 8", "pool, max_new_tokens = 9", "model.generate", "max_new_tokens", "8", "9"},
	{"shortest = 3", "shortest = 4", "data.filter", "fn", "function", "function"},
	{`len(row["prompt"]) >`, `len(row["prompt"]) >=`, "data.filter", "fn", "function", "function"},
	{`"prompt": row["prompt"]}`, `"prompt": row["prompt"], "n": 1}`, "data.map", "fn", "function", "function"},
	{"grade.exact()", "grade.exact(fold_case = True)", "eval.run", "grader", "grader", "grader"},
	{`name = "tuned"`, `name = "after"`, "eval.run", "name", "tuned", "after"},
	{"tuned, test, grader = same, max_new_tokens = 8", "tuned, test, grader = same, max_new_tokens = 7", "eval.answers", "max_new_tokens", "8", "7"},
	{"data.head(book, 3)", "data.head(book, 4)", "data.head", "n", "3", "4"},
}

// decoys change nothing that a step depends on.
var decoys = [][2]string{
	{"# What is too short says nothing.", "# Short prompts are left out."},
	{"# %% Before\n", "# %% Before\n# A comment, and a blank line.\n\n"},
	{"questions = param", "questions  =  param"},
	{"improved", "better"},
	{"# %% Ask\n", ""},
	{"# %% Train\n", "# %% Train it [code] tags=[\"x\"]\n"},
	{"budget_usd = 1.0, batch_size = 4", "budget_usd = 2.0, batch_size = 8, delay = 0.01"},
	{"patience = 2, seed = 1)", "patience = 2, seed = 1, micro_tokens = 512)"},
	{"data.head(book, 3)", "data.head(n = 3,\n    data = book)"},
	{`"how many to ask"`, `"questions for the teacher"`},
	{`print("before:", before)`, `print("the base:", before.pass_rate)`},
	{"def long_enough(row):\n", "def long_enough(row):\n    \"\"\"Says whether a row stays.\"\"\"\n"},
	{"long_enough", "says_something"},
	{"fraction  = param(\"fraction\", 0.25", "fraction  = param(\"fraction\", 0.250"},
	{"lr = lr,", "lr = lr * 1.0,"},
}

// TestPlanNamesTheCause makes one edit at a time. The first step that would run must be the
// one that was touched, with the input that changed, its old and its new value and its line.
func TestPlanNamesTheCause(t *testing.T) {
	l := newLab(t)
	before := l.bytes()
	if f := l.plan(nil); !idle(f) || f.Ends != "" {
		t.Fatalf("the notebook that has just been run would run again: %+v", f)
	}
	for _, e := range edits {
		text, params := planned, map[string]string(nil)
		if slices.Contains([]string{"lr", "fraction", "questions"}, e.old) {
			params = map[string]string{e.old: e.new}
		} else if text = strings.Replace(planned, e.old, e.new, 1); text == planned {
			t.Fatalf("%q is not in the notebook", e.old)
		}
		l.write("nb.star", text)
		if err := judge(l.plan(params), e, text); err != nil {
			t.Errorf("%s to %s: %v", e.old, e.new, err)
		}
	}
	l.write("nb.star", planned)
	l.write("book.jsonl", book("!"))
	e := edit{step: "data.jsonl", arg: "path", was: "a file", is: "a file"}
	f := l.plan(nil)
	if err := judge(f, e, planned); err != nil {
		t.Errorf("a changed file: %v", err)
	}
	if f.Ends == "" || !strings.Contains(lineOf(planned, f.EndsLine), "after.pass_rate > before.pass_rate") {
		t.Errorf("the plan goes on behind an if that it cannot decide: %q in line %d", f.Ends, f.EndsLine)
	}
	if l.bytes() != before {
		t.Error("planning changed the store")
	}
}

// TestPlanDecoys makes edits that change nothing. Neither the plan nor the run may do a step.
func TestPlanDecoys(t *testing.T) {
	l := newLab(t)
	for _, d := range decoys {
		text := strings.ReplaceAll(planned, d[0], d[1])
		if text == planned {
			t.Fatalf("%q is not in the notebook", d[0])
		}
		l.write("nb.star", text)
		if f := l.plan(nil); !idle(f) {
			t.Errorf("%q: a step would run: %+v", d[1], f.Steps)
		}
		if n := l.run(); n > 0 {
			t.Errorf("%q: %d steps ran", d[1], n)
		}
	}
}

func idle(f *forecast) bool {
	return !slices.ContainsFunc(f.Steps, func(s plannedRow) bool { return s.State != runtime.WillHit })
}

// judge says what is wrong about the first step that would run.
func judge(f *forecast, e edit, text string) error {
	i := slices.IndexFunc(f.Steps, func(s plannedRow) bool { return s.State == runtime.WillRun })
	if i < 0 {
		return fmt.Errorf("nothing would run")
	}
	s := f.Steps[i]
	if s.Name != e.step {
		return fmt.Errorf("%s (line %d) would run, want %s", s.Name, s.Line, e.step)
	}
	if s.Why.Since == nil || len(s.Why.Changes) != 1 {
		return fmt.Errorf("%s: want one change, got %v", s.Name, s.Why.lines())
	}
	c := s.Why.Changes[0]
	if c.Arg != e.arg || !strings.Contains(c.Old, e.was) || !strings.Contains(c.New, e.is) || c.Old == c.New {
		return fmt.Errorf("%s: got %v, want %s: %s → %s", s.Name, c, e.arg, e.was, e.is)
	}
	module, _, _ := strings.Cut(e.step, ".")
	if line := lineOf(text, c.Line); !strings.Contains(line, module+".") && !strings.Contains(line, e.arg) {
		return fmt.Errorf("%v: line %d is %q", c, c.Line, line)
	}
	if s.Expect == nil || s.Expect.N == 0 {
		return fmt.Errorf("%s: no history", s.Name)
	}
	return nil
}

func lineOf(text string, n int) string {
	lines := strings.Split(text, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

// TestPlanOfNothing plans where there is no store: the first steps run, the rest depends on them.
func TestPlanOfNothing(t *testing.T) {
	l := newLab(t)
	l.app.storeDir += "-none"
	f := l.plan(nil)
	count := map[runtime.Foresight]int{}
	for _, s := range f.Steps {
		count[s.State]++
		if s.Expect != nil {
			t.Errorf("%s: expects %s, from no history", s.Name, s.Expect)
		}
	}
	if count[runtime.WillRun] != 2 || count[runtime.WillHit] != 0 || count[runtime.Depends] < 15 {
		t.Errorf("got %v, want model.open and data.jsonl to run, and all others to depend on them", count)
	}
	if _, err := os.Stat(l.app.storeDir); err == nil {
		t.Error("planning made a store")
	}
}
