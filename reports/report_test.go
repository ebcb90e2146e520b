package reports

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// limit is what a page may weigh at most.
const limit = 2 << 20

func TestSameRunsSameBytes(t *testing.T) {
	pages := map[string]string{}
	for i := range 3 {
		f := newFixture(t)
		if i > 0 {
			f.order = rand.New(rand.NewPCG(uint64(i), 1))
		}
		a := f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80})
		b := f.run(trial{id: "2b0a1b2c", lr: 1e-3, patience: 3, loss: 0.42, share: 0.77, hits: true})
		for name, runs := range map[string][]string{"one": {a}, "two": {a, b}} {
			page := f.page(runs...)
			if again := f.page(runs...); again != page {
				t.Errorf("%s: two pages of one store differ", name)
			}
			if first, ok := pages[name]; ok && first != page {
				t.Errorf("%s: the page depends on the order in which rows were put", name)
			}
			pages[name] = page
		}
	}
}

func TestPageSaysWhatHappened(t *testing.T) {
	f := newFixture(t)
	text := spoken(f.page(f.run(trial{id: "1f3a9c0d", lr: 1e-3, patience: 3, loss: 0.35, share: 0.80, hits: true, ended: true})))
	for _, want := range []string{
		"Teach a small model regular expressions",
		"tuned passes 90.0 % (95 % interval 88.2–91.5, n 1,250), base 65.6 % (62.9–68.2).",
		"On the same 1,250 items: +24.4 points", "324 fixed, 19 broken; exact McNemar p = 9×10⁻⁷³.",
		"12 of 1,250 test rows have a near-duplicate",
		"Stopped early at update 1,100: 3 evaluations in a row without a better loss; the weights kept are those of update 800, eval loss 0.4236.",
		"eval 9, update 900: loss 0.4475, not better than 0.4236: 1 of 3",
		"saved 41 min, $3.20", "tokens in 412,310", "retained 98.4 %",
		"65.6 % passed: 820 of 1,250 (95 % interval 62.9–68.2).",
		"The flips: 324 fixed, 19 broken", "fixed: passes now, did not before", "274 more are in the store", "unparsable → pass",
		"✓ met passes more than 80 %", "The negations stay hard",
		"lr 0.001 changed", "starbook run scripts/regex.star -p lr=0.001 -p 'note=it'\\''s mine'",
		"4be1f6a0c9d27f0e6f1d2c3b4a59687706152433", "device cpu", `- lr = param("lr", 1e-3)`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// tags matches the markup of a page, to read what is left.
var (
	tags   = regexp.MustCompile(`(?s)<style>.*?</style>|<[^>]*>`)
	blanks = regexp.MustCompile(`[\s\x{202f}]+`)
)

// spoken returns the page's text with single spaces.
func spoken(page string) string {
	s := tags.ReplaceAllString(page, " ")
	s = strings.NewReplacer("&#43;", "+", "&#39;", "'", "&#34;", `"`, "&amp;", "&").Replace(s)
	s = blanks.ReplaceAllString(s, " ")
	return strings.NewReplacer(" )", ")", "( ", "(").Replace(s)
}

func TestComparePageSaysWhoLeads(t *testing.T) {
	f := newFixture(t)
	a := f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80, ended: true})
	b := f.run(trial{id: "2b0a1b2c", lr: 1e-3, patience: 3, loss: 0.42, share: 0.77, hits: true, ended: true, text: script + "print('more')\n"})
	text := spoken(f.page(b, a))
	for _, want := range []string{
		"lr 0.002 (run 1f3a9c0d) leads with 90.0 % (95 % interval 88.2–91.5, n 1,250).",
		"Against lr 0.001 (run 2b0a1b2c) on the same 1,250 items:",
		"Only parameters that differ; 3 others are the same in all runs. Tested against the leader on the same items: 1 run (",
		"- print('more')", // b was asked for first, so its line goes
		"The leader was picked on these very items",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// hostile is text as a model or a prankster might write it.
var hostile = "</pre></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{.}}<!-- ]]> \u202eevil\u2066\u200b\x1b[31m\x00\u0085\u2028 javascript:alert(3) \xff"

func TestHostileTextIsInert(t *testing.T) {
	f := newFixture(t)
	source, err := f.st.Blobs.Put([]byte("# %% [markdown]\n# # Title " + hostile + "\n#\n# " + hostile + "\n#\n# [click](javascript:alert(4)) ![pic](https://evil.example/x.png) &#x202e;\n# <iframe src=\"https://evil.example\"></iframe>\n# %% " + hostile + "\nx = \"" + hostile + "\"\n"))
	f.ok(err)
	f.ok(f.st.BeginRun(store.Run{
		ID: "abcdef01", Notebook: hostile, Source: source, GitDirty: source, GitCommit: hostile, Started: noon,
		Params: encode(map[string]any{"p" + hostile: param(hostile, "d"+hostile, hostile)}), Argv: []string{"starbook", hostile}, Env: map[string]string{hostile: hostile},
	}))
	tr := f.train("hostile", 0.4, true)
	st, _ := f.score("scores", hostile, 60, 0.5, 1)
	bad := make([]store.Sample, 8)
	for i := range bad {
		bad[i] = store.Sample{Index: i, ID: hostile, Group: fmt.Sprint(hostile, i%2), Prompt: hostile, Want: hostile, Answer: strings.Repeat(hostile, 40), Outcome: hostile, Note: hostile}
	}
	f.ok(f.st.PutSamples(st.Key, bad))
	odd := f.step(hostile, hostile, hostile, 1, 1, map[string]any{hostile: hostile, "decisions": []string{hostile}, "stopped_step": 3, "stopped": hostile})
	for i, k := range []cas.Digest{tr, st.Key, odd.Key, cas.Sum([]byte("never done"))} {
		f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: i + 1, Key: k, Name: hostile, Failed: []string{"", "", "", hostile}[i]}))
	}
	for _, k := range []event.Kind{event.Print, event.Warn, event.Note, event.Bar, event.Log, event.Table, event.Plot, event.Sweep, event.Compare, event.Example} {
		e := event.Event{Run: "abcdef01", Time: noon, Kind: k, Name: hostile, Text: hostile}
		switch k {
		case event.Table:
			e.Data = encode(event.TableData{Title: hostile, Columns: []string{hostile}, Rows: [][]any{{hostile}, {map[string]string{hostile: hostile}}}, Note: hostile})
		case event.Example:
			e.Data = encode(event.ExampleData{Title: hostile, Parts: []event.ExamplePart{{Text: hostile}, {Text: hostile, Trained: true}}})
		case event.Plot:
			e.Data = encode(event.PlotData{Title: hostile, Kind: "bar", XLabel: hostile, YLabel: hostile, Categories: []string{hostile}, Series: []event.Curve{{Name: hostile, Y: event.Numbers{1}, Style: hostile}}, Note: hostile})
		case event.Sweep:
			one, two := 1.0, 2.0
			e.Data = encode(event.SweepData{Title: hostile, Objective: hostile, Names: []string{hostile, "b"}, Trials: []event.SweepTrial{
				{Values: []any{hostile, 1}, Value: &one}, {Values: []any{hostile + "2", 2}, Value: &two}, {Values: []any{nil}, Error: hostile},
			}})
		case event.Compare:
			e.Data = encode(event.CompareData{Title: hostile, A: event.Side{Step: st.Key.String(), Label: hostile, N: 3, Passed: 1}, B: event.Side{Step: st.Key.String(), Label: hostile, N: 3, Passed: 2}, Warnings: []string{hostile}})
		}
		f.st.Emit(e)
	}
	f.ok(f.st.EndRun("abcdef01", store.Failed, 1, hostile))
	for name, page := range map[string]string{"one": f.page("abcdef01"), "compared": f.page("abcdef01", f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80}))} {
		checkInert(t, name, page)
	}
}

// checkInert fails if anything in the page could act, load or deceive.
func checkInert(t *testing.T, name, page string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?i)<(script|img|iframe|object|embed|link|base|form|image|foreignObject|animate|use)\b`).FindAllString(page, -1) {
		t.Errorf("%s: the page holds a %s", name, m)
	}
	names := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(page, `""`) // of attributes, without their values
	for _, m := range regexp.MustCompile(`(?i)<[a-z][^>]*\s(on[a-z]+|style|src|srcdoc|action|formaction)\s*=`).FindAllString(names, -1) {
		t.Errorf("%s: the page holds %q", name, m)
	}
	for _, m := range regexp.MustCompile(`(?i)href="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if m[1] != "" && !strings.HasPrefix(m[1], "#") {
			t.Errorf("%s: a link leads to %q", name, m[1])
		}
	}
	for _, r := range page {
		if deceptive(r) {
			t.Fatalf("%s: the page holds %U", name, r)
		}
	}
	if m := regexp.MustCompile(`&#(x20[0-6]|82[0-9]{2})`).FindString(page); m != "" {
		t.Errorf("%s: the page holds the entity %s", name, m)
	}
	for _, want := range []string{"⟨U+202E⟩", "␛[31m", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s: the page does not show %s", name, want)
		}
	}
}

func TestPolicyNamesTheStyle(t *testing.T) {
	f := newFixture(t)
	page := f.page(f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80}))
	m := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(m[1]))
	want := "style-src &#39;sha256-" + strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "+", "&#43;") + "&#39;"
	if !strings.Contains(page, want) {
		t.Errorf("the policy does not name the style's hash %s", want)
	}
	for _, banned := range []string{"url(", "@import", "http://", "https://", "unsafe"} {
		if strings.Contains(page, banned) {
			t.Errorf("the page holds %q", banned)
		}
	}
}

func TestPageOfAThousandRuns(t *testing.T) {
	f := newFixture(t)
	base, _ := f.score("shared", "base", 100, 0.6, 1)
	source, err := f.st.Blobs.Put([]byte(script))
	f.ok(err)
	runs := make([]string, 1000)
	var group errgroup.Group
	group.SetLimit(100) // share a commit
	for i := range runs {
		id := fmt.Sprintf("%08x", i)
		runs[i] = id
		group.Go(func() error {
			err := f.st.BeginRun(store.Run{ID: id, Notebook: "nb.star", Source: source, Started: noon, Params: encode(map[string]any{
				"lr": param(1e-5*float64(i), 1e-3, "learning rate"), "seed": param(i, 0, ""), "r": param(8<<(i%4), 8, ""),
			})})
			key := cas.Sum([]byte(id))
			for x := range 40 {
				f.st.Point(key, "eval/loss", int64(x), 1/float64(x+1)+float64(i%7))
			}
			return errors.Join(err,
				f.st.PutStep(store.Step{Key: key, Name: "lora.train", Kind: "adapter", Output: base.Output, Summary: encode(map[string]any{"stopped_step": 40, "best_eval_loss": float64(i % 7)}), Created: noon}),
				f.st.PutUse(store.Use{Run: id, Seq: 1, Key: key, Name: "lora.train", Seconds: 10}),
				f.st.PutUse(store.Use{Run: id, Seq: 2, Key: base.Key, Name: "eval.run", Hit: i > 0}),
				f.st.EndRun(id, store.Done, 0, ""))
		})
	}
	f.ok(group.Wait())
	page := f.page(runs...)
	if len(page) > limit {
		t.Errorf("the page has %d bytes, more than %d", len(page), limit)
	}
	for _, id := range []string{runs[0], runs[999]} {
		if !strings.Contains(page, id) {
			t.Errorf("run %s is not on the page", id)
		}
	}
}

func TestPageOfALargeRun(t *testing.T) {
	f := newFixture(t)
	source, err := f.st.Blobs.Put([]byte(script + strings.Repeat("x = 1 # "+strings.Repeat("long ", 500)+"\n", 900)))
	f.ok(err)
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef01", Notebook: "nb.star", Source: source, Started: noon}))
	for i := range 60 {
		st, samples := f.score(fmt.Sprint("scores", i), "m", 120, 0.5, uint64(i))
		for k := range samples {
			samples[k].Answer = strings.Repeat("<&", 1000)
		}
		f.ok(f.st.PutSamples(st.Key, samples))
		f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: i + 1, Key: st.Key, Name: "eval.run", Line: 19}))
	}
	for range 3000 {
		f.st.Emit(event.Event{Run: "abcdef01", Time: noon, Kind: event.Print, Line: 20, Text: strings.Repeat("<", 900)})
	}
	page := f.page("abcdef01")
	if len(page) > limit {
		t.Errorf("the page has %d bytes, more than %d", len(page), limit)
	}
	if !strings.Contains(page, "would make this page larger") {
		t.Error("the page does not say what it leaves out")
	}
}

func TestSweepInsideARun(t *testing.T) {
	f := newFixture(t)
	page := f.page(f.sweep())
	m := regexp.MustCompile(`(?s)id="trials".*?</table>`).FindString(page)
	best := cas.Sum([]byte("trial1")).Short()
	rows := regexp.MustCompile(`<td>([0-9a-f]{8})</td><td class="n">(trial\d)</td>`).FindAllStringSubmatch(m, -1)
	if len(rows) != 4 || rows[0][1] != best || rows[0][2] != "trial1" || rows[3][2] != "trial0" {
		t.Errorf("trials %v, want trial1 first and trial0 last", rows)
	}
	if want := best + " is the best of 4 trials: it passes 92.0 %"; !strings.Contains(spoken(page), want) {
		t.Errorf("the page does not say %q", want)
	}
}

// A pruned trial is shown as one: not failed, never the best, its training left where it was.
func TestPrunedTrials(t *testing.T) {
	f := newFixture(t)
	a := f.run(trial{id: "1f3a9c0d", lr: 2e-3, patience: 3, loss: 0.35, share: 0.80, ended: true})
	b := f.run(trial{id: "2b0a1b2c", lr: 1e-3, patience: 3, loss: 0.42, share: 0.77, hits: true, ended: true})
	const why = "eval 3: 1.5200 > median 1.3100 of 8 trials"
	f.ok(f.st.BeginRun(store.Run{ID: "3c0a1b2c", Notebook: "nb.star", Started: noon, Params: encode(map[string]any{
		"lr": param(1e-5, 1e-3, ""), "patience": param(3, 3, ""), "r": param(16, 16, ""), "asks": param(2000, 2000, ""),
	})}))
	cut := cas.Sum([]byte("cut"))
	for x := range 3 {
		f.st.Point(cut, "train/loss", int64(x), 1.5)
		f.st.Point(cut, "eval/loss", int64(x), 1.52)
	}
	f.st.Emit(event.Event{Run: "3c0a1b2c", Step: cut.String(), Time: noon, Kind: event.StepStart, Name: "lora.train"})
	f.st.Emit(event.Event{Run: "3c0a1b2c", Step: cut.String(), Time: noon, Kind: event.StepCut, Name: "lora.train", Text: "pruned: " + why})
	f.ok(f.st.PutUse(store.Use{Run: "3c0a1b2c", Seq: 1, Key: cut, Name: "lora.train", Seconds: 2}))
	f.ok(f.st.EndRun("3c0a1b2c", store.Pruned, 0, why))
	text := spoken(f.page(a, b, "3c0a1b2c"))
	for _, want := range []string{
		"3 runs, 1 pruned", "best eval loss 0.4", "lr 0.002 (run 1f3a9c0d) leads", "3c0a1b2c pruned 0.00001", "at eval 3: 1.5200 &gt; median 1.3100 of 8 trials",
		"⊣ left where it was when its trial was pruned",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "1 failed") {
		t.Error("a pruned run counts as failed")
	}
	one := spoken(f.page("3c0a1b2c"))
	for _, want := range []string{"Its sweep pruned this trial at eval 3", "lora.train " + cut.Short() + " cut", "At update 2: train loss 1.5, eval loss 1.52"} {
		if !strings.Contains(one, want) {
			t.Errorf("the run's page does not say %q", want)
		}
	}
	v := sweepOf(event.SweepData{Objective: "loss", Minimize: true, Names: []string{"lr"}, Trials: []event.SweepTrial{
		{Values: []any{0.1}, Value: new(2.0)}, {Values: []any{0.2}, Pruned: why}, {Values: []any{0.3}, Error: "unlucky"}, {Values: []any{0.4}, Value: new(1.0)},
	}})
	if v.Sentence != "Best of 4 trials: lr 0.4 with 1." || !strings.HasPrefix(v.Support, "1 trial failed. 1 trial pruned, for") {
		t.Errorf("the sweep says %q %q", v.Sentence, v.Support)
	}
	if last := v.Table.Rows[2]; last[len(last)-1] != "pruned at "+why {
		t.Errorf("its table says %v", v.Table.Rows)
	}
}

// A step at work shows how far it is, until it is done.
func TestBarOfAStepAtWork(t *testing.T) {
	f := newFixture(t)
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef01", Notebook: "nb.star", Started: noon}))
	key := cas.Sum([]byte("at work"))
	_, unlock, err := f.st.LockStep(t.Context(), key)
	f.ok(err)
	defer unlock()
	f.st.Emit(event.Event{Run: "abcdef01", Step: key.String(), Time: noon, Kind: event.StepStart, Name: "model.generate"})
	if strings.Contains(f.page("abcdef01"), "<progress") {
		t.Error("a bar of a step that says nothing")
	}
	f.ok(f.st.SetProgress(key, store.Progress{Done: 312, Total: 5709, Text: "answers"}))
	if page := f.page("abcdef01"); !strings.Contains(page, `<progress max="5709" value="312">`) || !strings.Contains(spoken(page), "312 of 5,709 answers") {
		t.Error("the page does not say how far the step is")
	}
	f.ok(f.st.EndRun("abcdef01", store.Interrupted, 3, ""))
	if strings.Contains(f.page("abcdef01"), "<progress") {
		t.Error("a bar of a step that nobody is at")
	}
}

// Trainings that end in the same model share its evaluation, which is made once.
func TestTwinsShareTheirScore(t *testing.T) {
	f := newFixture(t)
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef01", Notebook: "nb.star", Started: noon}))
	seq := 0
	use := func(s store.Step) {
		seq++
		f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: seq, Key: s.Key, Name: s.Name, Seconds: 1}))
	}
	merged := f.step("lora.merge", "model", "merged", 1, 0, map[string]any{})
	for i := range 3 {
		key := f.train(fmt.Sprint("twin", i), 0.4, true)
		adapter, err := f.st.Step(key)
		f.ok(err)
		use(adapter)
		m := store.Step{Key: cas.Sum([]byte(fmt.Sprint("merge", i))), Name: "lora.merge", Kind: "model", Output: merged.Output, Inputs: []cas.Digest{adapter.Output}, Created: noon}
		f.ok(f.st.PutStep(m))
		use(m)
		if i == 0 {
			scores, _ := f.score("scores", "tuned", 200, 0.8, 5, merged.Output)
			use(scores)
		}
	}
	r, err := load(f.st, "abcdef01")
	f.ok(err)
	for _, row := range r.trialRows() {
		if row.score.N != 200 {
			t.Errorf("training %s has no score", row.Key.Short())
		}
	}
}

func TestPageOfAlmostNothing(t *testing.T) {
	f := newFixture(t)
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef01", Notebook: "empty.star", Started: noon}))
	f.ok(f.st.PutUse(store.Use{Run: "abcdef01", Seq: 1, Key: cas.Sum(nil), Name: "lora.train", Failed: "gpu: out of memory: use a smaller batch"}))
	f.ok(f.st.EndRun("abcdef01", store.Failed, 1, "cell 1, line 3: out of memory"))
	text := spoken(f.page("abcdef01"))
	for _, want := range []string{"empty.star", "The run failed. cell 1, line 3: out of memory", "use a smaller batch"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	f.ok(f.st.BeginRun(store.Run{ID: "abcdef02", Notebook: "empty.star", Started: noon}))
	if !strings.Contains(f.page("abcdef01", "abcdef02"), "none of them evaluated") {
		t.Error("a comparison of nothing does not say so")
	}
}

func TestErrorsNameTheRun(t *testing.T) {
	f := newFixture(t)
	err := Write(&bytes.Buffer{}, f.st, []string{"beef"}, Options{})
	if !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "beef") {
		t.Errorf("error %v", err)
	}
	if Write(&bytes.Buffer{}, f.st, nil, Options{}) == nil {
		t.Error("no error without runs")
	}
}

// A point that is no number is a gap in the curve, not an error.
func TestCurvesWithGaps(t *testing.T) {
	var d event.PlotData
	raw := `{"title":"t","kind":"line","series":[{"name":"a","x":[1,2,3,4,5],"y":[1,null,3,4,null]},{"name":"b","y":[null]}]}`
	if err := json.Unmarshal([]byte(raw), &d); err != nil {
		t.Fatal(err)
	}
	for _, log := range []bool{false, true} {
		d.LogX, d.LogY = log, log
		fig := scriptPlot(d)
		if fig == nil {
			t.Fatal("no figure")
		}
		if n := strings.Count(string(fig.SVG), `class="l c1"`); n != 1 {
			t.Errorf("log %v: %d lines, want one from 3 to 4", log, n)
		}
		if strings.Contains(string(fig.SVG), "NaN") || strings.Contains(string(fig.SVG), "Inf") {
			t.Errorf("log %v: %s", log, fig.SVG)
		}
	}
	d.Series = d.Series[1:]
	if scriptPlot(d) != nil {
		t.Error("a figure without a point")
	}
}
