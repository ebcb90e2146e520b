package builtins

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/stats"
	"starbook/runtime/store"
)

// scoreArgs are all that decides how answers are scored.
type scoreArgs struct {
	Answers   Handle         `arg:"answers" kind:"answers" doc:"of eval.answers"`
	Items     Handle         `arg:"items" kind:"dataset" doc:"what was asked"`
	Grader    starlark.Value `arg:"grader" doc:"who judges"`
	Want      string         `arg:"want" doc:"column with the reference"`
	Category  string         `arg:"category" doc:"column with the kind of item"`
	Prompt    string         `arg:"prompt" doc:"its columns are what is asked"`
	Samples   int            `arg:"samples" doc:"answers to an item"`
	Name      string         `arg:"name" doc:"of the model"`
	FewShot   Handle         `arg:"few_shot=None" kind:"dataset" doc:"rows that were shown as examples"`
	AllowLeak bool           `arg:"allow_leak=false" doc:"let trained items count"`
	trainings
}

// scoreAnswers is the step eval.run: graded answers, with what is known of leaks.
func scoreAnswers(ctx context.Context, h *Host, s *runtime.Step, a scoreArgs) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Items)
	if err != nil {
		return runtime.Artifact{}, err
	}
	samples, err := samplesFor(rows, a.Samples, a.Prompt, a.Want, a.Category)
	if err != nil {
		return runtime.Artifact{}, err
	}
	e := evaluation{step: s, samples: samples, rows: make([]Row, len(samples))}
	for i := range samples {
		e.rows[i] = rows[i/a.Samples]
	}
	if e.answers, err = answersOf(s.Store(), a.Answers); err != nil {
		return runtime.Artifact{}, err
	}
	if len(e.answers) != len(samples) {
		return runtime.Artifact{}, fmt.Errorf("%d answers to %d questions", len(e.answers), len(samples))
	}
	facts := Facts{"model": a.Name, "allow_leak": a.AllowLeak}
	if err := a.mark(s.Store(), a.FewShot, samples, facts); err != nil {
		return runtime.Artifact{}, err
	}
	var told struct{ Template, Rendered string }
	if err := json.Unmarshal(a.Answers.Summary, &told); err != nil {
		return runtime.Artifact{}, fmt.Errorf("%s: %w", a.Answers, err)
	}
	facts["template"], facts["rendered"] = told.Template, told.Rendered
	if err := e.grade(ctx, h, a.Grader); err != nil {
		return runtime.Artifact{}, err
	}
	return e.artifact(facts, a.AllowLeak)
}

// evaluation is answers on their way to scores.
type evaluation struct {
	step    *runtime.Step
	rows    []Row          // of the items, one for each answer
	samples []store.Sample // one for each answer; grade fills in the verdicts
	answers []answer
	grader  grade.Grader
}

// samplesFor makes the samples of items, n to each, that wait for answers.
func samplesFor(rows []Row, n int, prompt, want, category string) ([]store.Sample, error) {
	out := make([]store.Sample, 0, n*len(rows))
	for i, r := range rows {
		reference, ok := textOf(r, want)
		if !ok {
			return nil, fmt.Errorf("row %d has no text in column %q, the reference: name the column with want=", i+1, want)
		}
		group, _ := dataset.Text(r, category)
		id := dataset.ID(r)
		for k := range n {
			x := store.Sample{
				Index: len(out), ID: id, Parent: cmp.Or(dataset.Parent(r), id), Group: group,
				Prompt: question(r, prompt), Want: reference, LogProb: math.NaN(),
			}
			if k > 0 {
				x.ID = fmt.Sprintf("%s#%d", id, k+1)
			}
			out = append(out, x)
		}
	}
	return out, nil
}

// textOf is a column as text; what is no text is JSON.
func textOf(r Row, column string) (string, bool) {
	if t, ok := dataset.Text(r, column); ok {
		return t, true
	}
	v, ok := r[column]
	if !ok || v == nil {
		return "", false
	}
	return encode(v), true
}

var columnName = regexp.MustCompile(`\{(\w+)\}`)

// question is what an item asks, without what all items have in common: its
// prompt, or else the columns that the prompt is filled with.
func question(r Row, prompt string) string {
	if t, ok := dataset.Text(r, "prompt"); ok {
		return t
	}
	var parts []string
	for _, m := range columnName.FindAllStringSubmatch(prompt, -1) {
		if t, ok := dataset.Text(r, m[1]); ok {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, "\n")
}

// Answers are graded and kept so many at a time: few, so that a kill costs little
// where a judge or a program decides, and more while that takes less than quick.
const (
	firstShare = 64
	lastShare  = 4096
	quick      = 200 * time.Millisecond
)

// grade fills the verdicts in. Those that a killed step left are not made again.
func (e *evaluation) grade(ctx context.Context, h *Host, grader starlark.Value) error {
	var err error
	if e.grader, err = graderOf(grader); err != nil {
		return err
	}
	if g, ok := e.grader.(hired); ok {
		hand, done, err := g.hire(h, e.step)
		if err != nil {
			return err
		}
		defer done()
		e.grader = hand
	}
	kept, err := e.step.Store().Samples(e.step.Key())
	if err != nil {
		return err
	}
	graded := make([]bool, len(e.samples))
	for _, k := range kept {
		if k.Index < len(graded) && k.ID == e.samples[k.Index].ID {
			e.samples[k.Index], graded[k.Index] = k, true
		}
	}
	var todo []int
	for i := range e.samples {
		if !graded[i] {
			todo = append(todo, i)
		}
	}
	for share := firstShare; len(todo) > 0; {
		part := todo[:min(share, len(todo))]
		todo = todo[len(part):]
		begun := time.Now()
		if err := e.gradeSome(ctx, part); err != nil {
			return err
		}
		if time.Since(begun) < quick {
			share = min(2*share, lastShare)
		}
		e.step.Progress(int64(len(e.samples)-len(todo)), int64(len(e.samples)), "graded")
	}
	return nil
}

// gradeSome grades the answers at these places and makes them durable.
func (e *evaluation) gradeSome(ctx context.Context, places []int) error {
	var items []grade.Item
	var asked []int // places with an answer
	for _, i := range places {
		x, a := &e.samples[i], e.answers[i]
		x.Answer, x.Tokens = a.Text, a.Tokens
		if a.Mean != nil {
			x.LogProb = *a.Mean
		}
		if a.Failed != "" {
			x.Outcome, x.Note = string(grade.Unscored), "no answer: "+a.Failed
			continue
		}
		items = append(items, grade.Item{
			Prompt: x.Prompt, Answer: a.Text, Want: x.Want, Row: json.RawMessage(encode(e.rows[i])), Truncated: a.Truncated, Refused: a.Refused,
		})
		asked = append(asked, i)
	}
	scores, err := grade.All(ctx, e.grader, items)
	if err != nil {
		return err
	}
	for k, i := range asked {
		x := &e.samples[i]
		x.Outcome, x.Score, x.Note = string(scores[k].Outcome), scores[k].Value, scores[k].Note
	}
	part := make([]store.Sample, len(places))
	for k, i := range places {
		part[k] = e.samples[i]
	}
	return e.step.Samples(part)
}

// artifact makes the scores of graded samples.
func (e *evaluation) artifact(facts Facts, allowLeak bool) (runtime.Artifact, error) {
	w, err := e.step.Create()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.Abort()
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for i, s := range e.samples {
		line := scoredLine{Sample: s, Truncated: e.answers[i].Truncated, Refused: e.answers[i].Refused, Failed: e.answers[i].Failed}
		if !math.IsNaN(s.LogProb) {
			line.LogProb = &s.LogProb
		}
		if err := enc.Encode(line); err != nil {
			return runtime.Artifact{}, err
		}
	}
	if err := out.Flush(); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	facts["grader"], facts["grader_version"] = e.grader.Name(), e.grader.Version()
	rates(e.samples, facts, allowLeak)
	return runtime.Artifact{Kind: "scores", Digest: g, Summary: summary(facts)}, err
}

// scoredLine is a sample as the artifact has it: with all that another grader
// needs, and without NaN, which JSON lacks.
type scoredLine struct {
	store.Sample
	LogProb   *float64 `json:"logprob,omitempty"`
	Truncated bool     `json:"truncated,omitempty"`
	Refused   bool     `json:"refused,omitempty"`
	Failed    string   `json:"failed,omitempty"`
}

// sample is the sample as the store has it.
func (l scoredLine) sample() store.Sample {
	l.Sample.LogProb = math.NaN()
	if l.LogProb != nil {
		l.Sample.LogProb = *l.LogProb
	}
	return l.Sample
}

// tally counts samples by what they have in common: those of one parent are not
// independent.
type tally struct {
	n, passed int
	parents   map[string]int // place in the lists
	sizes     []int
	passes    []int
}

func (t *tally) add(s store.Sample) {
	if t.parents == nil {
		t.parents = map[string]int{}
	}
	i, ok := t.parents[s.Parent]
	if !ok {
		i = len(t.sizes)
		t.parents[s.Parent] = i
		t.sizes, t.passes = append(t.sizes, 0), append(t.passes, 0)
	}
	t.n, t.sizes[i] = t.n+1, t.sizes[i]+1
	if passed(s) {
		t.passed, t.passes[i] = t.passed+1, t.passes[i]+1
	}
}

func (t *tally) rate() float64 { return float64(t.passed) / float64(t.n) }

func (t *tally) interval() stats.Interval { return stats.ClusteredWilson(t.passes, t.sizes, 0.95) }

// passed says whether a sample passed.
func passed(s store.Sample) bool { return s.Outcome == string(grade.Pass) }

// counts says whether a sample counts in a rate.
func counts(s store.Sample) bool { return s.Outcome != string(grade.Unscored) }

// expectedDiscord is the share of items on which two models are taken to
// disagree before anything is known of the other one.
const expectedDiscord = 0.1

// rates puts the numbers that a sceptic wants into facts. What was trained on
// does not count unless that is allowed.
func rates(samples []store.Sample, facts Facts, allowLeak bool) {
	outcomes := map[string]int{}
	var all, clean tally
	for _, s := range samples {
		outcomes[s.Outcome]++
		if !counts(s) {
			continue
		}
		all.add(s)
		if s.Leak == "" {
			clean.add(s)
		}
	}
	headline := clean
	if allowLeak {
		headline = all
	}
	iv := headline.interval()
	facts["items"], facts["outcomes"] = len(samples), outcomes
	facts["n"], facts["passed"], facts["low"], facts["high"] = headline.n, headline.passed, iv.Lo, iv.Hi
	if headline.n > 0 {
		facts["pass_rate"] = headline.rate()
		facts["score"] = headline.rate() // what @best goes by
		facts["mde"] = stats.PairedMDE(len(headline.sizes), expectedDiscord, 0.05, 0.8)
	}
	if len(headline.sizes) < headline.n {
		facts["clusters"] = len(headline.sizes)
	}
	if all.n > clean.n {
		facts["all_n"], facts["all_passed"], facts["all_rate"] = all.n, all.passed, all.rate()
		iv := clean.interval()
		facts["clean_n"], facts["clean_passed"], facts["clean_low"], facts["clean_high"] = clean.n, clean.passed, iv.Lo, iv.Hi
		if clean.n > 0 {
			facts["clean_rate"] = clean.rate()
		}
	}
	if at := passAt(samples, allowLeak); at != nil {
		facts["pass_at"] = at
	}
}

// passAt returns pass@k for every k of which there are answers enough; nil if
// there is one answer to each item.
func passAt(samples []store.Sample, allowLeak bool) map[string]float64 {
	n, c := map[string]int{}, map[string]int{}
	most := 0
	for _, s := range samples {
		if !counts(s) || s.Leak != "" && !allowLeak {
			continue
		}
		id := itemID(s)
		n[id]++
		most = max(most, n[id])
		if passed(s) {
			c[id]++
		}
	}
	if most < 2 {
		return nil
	}
	out := map[string]float64{}
	for k := 1; k <= most; k++ {
		sum, items := 0.0, 0
		for _, id := range sortedKeys(n) {
			if n[id] >= k {
				sum, items = sum+stats.PassAtK(n[id], c[id], k), items+1
			}
		}
		if items == len(n) { // a k that some items lack answers for would be about others
			out[fmt.Sprint(k)] = sum / float64(items)
		}
	}
	return out
}

// itemID is the id of a sample's item: further answers to it end in "#2", "#3".
func itemID(s store.Sample) string {
	if at := strings.LastIndexByte(s.ID, '#'); at > 0 && strings.Trim(s.ID[at+1:], "0123456789") == "" && at+1 < len(s.ID) {
		return s.ID[:at]
	}
	return s.ID
}
