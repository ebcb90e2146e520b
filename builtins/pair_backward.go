package builtins

import (
	"context"
	"encoding/json"
	"errors"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/grade"
	"starbook/builtins/teacher"
	"starbook/runtime"
)

type backwardArgs struct {
	aboutArgs
	Prompt      string         `arg:"prompt=Here is a question and its answer.\n\nQuestion:\n{prompt}\n\nAnswer:\n{completion}\n\nWrite the backward question: give what the answer states, leave out one thing that the question gave, and ask for that. It must be complete in itself. Then answer it." doc:"what the teacher is asked; names of columns in braces are filled in"`
	Grader      starlark.Value `arg:"grader=None" doc:"with one, the backward question is asked once more by itself, and the pair stays only if both answers agree"`
	AnswerField string         `arg:"answer_field=completion" doc:"field with the answer"`
	Source      string         `arg:"source=" doc:"where the answers come from; empty: what the rows say"`
	Preview     int            `arg:"preview=0" doc:"show the first so many pairs, here and in the report" hash:"-"`
}

const backwardForm = `{"type":"object","additionalProperties":false,"required":["question","answer"],"properties":{"question":{"type":"string"},"answer":{"type":"string"}}}`

func (a *backwardArgs) check() error {
	return errors.Join(a.form(backwardForm), a.aboutArgs.check(), optionalGrader(a.Grader))
}

// preview implements previewer.
func (a backwardArgs) preview() int { return a.Preview }

func pairBackward() Func {
	return previewed[backwardArgs](step("pair.backward_question", 1, runtime.Net, "Makes a forward pair of every example, and a backward pair by a question that a teacher writes: RevThink, arXiv 2411.19865.\n"+
		"Unlike the reverse pairs of pair.bidirectional these are questions that somebody might ask. Both carry the example's id as\n"+
		"their parent. Backward pairs that break a rule of data.validate, or whose answer is not the same the second time, are dropped.", backwardPairs), "Pairs")
}

func backwardPairs(ctx context.Context, h *Host, s *runtime.Step, a backwardArgs) (runtime.Artifact, error) {
	w, err := a.begin(h, s, a.Prompt)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.close()
	answers, err := w.answers(ctx, w.prompts)
	if err != nil {
		return runtime.Artifact{}, err
	}
	source := &pairArgs{Source: a.Source}
	var pairs []Row // the backward ones
	for i, r := range w.rows {
		if o, ok := object(answers[i]); ok {
			pairs = append(pairs, Row{
				"id": dataset.ID(r) + "/b", "parent": family(r), "prompt": o["question"], "completion": o["answer"],
				"direction": "backward", "source": source.sourceOf(r),
			})
		}
	}
	if pairs, err = w.agreeing(ctx, pairs, a); err != nil {
		return runtime.Artifact{}, err
	}
	found, err := dataset.Check{Need: []string{dataset.Prompt, dataset.Completion}}.Run(pairs)
	if err != nil {
		return runtime.Artifact{}, err
	}
	backward, broken := map[string]Row{}, dataset.ByRow(found)
	for i, p := range pairs {
		if why, goes := dataset.Reason(broken[i], nil); goes {
			w.dropped[string(why.Code)]++
		} else {
			backward[p["id"].(string)] = p
		}
	}
	var out []Row
	for _, r := range w.rows {
		completion, ok := dataset.Text(r, a.AnswerField)
		if prompt, has := dataset.Text(r, dataset.Prompt); ok && has {
			out = append(out, Row{
				"id": dataset.ID(r) + "/f", "parent": family(r), "prompt": prompt, "completion": completion,
				"direction": "forward", "source": source.sourceOf(r),
			})
		}
		if p, has := backward[dataset.ID(r)+"/b"]; has {
			out = append(out, p)
		}
	}
	return w.done(out, Facts{"counts": map[string]int{"forward": len(out) - len(backward), "backward": len(backward)}})
}

// agreeing asks the backward questions by themselves and keeps those whose answers agree.
func (w *writing) agreeing(ctx context.Context, pairs []Row, a backwardArgs) ([]Row, error) {
	if a.Grader == nil {
		return pairs, nil
	}
	g, err := graderOf(a.Grader)
	if err != nil {
		return nil, err
	}
	questions := make([]teacher.Request, len(pairs))
	for i, p := range pairs {
		questions[i] = w.prompts[0]
		questions[i].Prompt, questions[i].Schema = p["prompt"].(string), nil
	}
	answers, err := w.answers(ctx, questions)
	if err != nil {
		return nil, err
	}
	items := make([]grade.Item, len(pairs))
	for i, p := range pairs {
		items[i] = grade.Item{Prompt: questions[i].Prompt, Answer: answers[i], Want: p["completion"].(string), Row: json.RawMessage(encode(p))}
	}
	scores, err := grade.All(ctx, g, items)
	if err != nil {
		return nil, err
	}
	gone := make([]bool, len(pairs))
	for i := range pairs {
		if gone[i] = scores[i].Outcome != grade.Pass; gone[i] && answers[i] != "" {
			w.dropped["inconsistent"]++
		}
	}
	return without(pairs, gone), nil
}
