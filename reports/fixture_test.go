package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// fixture fills a real store with runs as the built-ins leave them: a small
// model learns regular expressions from a teacher. The figures are made up
// from seeds; nothing in them is measured.
type fixture struct {
	t     testing.TB
	st    *store.Store
	order *rand.Rand // if set, rows are put in random order
}

// noon is when everything in the fixture happened.
var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return fixtureAt(t, t.TempDir())
}

func fixtureAt(t testing.TB, dir string) *fixture {
	t.Helper()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{t: t, st: st}
}

// ok fails the test on an error.
func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// shuffle calls do for 0 to n-1, in random order if the fixture wants it so.
func (f *fixture) shuffle(n int, do func(i int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	if f.order != nil {
		f.order.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for _, i := range order {
		do(i)
	}
}

// encode marshals v.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// step puts a finished step and returns it.
func (f *fixture) step(name, kind, id string, seconds, usd float64, summary any, inputs ...cas.Digest) store.Step {
	f.t.Helper()
	out, err := f.st.Blobs.Put([]byte("output of " + id))
	f.ok(err)
	st := store.Step{
		Key: cas.Sum([]byte(id)), Name: name, Version: 1, Args: encode(map[string]any{"id": id, "seed": 1}),
		Inputs: inputs, Kind: kind, Output: out, Summary: encode(summary), Seconds: seconds, CostUSD: usd, Created: noon,
	}
	f.ok(f.st.PutStep(st))
	return st
}

// train puts a training whose evaluation loss is best in the middle, with its curves.
func (f *fixture) train(id string, loss float64, early bool, inputs ...cas.Digest) cas.Digest {
	f.t.Helper()
	const updates, every = 1200, 100
	key, r := cas.Sum([]byte(id)), rand.New(rand.NewPCG(7, uint64(len(id))))
	last, best := updates, 800
	if early {
		last = 1100
	}
	noise := make([]float64, last)
	for i := range noise {
		noise[i] = r.NormFloat64()
	}
	f.shuffle(last, func(i int) {
		x, fx := int64(i+1), float64(i+1)
		mean := loss + 2.6*math.Exp(-fx/160)
		f.st.Point(key, "train/loss", x, max(0.02, mean+0.12*mean*noise[i]))
		f.st.Point(key, "train/grad_norm", x, 0.4+2*math.Exp(-fx/120)+0.2*math.Abs(noise[i]))
		f.st.Point(key, "train/learning_rate", x, 2e-3*min(fx/60, 0.5*(1+math.Cos(math.Pi*fx/updates))))
		f.st.Point(key, "train/tokens_per_second", x, 41000+900*noise[i])
	})
	var decisions []string
	bestLoss, bad := math.Inf(1), 0
	evals := last / every
	for i := 1; i <= evals; i++ {
		x := float64(i * every)
		v := loss + 0.06 + 1.5*math.Exp(-x/170) + 0.12*max(0, (x-float64(best))/400)
		verb := "better than any before"
		if v < bestLoss {
			bestLoss, bad = v, 0
		} else {
			bad++
			verb = fmt.Sprintf("not better than %.4f: %d of 3", bestLoss, bad)
		}
		decisions = append(decisions, fmt.Sprintf("eval %d, update %d: loss %.4f, %s", i, i*every, v, verb))
	}
	f.shuffle(evals, func(i int) {
		x := float64((i + 1) * every)
		v := loss + 0.06 + 1.5*math.Exp(-x/170) + 0.12*max(0, (x-float64(best))/400)
		f.st.Point(key, "eval/loss", int64(x), v)
		f.st.Point(key, "eval/perplexity", int64(x), math.Exp(v))
	})
	stopped := "end"
	if early {
		stopped = "patience"
	}
	st := f.step("lora.train", "adapter", id, 104.6, 0, map[string]any{
		"best_step": best, "best_eval_loss": bestLoss, "stopped_step": last, "stopped": stopped, "patience": 3, "eval_steps": every,
		"decisions": decisions, "trainable": 119568, "tokens": 2_380_000, "epochs": 12.4, "rows": 2500,
	}, inputs...)
	return st.Key
}

// Words of the fixture's answers.
var (
	prompts = []string{
		"lines with the string 'dog' before a letter, 3 or more times",
		"lines that do not contain a number and a vowel",
		"lines with a capital letter at least once, or ending in 'truck'",
		"lines that start with a vowel and hold the string 'ring' two times",
		"lines with words that begin with a lower-case letter, before 'dog'",
	}
	regexes = []string{`(dog).*(([A-Za-z]){3,}).*`, `~((.*[0-9].*)&(.*[AEIOUaeiou].*))`, `(([A-Z])+)|(.*)(truck)`, `([AEIOUaeiou].*)&((ring){2,})`, `\b([a-z].*)\b.*(dog).*`}
	groups  = []string{"one clause", "two clauses", "three clauses", "negation"}
)

// score puts an evaluation that passes the wanted fraction, with its samples.
func (f *fixture) score(id, model string, n int, fraction float64, seed uint64, inputs ...cas.Digest) (store.Step, []store.Sample) {
	f.t.Helper()
	hard, luck := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(seed, 2))
	samples, passed, outcomes := make([]store.Sample, n), 0, map[string]int{}
	for i := range samples {
		k := i % len(prompts)
		s := store.Sample{Index: i, ID: fmt.Sprintf("nl-rx-%04d", i), Group: groups[i*7%11%len(groups)], Prompt: prompts[k], Want: regexes[k], Answer: regexes[k], Outcome: "pass", Score: 1, Tokens: 9 + i%13, LogProb: -0.2}
		if s.Group == "negation" {
			fraction -= 0.12
		}
		if 0.6*hard.Float64()+0.4*luck.Float64() > fraction {
			s.Outcome, s.Score, s.Answer = "fail", 0, regexes[(k+1)%len(regexes)]
			s.Note = "accepts “adog”, the reference does not"
			if i%29 == 0 {
				s.Outcome, s.Note, s.Answer = "unparsable", "missing closing )", "((("+s.Answer
			}
			if i%41 == 0 {
				s.Outcome, s.Note = "truncated", "no end within 48 tokens"
			}
		} else {
			passed++
		}
		if s.Group == "negation" {
			fraction += 0.12
		}
		outcomes[s.Outcome]++
		samples[i] = s
	}
	f.shuffle(4, func(i int) { f.ok(f.st.PutSamples(cas.Sum([]byte(id)), samples[i*n/4:(i+1)*n/4])) })
	st := f.step("eval.run", "scores", id, 48.2, 0, map[string]any{
		"n": n, "passed": passed, "pass_rate": float64(passed) / float64(n), "score": float64(passed) / float64(n),
		"outcomes": outcomes, "model": model, "grader": "regex",
	}, inputs...)
	return st, samples
}

// script is the notebook of the fixture's runs.
const script = `# %% [markdown]
# # Teach a small model regular expressions
#
# A model of 0.46 M parameters reads *lines with the string 'dog' before a letter* and writes
# ` + "`(dog).*([A-Za-z]).*`" + `. It learns from 500 rows, then from the answers of a **teacher** to
# the 2,000 prompts of which it is least sure. An answer passes if it accepts exactly the same strings.
#
# > Question: does targeted distillation lift the pass rate on rows that no training saw?
# %% Parameters
lr       = param("lr", 2e-3, "learning rate")
patience = param("patience", 3, "evaluations without a better loss")
rank     = param("r", 16, "rank of the adapter")
asks     = param("asks", 2000, "questions to the teacher")
# %% What does the base fail on?
base   = model.load("models/base")                  # a Hugging Face directory
train  = data.jsonl("data/train.jsonl")
test   = data.jsonl("data/test.jsonl", limit = 1250)
before = eval.run(base, test, grader = grade.go("graders/regex.go"))
print("base passes", before.pass_rate)
# %% Ask the teacher
improved = distill.generate(train, teacher = "practice", budget_usd = 25, max_examples = asks)
def show(row):
    """A row, for people."""
    return {"prompt": row["prompt"], "answer": row["answer"]}
report.table([show(r) for r in improved.sample(3)])
# %% Train with patience, merge
mix   = data.combine(improved, train.sample(500, seed = 1))
a     = lora.train(base, mix, r = rank, alpha = 32, lr = lr, patience = patience, eval_steps = 100)
tuned = lora.merge(base, a)
# %% [markdown]
# ## Is it better?
#
# Both models answer the same 1,250 rows.
# %% Evaluate
after = eval.run(tuned, test, grader = grade.go("graders/regex.go"))
report.compare(before, after)
assert_.bar(after.pass_rate > 0.8, "passes more than 80 %")
report.note("The **negations** stay hard: they need an operator that the seed rows hardly show.")
report.plot(x = [100, 500, 1000, 2000], y = [70.4, 79.0, 83.1, 87.2], title = "Pass rate by questions asked")
`

// at returns the line of the notebook in which word stands first, from 1.
func at(word string) int {
	return 1 + strings.Count(script[:strings.Index(script, word)], "\n")
}

// trial is what sets one run of the fixture apart.
type trial struct {
	id          string
	lr          float64
	patience    int
	loss, share float64
	hits        bool // distillation and base evaluation are found done
	text        string
	ended       bool
}

// run puts a run of the notebook and returns its id.
func (f *fixture) run(tr trial) string {
	f.t.Helper()
	if tr.text == "" {
		tr.text = script
	}
	source, err := f.st.Blobs.Put([]byte(tr.text))
	f.ok(err)
	dirty, err := f.st.Blobs.Put([]byte("diff --git a/nb.star b/nb.star\n--- a/nb.star\n+++ b/nb.star\n@@ -9,2 +9,2 @@\n context\n-lr = param(\"lr\", 1e-3)\n+lr = param(\"lr\", 2e-3)\n"))
	f.ok(err)
	f.ok(f.st.BeginRun(store.Run{
		ID: tr.id, Notebook: "scripts/regex.star", Source: source, GitDirty: dirty, GitCommit: "4be1f6a0c9d27f0e6f1d2c3b4a59687706152433", Started: noon,
		Params: encode(map[string]any{
			"lr": param(tr.lr, 2e-3, "learning rate"), "patience": param(tr.patience, 3, "evaluations without a better loss"),
			"r": param(16, 16, "rank of the adapter"), "asks": param(2000, 2000, "questions to the teacher"),
		}),
		Argv: []string{"/somewhere/starbook", "run", "scripts/regex.star", "-p", fmt.Sprint("lr=", tr.lr), "-p", "note=it's mine"},
		Env:  map[string]string{"go": "go1.26.1", "os": "linux", "arch": "amd64", "cpu": "Xeon, 2 cores", "device": "cpu", "starbook": "v0.1.0"},
	}))
	base := f.step("model.load", "model", "base", 0.4, 0, map[string]any{"parameters": 463_104, "layers": 4})
	train := f.step("data.jsonl", "dataset", "train", 0.1, 0, map[string]any{"rows": 6309})
	test := f.step("data.jsonl", "dataset", "test", 0.1, 0, map[string]any{"rows": 1250})
	before, _ := f.score("before", "base", 1250, 0.62, 3, base.Output, test.Output)
	improved := f.step("distill.generate", "dataset", "improved", 2471, 3.2046, map[string]any{
		"asked": 2000, "from_ledger": 112, "rejected": 3, "input_tokens": 412_310, "output_tokens": 98_221, "cost_usd": 3.2046, "teacher": "practice", "rows": 1997,
	}, train.Output)
	mix := f.step("data.combine", "dataset", "mix", 0.2, 0, map[string]any{"rows": 2497}, improved.Output, train.Output)
	name := fmt.Sprintf("train lr=%v patience=%d loss=%v", tr.lr, tr.patience, tr.loss)
	f.train(name, tr.loss, tr.patience <= 3, base.Output, mix.Output)
	adapter, err := f.st.Step(cas.Sum([]byte(name)))
	f.ok(err)
	tuned := f.step("lora.merge", "model", "merge "+name, 1.3, 0, map[string]any{"retained": 0.984, "error": 0.0113, "tensors": 21}, base.Output, adapter.Output)
	after, _ := f.score(fmt.Sprintf("after %s %v", name, tr.share), "tuned", 1250, tr.share, 5, tuned.Output, test.Output)

	steps := []store.Step{base, train, test, before, improved, mix, adapter, tuned, after}
	lines := []int{at("model.load"), at("train  ="), at("test   ="), at("before ="), at("distill.generate"), at("mix "), at("lora.train"), at("lora.merge"), at("after =")}
	f.shuffle(len(steps), func(i int) {
		u := store.Use{Run: tr.id, Seq: i + 1, Key: steps[i].Key, Name: steps[i].Name, Line: lines[i], Seconds: steps[i].Seconds}
		if tr.hits && i < 6 {
			u.Hit, u.Seconds = true, 0.001
		}
		f.ok(f.st.PutUse(u))
	})
	f.events(tr, steps, lines)
	if tr.ended {
		f.ok(f.st.EndRun(tr.id, store.Done, 0, ""))
	}
	return tr.id
}

// sweep puts a run with four trainings, each evaluated, and returns its id. The
// second trial is the best, the first the worst.
func (f *fixture) sweep() string {
	f.t.Helper()
	source, err := f.st.Blobs.Put([]byte(script))
	f.ok(err)
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef01", Notebook: "nb.star", Source: source, Started: noon}))
	for i, share := range []float64{0.5, 0.8, 0.6, 0.7} {
		name := fmt.Sprint("trial", i)
		key := f.train(name, 0.3+0.1*share, i%2 == 0)
		tr, err := f.st.Step(key)
		f.ok(err)
		scores, _ := f.score("scores "+name, "tuned", 200, share, 5, tr.Output)
		f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: 2*i + 1, Key: key, Name: "lora.train", Line: at("lora.train"), Seconds: 3}))
		f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: 2*i + 2, Key: scores.Key, Name: "eval.run", Line: at("after ="), Seconds: 1}))
	}
	return "abcdef01"
}

// param is the record of a notebook's parameter.
func param(value, def any, doc string) map[string]any {
	return map[string]any{"value": value, "default": def, "doc": doc}
}

// side is one side of the comparison of the fixture.
func side(label string, s store.Step) event.Side {
	var v scored
	if err := json.Unmarshal(s.Summary, &v); err != nil {
		panic(err)
	}
	low, high := wilson(v.Passed, v.N)
	return event.Side{Step: s.Key.String(), Label: label, N: v.N, Passed: v.Passed, Low: low, High: high}
}

// events emits what happened in a run, as a script's calls do.
func (f *fixture) events(tr trial, steps []store.Step, lines []int) {
	emit := func(kind event.Kind, line int, e event.Event) {
		e.Run, e.Time, e.Kind, e.Line = tr.id, noon, kind, line
		f.st.Emit(e)
	}
	emit(event.RunStart, 0, event.Event{})
	for i, s := range steps {
		emit(event.StepStart, lines[i], event.Event{Step: s.Key.String(), Name: s.Name})
		emit(event.StepDone, lines[i], event.Event{Step: s.Key.String(), Name: s.Name, Value: s.Seconds})
		if s.Name == "eval.run" && i == 3 {
			emit(event.Print, at("print("), event.Event{Text: "base passes 0.6568"})
		}
		if s.Name == "distill.generate" {
			emit(event.Warn, at("distill.generate"), event.Event{Text: "3 of 2,000 answers did not parse and were left out: starbook show " + s.Key.Short() + " lists them"})
			emit(event.Table, at("report.table"), event.Event{Data: encode(event.TableData{Title: "Three of the teacher's answers", Columns: []string{"prompt", "answer", "tokens"}, Rows: [][]any{
				{prompts[0], regexes[0], 14}, {prompts[1], regexes[1], 22}, {prompts[2], regexes[2], 15},
			}})})
		}
	}
	a, b := side("base", steps[3]), side("tuned", steps[8])
	before, err := f.st.Samples(steps[3].Key)
	f.ok(err)
	after, err := f.st.Samples(steps[8].Key)
	f.ok(err)
	p := pair(passMap(before), passMap(after))
	diff := share(b) - share(a)
	emit(event.Compare, at("report.compare"), event.Event{Data: encode(event.CompareData{
		A: a, B: b, Items: p.items, Fixed: p.fixed, Broken: p.broken, P: p.p, Diff: diff, DiffLow: diff - 0.024, DiffHigh: diff + 0.024, MDE: 0.031, Groups: categories(before, after),
		Warnings: []string{"12 of 1,250 test rows have a near-duplicate in the training data; without them tuned passes 87.2 %."},
	})})
	emit(event.Bar, at("assert_"), event.Event{Name: "passes more than 80 %", Value: 1})
	emit(event.Note, at("report.note"), event.Event{Text: "The **negations** stay hard: they need an operator that the seed rows hardly show."})
	emit(event.Plot, at("report.plot"), event.Event{Data: encode(event.PlotData{Title: "Pass rate by questions asked", Kind: "line", XLabel: "questions", Series: []event.Curve{
		{Name: "least confident first", X: event.Numbers{100, 500, 1000, 2000}, Y: event.Numbers{70.4, 79, 83.1, 87.2}, Low: event.Numbers{67.8, 76.7, 80.9, 85.2}, High: event.Numbers{72.9, 81.2, 85.1, 88.9}},
		{Name: "at random", X: event.Numbers{100, 500, 1000, 2000}, Y: event.Numbers{68.9, 76.6, 81.0, 84.8}},
	}})})
	emit(event.RunDone, 0, event.Event{})
}

// categories compares within each group, as the built-in does, but for its tests.
func categories(before, after []store.Sample) (out []event.GroupData) {
	names, a := groupsOf(before)
	_, z := groupsOf(after)
	for _, n := range names {
		out = append(out, event.GroupData{Name: n, Items: a[n].n, A: a[n].passed, B: z[n].passed, Fixed: z[n].passed, Broken: a[n].passed, P: 0.01, PHolm: 0.04})
	}
	return out
}

// passMap says which items passed.
func passMap(samples []store.Sample) map[string]bool {
	out := map[string]bool{}
	for _, s := range samples {
		out[item(s)] = s.Outcome == "pass"
	}
	return out
}

// page writes the page of the runs and returns it.
func (f *fixture) page(runs ...string) string {
	f.t.Helper()
	var b bytes.Buffer
	f.ok(Write(&b, f.st, runs, Options{}))
	return b.String()
}
