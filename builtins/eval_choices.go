package builtins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/cas"
)

// choosingArgs are all that decides what a model chooses.
type choosingArgs struct {
	Model     Handle `arg:"model" kind:"model" doc:"who chooses"`
	Items     Handle `arg:"items" kind:"dataset" doc:"rows with a question, choices and the right one"`
	Adapter   Handle `arg:"adapter=None" kind:"adapter" doc:"used without merging it"`
	Choices   string `arg:"choices=choices" doc:"column with the list of choices"`
	Want      string `arg:"want=answer" doc:"column with the right one: its place from 0, its letter, or its text"`
	Prompt    string `arg:"prompt={prompt}" doc:"what comes before a choice; names of columns in braces are filled in"`
	Delimiter string `arg:"delimiter= " doc:"between prompt and choice"`
	Category  string `arg:"category=group" doc:"column with the kind of item"`
	Name      string `arg:"name=" doc:"what reports call the model; empty: its own name"`
	AllowLeak bool   `arg:"allow_leak=false" doc:"let items count that the model was trained on"`
}

type choicesArgs struct {
	choosingArgs
	TrainedOn []Handle `arg:"trained_on=[]" kind:"dataset" doc:"what else the model was trained on; the datasets of the trainings behind it are found by themselves"`
}

func evalChoices() Func {
	return plain("eval.choices", "Multiple choice by log-likelihood, as lm-evaluation-harness defines it.\n"+
		"An item passes if the model gives its right choice the greatest log-probability (acc); acc_norm counts the greatest per\n"+
		"character of the choice. Nothing is generated.",
		func(ctx context.Context, c *Call, a choicesArgs) (starlark.Value, error) {
			a.Name = cmp.Or(a.Name, modelName(a.Model))
			behind := &answersArgs{Model: a.Model, Adapter: a.Adapter}
			t, err := trainingsOf(c.Run.Store, a.Items, behind.lineage(), a.TrainedOn)
			if err != nil {
				return nil, err
			}
			return do(ctx, c.Host, c.Run, c.Thread, "eval.choices", 1, runtime.GPU, choosing{a.choosingArgs, t}, chooseAll)
		}).does("eval.choices")
}

// choosing is what the step eval.choices is a function of.
type choosing struct {
	choosingArgs
	trainings
}

// problem is an item of a multiple choice.
type problem struct {
	prompt  string
	choices []string
	right   int // place among the choices
}

func (a *choosingArgs) problems(rows []Row) ([]problem, error) {
	out := make([]problem, len(rows))
	for i, r := range rows {
		var p problem
		var err error
		if p.prompt, err = filled(a.Prompt, r); err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		list, _ := r[a.Choices].([]any)
		for _, c := range list {
			text, ok := c.(string)
			if !ok || text == "" {
				return nil, fmt.Errorf("row %d: column %q is no list of texts", i+1, a.Choices)
			}
			p.choices = append(p.choices, text)
		}
		if len(p.choices) < 2 {
			return nil, fmt.Errorf("row %d: column %q has no two choices", i+1, a.Choices)
		}
		if p.right, err = rightOne(r[a.Want], p.choices); err != nil {
			return nil, fmt.Errorf("row %d: column %q: %w", i+1, a.Want, err)
		}
		out[i] = p
	}
	return out, nil
}

// rightOne reads which choice is right: a number is its place from 0, a text is
// the choice itself or else its letter.
func rightOne(want any, choices []string) (int, error) {
	if n, ok := want.(json.Number); ok {
		i, err := strconv.Atoi(string(n))
		if err != nil || i < 0 || i >= len(choices) {
			return 0, fmt.Errorf("%s is no place among %d choices", n, len(choices))
		}
		return i, nil
	}
	text, _ := want.(string)
	if i := slices.Index(choices, text); i >= 0 {
		return i, nil
	}
	if len(text) == 1 {
		if i := int(strings.ToUpper(text)[0]) - 'A'; i >= 0 && i < len(choices) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%v is neither a place, nor a choice, nor a letter", want)
}

// pairTokens cuts prompt and choice into tokens as lm-evaluation-harness does:
// spaces at the end of the prompt go to the choice, both are encoded together,
// and what is not the prompt's own tokens is the choice's. A prompt that is too
// long loses its beginning.
func (l *loaded) pairTokens(prompt, choice string) (context, continuation []int32, err error) {
	bare := strings.TrimRightFunc(prompt, unicode.IsSpace)
	choice, prompt = prompt[len(bare):]+choice, bare
	context = l.Tokenizer.EncodeSpecial(prompt)
	whole := l.Tokenizer.EncodeSpecial(prompt + choice)
	if len(whole) <= len(context) {
		return nil, nil, fmt.Errorf("the choice %q adds no token", choice)
	}
	continuation = whole[len(context):]
	if len(context) == 0 { // something must come before the first token
		if len(l.Config.EOS) == 0 {
			return nil, nil, errors.New("an empty prompt, and the model has no end-of-text token to put there")
		}
		context = l.Config.EOS[:1]
	}
	if over := len(context) + len(continuation) - 1 - l.Config.MaxPositions; over > 0 { // the last token is not read
		if over >= len(context) {
			return nil, nil, fmt.Errorf("the choice alone has %d tokens: the model takes %d", len(continuation), l.Config.MaxPositions)
		}
		context = context[over:]
	}
	return context, continuation, nil
}

// chosen is what the journal keeps of an item.
type chosen struct {
	LogProb []float64 `json:"logprob"` // of each choice, in nats
}

// problemsAtATime is after how many items what was computed is kept.
const problemsAtATime = 16

// weigh returns the log-probability of every choice of every problem.
func (l *loaded) weigh(ctx context.Context, s *runtime.Step, problems []problem, delimiter string) (_ [][]float64, err error) {
	j, done, err := openJournal(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	out := make([][]float64, len(problems))
	var todo []int
	for i := range problems {
		var was chosen
		if d, ok := done[i]; ok && json.Unmarshal([]byte(d.Text), &was) == nil {
			out[i] = was.LogProb
			continue
		}
		todo = append(todo, i)
	}
	for len(todo) > 0 {
		part := todo[:min(problemsAtATime, len(todo))]
		todo = todo[len(part):]
		var contexts, continuations [][]int32
		for _, i := range part {
			for _, c := range problems[i].choices {
				x, y, err := l.pairTokens(problems[i].prompt, delimiter+c)
				if err != nil {
					return nil, fmt.Errorf("row %d: %w", i+1, err)
				}
				contexts, continuations = append(contexts, x), append(continuations, y)
			}
		}
		scores, err := l.Score(ctx, l.adapter, contexts, continuations, 0)
		if err != nil {
			return nil, err
		}
		for _, i := range part {
			for _, x := range scores[:len(problems[i].choices)] {
				out[i] = append(out[i], -x.NLL*float64(x.Tokens))
			}
			scores = scores[len(problems[i].choices):]
			text, err := json.Marshal(chosen{out[i]})
			if err != nil {
				return nil, err
			}
			if err := j.add(answer{Index: i, Text: string(text)}); err != nil {
				return nil, err
			}
		}
		s.Progress(int64(len(problems)-len(todo)), int64(len(problems)), "items")
	}
	return out, nil
}

// byLikelihood is the name of the grader in reports.
type byLikelihood struct{}

// Name implements grade.Grader.
func (byLikelihood) Name() string { return "log-likelihood" }

// Version implements grade.Grader.
func (byLikelihood) Version() string { return "1" }

// Grade implements grade.Grader; the verdict came with the choice.
func (byLikelihood) Grade(context.Context, grade.Item) (grade.Score, error) {
	return grade.Score{Outcome: grade.Unscored, Note: "a choice by log-likelihood cannot be graded again"}, nil
}

// chooseAll is the step eval.choices.
func chooseAll(ctx context.Context, h *Host, s *runtime.Step, a choosing) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Items)
	if err != nil {
		return runtime.Artifact{}, err
	}
	if len(rows) == 0 {
		return runtime.Artifact{}, errNoItems
	}
	problems, err := a.problems(rows)
	if err != nil {
		return runtime.Artifact{}, err
	}
	m, err := h.openAdapted(s, a.Model, a.Adapter)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer m.Close()
	weights, err := m.weigh(ctx, s, problems, a.Delimiter)
	if err != nil {
		return runtime.Artifact{}, err
	}
	samples, err := samplesFor(rows, 1, a.Prompt, a.Want, a.Category)
	if err != nil {
		return runtime.Artifact{}, err
	}
	facts := Facts{"model": a.Name, "allow_leak": a.AllowLeak, "template": cas.Sum([]byte(a.Prompt + "\x00" + a.Delimiter)).String(), "rendered": problems[0].prompt + a.Delimiter + problems[0].choices[problems[0].right]}
	if err := a.mark(s.Store(), Handle{}, samples, facts); err != nil {
		return runtime.Artifact{}, err
	}
	e := evaluation{step: s, rows: rows, samples: samples, answers: make([]answer, len(samples)), grader: byLikelihood{}}
	var norm tally
	for i, p := range problems {
		best, bestNorm := choose(weights[i], p.choices)
		x := &e.samples[i]
		x.Want, x.Answer, x.LogProb, x.Tokens = p.choices[p.right], p.choices[best], weights[i][best], 0
		x.Outcome, x.Score = string(grade.Fail), 0
		if best == p.right {
			x.Outcome, x.Score = string(grade.Pass), 1
		}
		x.Note = fmt.Sprintf("per character: %s", p.choices[bestNorm])
		if a.AllowLeak || x.Leak == "" {
			y := *x
			y.Outcome = string(grade.Fail)
			if bestNorm == p.right {
				y.Outcome = string(grade.Pass)
			}
			norm.add(y)
		}
	}
	if norm.n > 0 {
		iv := norm.interval()
		facts["acc_norm"], facts["acc_norm_low"], facts["acc_norm_high"] = norm.rate(), iv.Lo, iv.Hi
	}
	if err := s.Samples(e.samples); err != nil {
		return runtime.Artifact{}, err
	}
	return e.artifact(facts, a.AllowLeak)
}

// choose returns the places of the greatest log-probability, and of the greatest
// per character; of equals the first, as NumPy's argmax has it.
func choose(logProb []float64, choices []string) (best, bestNorm int) {
	per := func(i int) float64 { return logProb[i] / float64(utf8.RuneCountInString(choices[i])) }
	for i := range logProb {
		if logProb[i] > logProb[best] {
			best = i
		}
		if per(i) > per(bestNorm) {
			bestNorm = i
		}
	}
	return best, bestNorm
}
