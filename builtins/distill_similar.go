package builtins

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

type similarArgs struct {
	aboutArgs
	N      int     `arg:"n=3" doc:"new items for each row"`
	Prompt string  `arg:"prompt=Here is a task that a student failed, and its right answer.\n\nTask:\n{prompt}\n\nAnswer:\n{answer}\n\nWrite {n} new tasks that need the same skill and are as hard, but differ in content, each with its complete right answer." doc:"the question to the teacher; {n} and names of columns in braces are filled in"`
	Near   float64 `arg:"near=0.8" doc:"an item is dropped as a copy from this Jaccard similarity to a row or an earlier item"`
}

const similarForm = `{"type":"object","additionalProperties":false,"required":["items"],"properties":{"items":{"type":"array","items":
	{"type":"object","additionalProperties":false,"required":["task","answer"],"properties":{"task":{"type":"string"},"answer":{"type":"string"}}}}}}`

func (a *similarArgs) check() error {
	if a.Near <= 0 || a.Near > 1 {
		return fmt.Errorf("near: got %g, want above 0 to 1", a.Near)
	}
	return errors.Join(atLeastOne(a.N), a.form(similarForm), a.aboutArgs.check())
}

func distillSimilar() Func {
	return step("distill.similar", 1, runtime.Net, "Has a teacher write new items like those that were failed (LLM2LLM, arXiv 2403.15042): columns prompt and completion.\n"+
		"Give it failures of training items, never of a test set. A new item has the row it was made from as its parent, so that\n"+
		"data.split keeps both together. Copies of rows and of each other are dropped.",
		func(ctx context.Context, h *Host, s *runtime.Step, a similarArgs) (runtime.Artifact, error) {
			w, err := a.begin(h, s, strings.ReplaceAll(a.Prompt, "{n}", strconv.Itoa(a.N)))
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer w.close()
			answers, err := w.answers(ctx, w.prompts)
			if err != nil {
				return runtime.Artifact{}, err
			}
			near := dataset.NewNear(a.Near)
			for _, r := range w.rows {
				prompt, _ := dataset.Text(r, dataset.Prompt)
				near.Add(prompt)
			}
			var out []Row
			for i, r := range w.rows {
				o, ok := object(answers[i])
				if !ok {
					continue
				}
				items, _ := o["items"].([]any)
				if len(items) > a.N {
					w.dropped["more than asked for"] += len(items) - a.N
					items = items[:a.N]
				}
				for k, x := range items {
					item := x.(map[string]any) // it fits the schema
					task, answer := item["task"].(string), item["answer"].(string)
					switch {
					case strings.TrimSpace(task) == "" || strings.TrimSpace(answer) == "":
						w.dropped["empty"]++
						continue
					case len(near.Find(task)) > 0:
						w.dropped["copy"]++
						continue
					}
					near.Add(task)
					made := Row{"id": fmt.Sprintf("%s/s%d", dataset.ID(r), k+1), "parent": family(r), "kind": "similar", "prompt": task, "completion": answer}
					if category, has := r["category"]; has {
						made["category"] = category
					}
					out = append(out, made)
				}
			}
			return w.done(out, Facts{"counts": map[string]int{"rows": len(w.rows), "items": len(out)}})
		})
}
