package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/grade"
	"starbook/runtime"
)

type critiqueTeacherArgs struct {
	aboutArgs
	Prompt string         `arg:"prompt=Question:\n{prompt}\n\nAnswer:\n{guess}\n\nIs the answer right? Examine it step by step and say where it goes wrong, if it does. Then give the right answer. Write to someone who sees the question and the answer, and nothing else." doc:"the question to the teacher; names of columns in braces are filled in"`
	Grader starlark.Value `arg:"grader=None" doc:"checks the teacher on rows that have the reference: a verdict or a corrected answer that it contradicts drops the critique"`
	Want   string         `arg:"want=answer" doc:"column with the reference"`
}

const critiqueForm = `{"type":"object","additionalProperties":false,"required":["critique","verdict","corrected"],"properties":{
	"critique":{"type":"string","description":"the examination"},
	"verdict":{"type":"string","enum":["right","wrong"],"description":"whether the answer is right"},
	"corrected":{"type":"string","description":"the right answer"}}}`

func (a *critiqueTeacherArgs) check() error {
	return errors.Join(a.form(critiqueForm), a.aboutArgs.check(), optionalGrader(a.Grader))
}

func distillCritique() Func {
	return step("distill.critique", 1, runtime.Net, "Has a teacher judge the answers of a student: columns critique, verdict (right or wrong) and corrected.\n"+
		"pair.critique makes training pairs of them. Teachers err in a fifth of their critiques or more (arXiv 2501.17703): give a\n"+
		"grader. Critiques that it contradicts are dropped as \"verdict\" or \"corrected\".",
		func(ctx context.Context, h *Host, s *runtime.Step, a critiqueTeacherArgs) (runtime.Artifact, error) {
			w, err := a.begin(h, s, a.Prompt)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer w.close()
			answers, err := w.answers(ctx, w.prompts)
			if err != nil {
				return runtime.Artifact{}, err
			}
			var out []Row
			for i, r := range w.rows {
				o, ok := object(answers[i])
				if !ok {
					continue
				}
				r = maps.Clone(r)
				maps.Copy(r, o)
				r["parent"], r["id"], r["kind"] = family(r), dataset.ID(w.rows[i])+"/c", "critique"
				out = append(out, r)
			}
			if out, err = w.trusted(ctx, out, a); err != nil {
				return runtime.Artifact{}, err
			}
			counts := map[string]int{}
			for _, r := range out {
				counts[r["verdict"].(string)]++
			}
			return w.done(out, Facts{"counts": counts})
		})
}

// trusted drops the critiques that the grader contradicts.
func (w *writing) trusted(ctx context.Context, rows []Row, a critiqueTeacherArgs) ([]Row, error) {
	if a.Grader == nil {
		return rows, nil
	}
	g, err := graderOf(a.Grader)
	if err != nil {
		return nil, err
	}
	var items []grade.Item
	var of []int
	for i, r := range rows {
		want, has := dataset.Text(r, a.Want)
		if !has {
			continue
		}
		prompt, _ := dataset.Text(r, dataset.Prompt)
		for _, column := range []string{dataset.Guess, "corrected"} {
			answer, _ := dataset.Text(r, column)
			items, of = append(items, grade.Item{Prompt: prompt, Answer: answer, Want: want, Row: json.RawMessage(encode(r))}), append(of, i)
		}
	}
	scores, err := grade.All(ctx, g, items)
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(rows))
	for k := 0; k < len(scores); k += 2 {
		i := of[k]
		right := scores[k].Outcome == grade.Pass
		switch {
		case right != (rows[i]["verdict"] == "right"):
			gone[i] = true
			w.dropped["verdict"]++
		case scores[k+1].Outcome != grade.Pass:
			gone[i] = true
			w.dropped["corrected"]++
		}
	}
	return without(rows, gone), nil
}
