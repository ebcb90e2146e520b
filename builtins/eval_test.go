package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/stats"
	"starbook/runtime/store"
)

// newLab is a bench with a device, items and a blank model that answers them all
// wrong.
func newLab(t *testing.T, items int) *bench {
	t.Helper()
	b := newBench(t)
	b.host.OpenDevice = func() (gpu.Device, error) { return cpu.New(cpu.Options{}) }
	t.Cleanup(func() {
		if err := b.host.Close(); err != nil {
			t.Error(err)
		}
	})
	var rows strings.Builder
	for i := range items {
		fmt.Fprintf(&rows, `{"id":"q%d","prompt":"what is %d and %d","answer":"%d","group":"%s"}`+"\n", i, i, i%7, i+i%7, []string{"odd", "even"}[i%2])
	}
	b.write("test.jsonl", rows.String())
	return b
}

// prelude makes the blank model of a lab.
const prelude = `
test = data.jsonl("test.jsonl")
base = model.new(model.tokenizer(test, vocab = 270, columns = ["prompt"]), dim = 16, layers = 1, heads = 2, hidden = 24, context = 200)
def any(prompt, answer, want):
    return 1 if len(answer) % 3 == 0 else 0
`

// worked lists the steps that were worked at, not found.
func (b *bench) worked() (names []string) {
	for _, e := range b.events {
		if e.Kind == event.StepStart {
			names = append(names, e.Name)
		}
	}
	return names
}

// outputs returns the digests of what steps of a name made, in order.
func (b *bench) outputs(name string) (out []string) {
	b.t.Helper()
	steps, err := b.store.Query(b.t.Context(), "SELECT output FROM step WHERE name = '"+name+"' ORDER BY seq")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range steps.Rows {
		out = append(out, fmt.Sprint(row[0]))
	}
	return out
}

func TestAnotherGraderAsksNothing(t *testing.T) {
	b := newLab(t, 10)
	const src = prelude + `
s = eval.run(base, test, grader = any, max_new_tokens = 6)
eq(s.items, 10)
eq(s.n + s.leaked, 10)
`
	if _, err := b.run(src); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []struct {
		what, old, new string
		works          []string
	}{
		{"nothing", "", "", nil},
		{"the grader", "% 3", "% 2", []string{"eval.run"}},
		{"the name", "grader = any", "grader = any, name = 'x'", []string{"eval.run"}},
		{"leaks allowed", "grader = any", "grader = any, allow_leak = True", []string{"eval.run"}},
		{"how many at a time", "grader = any", "grader = any, batch_size = 3", nil},
		{"the limit", "tokens = 6", "tokens = 7", []string{"eval.answers", "eval.run"}},
		{"the prompt", "grader = any", "grader = any, prompt = 'Q: {prompt}\\n'", []string{"eval.answers", "eval.run"}},
		{"an instruction", "grader = any", "grader = any, system = 'Be short.'", []string{"eval.answers", "eval.run"}},
		{"examples", "grader = any", "grader = any, few_shot = data.head(test, 1)", []string{"data.head", "eval.answers", "eval.run"}},
		{"other weights", "context = 200", "context = 200, seed = 2", []string{"model.new", "eval.answers", "eval.run"}},
	} {
		if _, err := b.run(strings.Replace(src, edit.old, edit.new, 1)); err != nil {
			t.Fatal(edit.what, err)
		}
		if got := b.worked(); !slices.Equal(got, edit.works) {
			t.Errorf("after a change of %s: worked %v, want %v", edit.what, got, edit.works)
		}
	}
}

// An evaluation that is stopped at any answer goes on from there, to the same
// scores, and writes no answer twice.
func TestStoppedEvaluationGoesOn(t *testing.T) {
	const src = prelude + `
s = eval.run(base, test, grader = any, max_new_tokens = 8, temperature = 1.0, samples = 2, batch_size = 4)
`
	calm := newLab(t, 12)
	if _, err := calm.run(src); err != nil {
		t.Fatal(err)
	}
	want := append(calm.outputs("eval.answers"), calm.outputs("eval.run")...)
	for _, after := range []int{1, 9, 23} {
		b := newLab(t, 12)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		stopper := sink(func(e event.Event) {
			b.Emit(e)
			if e.Kind == event.Progress && e.Text == "answers" {
				if seen++; seen == after {
					cancel()
				}
			}
		})
		if _, err := b.runIn(ctx, src, watched(stopper)); runtime.ExitCode(err) != 3 {
			t.Fatalf("stopped after %d answers: %v", after, err)
		}
		generated := seen
		seen = -1000
		if _, err := b.run(src, watched(stopper)); err != nil {
			t.Fatal(err)
		}
		if n := generated + seen + 1000; n != 24 {
			t.Errorf("stopped after %d answers: %d were written in all, want 24", after, n)
		}
		if got := append(b.outputs("eval.answers"), b.outputs("eval.run")...); !slices.Equal(got, want) {
			t.Errorf("stopped after %d answers: made %v, want %v", after, got, want)
		}
	}
}

type sink func(event.Event)

// Emit implements event.Sink.
func (s sink) Emit(e event.Event) { s(e) }

// The recipe that flatters itself: mine the failures of the test file, ask a
// teacher, train, evaluate on the same file. It is found out by itself.
func TestTrainingOnTheTestIsFound(t *testing.T) {
	b := newLab(t, 24)
	_, err := b.run(prelude + `
before = eval.run(base, test, grader = any, max_new_tokens = 6)
eq(before.leaked, 0)
fails = before.failures()
def asked(row): # a blank model's guesses are no text that anybody would train on
    return {k: row[k] for k in ["id", "parent", "prompt", "answer"]}
better = distill.generate(data.map(fails, asked), teacher = distill.practice(test), budget_usd = 1.0)
a = lora.train(base, pair.bidirectional(better, reverse_fraction = 0.5), r = 2, max_steps = 2, patience = 0, validation_split = 0.0)
tuned = lora.merge(base, a)
for m, extra in [(tuned, None), (base, a)]:
    after = eval.run(m, test, adapter = extra, grader = any, max_new_tokens = 6)
    eq(after.leaked, fails.rows)
    eq(after.leaks, {"parent": fails.rows})
    eq(after.items, 24)
    eq(after.n, 24 - fails.rows)
    eq(after.clean_rate, after.pass_rate)
    if "TRAINING ROWS" not in str(after):
        fail("printed without a warning: %s" % after)
c = eval.compare(before, after)
eq(c.leaked, fails.rows)
eq(c.items, 24 - fails.rows)
report.compare(before, after)
open = eval.run(tuned, test, grader = any, max_new_tokens = 6, allow_leak = True)
eq([open.n, open.leaked], [24, fails.rows])
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range b.events {
		if e.Kind != event.Compare {
			continue
		}
		var d event.CompareData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(d.Banner, "training rows") || !strings.Contains(d.Banner, "chosen by an evaluation of these very items") || d.Other == nil || d.Other.Items != 24 {
			t.Errorf("banner %q, other %+v", d.Banner, d.Other)
		}
		return
	}
	t.Error("no comparison in the report")
}

// What has nothing to do with the items is no leak; a split of one file is none
// either, though its rows are numbered; the same rows are one.
func TestLeaksOfOtherData(t *testing.T) {
	b := newLab(t, 24)
	var rows strings.Builder
	for i := range 24 {
		fmt.Fprintf(&rows, `{"id":%d,"prompt":"name the capital of the country number %d","answer":"c%d","completion":"c"}`+"\n", i, i*i, i)
	}
	b.write("other.jsonl", rows.String())
	_, err := b.run(prelude + `
other = data.jsonl("other.jsonl")
train, held = data.split(other, [0.5, 0.5])
def evaluated(rows, items, **more):
    a = lora.train(base, rows, r = 2, max_steps = 1, patience = 0, validation_split = 0.0)
    return eval.run(base, items, adapter = a, grader = any, max_new_tokens = 2, **more)
eq(evaluated(other, test).leaked, 0)
eq(evaluated(train, held).leaked, 0)
eq(evaluated(train, other).leaks, {"id": train.rows})
shown = eval.run(base, test, grader = any, max_new_tokens = 2, few_shot = data.head(test, 2))
eq(shown.leaks, {"few-shot": 2})
told = eval.run(base, other, grader = any, max_new_tokens = 2, trained_on = [held])
eq(told.leaks, {"id": held.rows})
`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestTeachersAreEvaluated(t *testing.T) {
	b := newLab(t, 8)
	const src = `
test = data.jsonl("test.jsonl")
book = data.head(test, 6)
s = eval.run(distill.practice(book), test, grader = grade.numeric(), budget_usd = 1.0)
eq([s.items, s.passed, s.outcomes], [8, 6, {"pass": 6, "refused": 2}])
judged = eval.run(distill.practice(book), test, grader = grade.judge(distill.practice(data.rows([])), budget_usd = 1.0), budget_usd = 1.0)
eq([judged.n, judged.outcomes], [0, {"unscored": 8}])
`
	if _, err := b.run(src); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(src); err != nil || len(b.worked()) > 0 {
		t.Errorf("again: worked %v, %v", b.worked(), err)
	}
	_, err := b.run(strings.ReplaceAll(src, "budget_usd = 1.0)\neq([s", "budget_usd = -1.0, adapter = s)\neq([s"))
	if err == nil {
		t.Error("a teacher took scores for an adapter")
	}
}

func TestJudgeVerdicts(t *testing.T) {
	b := newLab(t, 5)
	_, err := b.run(`
items = data.jsonl("test.jsonl")
def reply(row):
    return {"prompt": "Is " + row["answer"] + " right?", "answer": {"q0": "CORRECT", "q1": "Well...\nIncorrect.", "q2": "maybe", "q3": "It is not correct", "q4": "CORRECT or INCORRECT"}[row["id"]]}
judge = grade.judge(distill.practice(data.map(items, reply)), budget_usd = 1.0, prompt = "Is {answer} right?")
def copy(row):
    return dict(row, guess = row["answer"])
s = eval.grade(data.map(items, copy), grader = judge)
eq([s.n, s.passed, s.outcomes], [2, 1, {"fail": 1, "pass": 1, "unscored": 3}])
`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegradeCompareExplain(t *testing.T) {
	b := newLab(t, 60)
	_, err := b.run(`
def r3(x):
    return int(1000 * x + 0.5)
items = data.jsonl("test.jsonl")
def before(row):
    n = int(row["id"][1:])
    guess = "The answer is %s." % row["answer"] if n % 3 == 0 else ("" if n % 3 == 1 else "no idea, 0")
    return dict(row, guess = guess)
def after(row):
    n = int(row["id"][1:])
    return dict(row, guess = row["answer"] if n % 4 else "zero")
a = eval.grade(data.map(items, before), grader = grade.exact(), name = "before")
z = eval.grade(data.map(items, after), grader = grade.numeric(), name = "after")
eq([a.passed, a.outcomes], [0, {"empty": 20, "fail": 40}])
eq([z.passed, z.outcomes], [45, {"pass": 45, "unparsable": 15}])
r = eval.regrade(a, graders = [grade.numeric(), grade.contains()])
eq([s.passed for s in r.scores], [20, 20])
eq(r.names, ["exact (as it was)", "numeric", "contains"])
lab = eval.regrade(a, graders = [grade.numeric(), grade.numeric(tolerance = 0.01)])
eq(lab.names, ["exact (as it was)", "numeric 2 tolerance=0", "numeric 2 tolerance=0.01"])
eq(r.kappa[1][2], 1.0)
eq(len(r.disagreements), 20)
c = eval.compare(r.scores[0], z)
eq([c.items, c.fixed + c.broken > 0, len(c.groups)], [60, True, 2])
x = eval.explain(a, z, grader = grade.numeric())
eq(r3(x.grader), 333)
eq(r3(x.grader + x.format + x.leaked + x.right), r3(x.total))
eq(r3(x.total), 750)
f = eval.forgetting(z, z, suite = "sums", margin = 0.05)
eq([f.ok, f.diff], [True, 0.0])
eq(eval.forgetting(z, r.scores[0], suite = "sums").ok, False)
`)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.count(event.Table, ""); n != 7 {
		t.Errorf("%d tables in the report, want 3 for each regrading and 1", n)
	}
	if n := b.count(event.Compare, ""); n != 2 {
		t.Errorf("%d comparisons in the report, want 2", n)
	}
}

// mixture makes samples of known reasons: of n items, some change by their form,
// some are leaked and some are answered better.
func mixture(n int, shares map[string]float64) (before, regraded, after []store.Sample) {
	sample := func(i int, outcome, leak string) store.Sample {
		return store.Sample{ID: fmt.Sprint(i), Parent: fmt.Sprint(i), Outcome: outcome, Leak: leak}
	}
	for i := range n {
		x := (float64(i) + 0.5) / float64(n)
		kind := "same"
		for _, k := range []string{"grader", "format", "leaked", "right", "worse"} {
			if x < shares[k] {
				kind = k
				break
			}
			x -= shares[k]
		}
		was, mid, now, leak := "fail", "fail", "fail", ""
		switch kind {
		case "grader":
			mid, now = "pass", "pass"
		case "format":
			was, mid, now = "truncated", "truncated", "pass"
		case "leaked":
			now, leak = "pass", "exact"
		case "right":
			now = "pass"
		case "worse":
			was, mid = "pass", "pass"
		case "same":
			if i%2 == 0 {
				was, mid, now = "pass", "pass", "pass"
			}
		}
		before, regraded, after = append(before, sample(i, was, "")), append(regraded, sample(i, mid, "")), append(after, sample(i, now, leak))
	}
	return before, regraded, after
}

func TestExplainFindsTheReasons(t *testing.T) {
	for _, shares := range []map[string]float64{
		{"grader": 0.1, "format": 0.1, "leaked": 0.1, "right": 0.1, "worse": 0.05},
		{"right": 0.2},
		{"leaked": 0.27},
		{"grader": 0.26, "worse": 0.1},
	} {
		x, err := explain(mixture(400, shares))
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, p := range x.parts {
			want := shares[p.key]
			if p.key == "right" {
				want -= shares["worse"]
			}
			if math.Abs(p.diff-want) > 1e-9 || p.interval.Lo > p.diff || p.interval.Hi < p.diff {
				t.Errorf("%v: %s is %.3f (%.3f to %.3f), want %.3f", shares, p.key, p.diff, p.interval.Lo, p.interval.Hi, want)
			}
			sum += p.diff
		}
		if math.Abs(sum-x.total.diff) > 1e-12 {
			t.Errorf("%v: the parts add up to %v, the whole is %v", shares, sum, x.total.diff)
		}
	}
}

func TestPassAtKOfSamples(t *testing.T) {
	var samples []store.Sample
	for i := range 10 {
		for k := range 4 {
			s := store.Sample{ID: fmt.Sprintf("q%d#%d", i, k+1), Parent: fmt.Sprint(i), Outcome: "fail"}
			if k == 0 {
				s.ID = fmt.Sprintf("q%d", i)
			}
			if k < i%3 {
				s.Outcome = "pass"
			}
			samples = append(samples, s)
		}
	}
	at := passAt(samples, false)
	for k := 1; k <= 4; k++ {
		want := 0.0
		for i := range 10 {
			want += stats.PassAtK(4, i%3, k) / 10
		}
		if got := at[fmt.Sprint(k)]; math.Abs(got-want) > 1e-12 {
			t.Errorf("pass@%d is %v, want %v", k, got, want)
		}
	}
	if len(at) != 4 {
		t.Errorf("pass@k for %v", at)
	}
}

func TestRightOne(t *testing.T) {
	choices := []string{"Berlin", "B", "Paris"}
	for _, c := range []struct {
		want  any
		right int
	}{{json.Number("2"), 2}, {"Paris", 2}, {"B", 1}, {"A", 0}, {"c", 2}, {json.Number("3"), -1}, {"D", -1}, {nil, -1}, {"x y", -1}} {
		got, err := rightOne(c.want, choices)
		if (err != nil) != (c.right < 0) || err == nil && got != c.right {
			t.Errorf("%v: %d, %v, want %d", c.want, got, err, c.right)
		}
	}
}
