package builtins

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.starlark.net/starlark"

	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/store"
)

func evalModule() Module {
	return Module{
		Name: "eval",
		Doc:  "Pass rates on held-out items: with intervals, outcome classes, paired comparisons and a search for items that were trained on.",
		Funcs: []Func{
			evalRun(), evalGrade(), evalRegrade(), evalCompare(), evalForgetting(), evalExplain(), evalChoices(),
		},
	}
}

func scoresKind() KindDoc {
	return KindDoc{
		Name: "scores",
		Doc:  "Graded answers. A rate prints with its 95 % Wilson interval. Items that were trained on do not count in it, unless allow_leak is given.",
		Facts: []Fact{
			{"n", "items that count: graded, and not trained on"},
			{"passed", "of them, those that passed"},
			{"pass_rate", "passed / n"},
			{"low", "lower end of the 95 % interval"},
			{"high", "upper end of the 95 % interval"},
			{"mde", "smallest true difference to another model that as many items, paired, show in 80 of 100 cases, if the two disagree on 10 % of them"},
			{"items", "all items"},
			{"outcomes", "answers by outcome: pass, fail, truncated, empty, unparsable, refused, unscored"},
			{"leaked", "items that are, or nearly equal, training rows"},
			{"leaks", "them by how they were found: id, parent, exact, 13-gram, near, few-shot"},
			{"twins", "items that equal or nearly equal another item, where some leaked: many mean that the items are made from templates"},
			{"all_rate", "pass rate over all graded items, leaked or not"},
			{"clean_rate", "pass rate over those that were not trained on"},
			{"pass_at", "with several answers to an item: the unbiased chance that one of k passes, by k"},
			{"acc_norm", "of eval.choices: accuracy by log-likelihood per character"},
			{"model", "who answered"},
			{"grader", "who judged"},
			{"template", "digest of system, examples and prompt as the model sees them"},
		},
		Methods: []Func{scoresFailures()},
		Note:    rateNote,
	}
}

type evalRunArgs struct {
	answersArgs
	Grader    starlark.Value `arg:"grader" doc:"of module grade, or a function(prompt, answer, want)"`
	Name      string         `arg:"name=" doc:"what reports call the model; empty: its own name"`
	Category  string         `arg:"category=group" doc:"column with the kind of item: reports show a rate for each"`
	TrainedOn []Handle       `arg:"trained_on=[]" kind:"dataset" doc:"what else the model was trained on; the datasets of the trainings behind it are found by themselves"`
	AllowLeak bool           `arg:"allow_leak=false" doc:"let items count that the model was trained on; the report says so"`
}

func (a *evalRunArgs) check() error {
	if _, err := graderOf(a.Grader); err != nil {
		return err
	}
	return a.answersArgs.check()
}

func evalRun() Func {
	return plain("eval.run", "Lets a model answer every item and grades the answers, in two steps: another grader asks nothing again.\n"+
		"Every answer is kept as it comes; run again after a kill, it goes on. Items that the model was trained on are\n"+
		"found (by id, parent, text, 13-grams and similarity, through all trainings behind the model) and do not count.",
		func(ctx context.Context, c *Call, a evalRunArgs) (starlark.Value, error) {
			v, err := do(ctx, c.Host, c.Run, c.Thread, "eval.answers", 2, a.needs(), a.answersArgs, answerAll)
			if err != nil {
				return nil, err
			}
			s := scoreArgs{
				Answers: v.(Handle), Items: a.Items, Grader: a.Grader, Want: a.Want, Category: a.Category, Samples: a.Samples,
				Prompt: a.Prompt, AllowLeak: a.AllowLeak, FewShot: a.FewShot, Name: cmp.Or(a.Name, a.who()),
			}
			if s.trainings, err = trainingsOf(c.Run.Store, a.Items, a.lineage(), a.TrainedOn); err != nil {
				return nil, err
			}
			return do(ctx, c.Host, c.Run, c.Thread, "eval.run", 2, runtime.CPU, s, scoreAnswers)
		}).does("eval.answers", "eval.run")
}

type evalGradeArgs struct {
	Data     Handle         `arg:"data" kind:"dataset" doc:"rows with answers and references"`
	Grader   starlark.Value `arg:"grader" doc:"of module grade, or a function(prompt, answer, want)"`
	Answer   string         `arg:"answer=guess" doc:"column with the answer"`
	Want     string         `arg:"want=answer" doc:"column with the reference"`
	Category string         `arg:"category=group" doc:"column with the kind of item"`
	Name     string         `arg:"name=" doc:"what reports call it"`
}

func evalGrade() Func {
	return step("eval.grade", 2, runtime.CPU, "Grades answers that are there already.",
		func(ctx context.Context, h *Host, s *runtime.Step, a evalGradeArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			samples, err := samplesFor(rows, 1, "", a.Want, a.Category)
			if err != nil {
				return runtime.Artifact{}, err
			}
			e := evaluation{step: s, samples: samples, rows: rows}
			for i, r := range rows {
				text, ok := textOf(r, a.Answer)
				if !ok {
					return runtime.Artifact{}, fmt.Errorf("row %d has no text in column %q", i+1, a.Answer)
				}
				cut, _ := r["truncated"].(bool)
				e.answers = append(e.answers, answer{Index: i, Text: text, Truncated: cut})
			}
			if err := e.grade(ctx, h, a.Grader); err != nil {
				return runtime.Artifact{}, err
			}
			return e.artifact(Facts{"model": a.Name}, false)
		})
}

// linesOf reads a scores artifact, on all processors: that is most of the time that
// grading again takes.
func linesOf(st *store.Store, h Handle) ([]scoredLine, error) {
	b, err := st.Blobs.ReadAll(h.Digest)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
	out := make([]scoredLine, len(lines))
	if at, err := inParallel(len(lines), 0, func(i int) error { return json.Unmarshal(lines[i], &out[i]) }); err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", h, at+1, err)
	}
	return out, nil
}

// samplesOf reads the samples of a scores artifact.
func samplesOf(st *store.Store, h Handle) ([]store.Sample, error) {
	lines, err := linesOf(st, h)
	out := make([]store.Sample, len(lines))
	for i, l := range lines {
		out[i] = l.sample()
	}
	return out, err
}

type failuresArgs struct {
	Scores Handle `arg:"scores" kind:"scores" doc:"of eval.run"`
}

func scoresFailures() Func {
	return step("scores.failures", 2, runtime.None, "Returns the items that did not pass, as a dataset: id, parent, prompt, answer (the reference), guess and outcome.\n"+
		"Unscored ones are left out: nothing is known of them. Whoever trains on these items must not evaluate on them: eval.run finds it.",
		func(_ context.Context, _ *Host, s *runtime.Step, a failuresArgs) (runtime.Artifact, error) {
			samples, err := samplesOf(s.Store(), a.Scores)
			if err != nil {
				return runtime.Artifact{}, err
			}
			var rows []Row
			for _, x := range samples {
				if x.Outcome != string(grade.Pass) && x.Outcome != string(grade.Unscored) {
					rows = append(rows, Row{"id": x.ID, "parent": x.Parent, "prompt": x.Prompt, "answer": x.Want, "guess": x.Answer, "outcome": x.Outcome})
				}
			}
			return WriteRows(s, rows, nil)
		})
}

// rateNote prints a rate as a sceptic wants it.
func rateNote(facts map[string]any) string {
	b, err := json.Marshal(facts)
	var f scoresFacts
	if err != nil || json.Unmarshal(b, &f) != nil {
		return ""
	}
	note := fmt.Sprintf("%.1f %% pass, %d of %d, 95 %% interval %.1f to %.1f", 100*f.Rate, f.Passed, f.N, 100*f.Low, 100*f.High)
	switch {
	case f.N == 0:
		note = "no item counts"
	case f.Leaked > 0 && f.AllowLeak:
		return note + fmt.Sprintf("; %d ITEMS ARE IN OR NEAR TO THE TRAINING ROWS, which the script allows", f.Leaked)
	}
	if f.Leaked > 0 {
		note += fmt.Sprintf("; %d of %d items ARE IN OR NEAR TO THE TRAINING ROWS and do not count", f.Leaked, f.Items)
	}
	return note
}

var errNoItems = errors.New("there are no items")
