package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/grade"
	"starbook/builtins/teacher"
	"starbook/runtime"
)

type sampleTeacherArgs struct {
	aboutArgs
	N      int            `arg:"n=4" doc:"answers to draw for each row"`
	Grader starlark.Value `arg:"grader" doc:"of module grade, or a function(prompt, answer, want): what it passes is accepted"`
	Keep   int            `arg:"keep=1" doc:"different accepted answers to keep of a row; 0: all"`
	Want   string         `arg:"want=answer" doc:"column with the reference"`
	Prompt string         `arg:"prompt={prompt}" doc:"the question; names of columns in braces are filled in"`
	Field  string         `arg:"field=completion" doc:"column for the answer"`
}

func (a *sampleTeacherArgs) check() error {
	if a.Temperature != nil && *a.Temperature == 0 && a.N > 1 {
		return errors.New("temperature: at 0 all samples are one")
	}
	if a.Keep < 0 {
		return errors.New("keep: want 0 or more")
	}
	return errors.Join(atLeastOne(a.N), a.aboutArgs.check(), optionalGrader(a.Grader))
}

func distillSample() Func {
	return step("distill.sample", 1, runtime.Net, "Draws several answers of a teacher for each row and keeps what a grader accepts: rejection sampling.\n"+
		".counts says how many answers were accepted and how many rows have one; .accepted is the rate. An answer of a row that is\n"+
		"kept has the row as its parent.",
		func(ctx context.Context, h *Host, s *runtime.Step, a sampleTeacherArgs) (runtime.Artifact, error) {
			g, err := graderOf(a.Grader)
			if err != nil {
				return runtime.Artifact{}, err
			}
			w, err := a.begin(h, s, a.Prompt)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer w.close()
			var drawn []teacher.Request
			for _, r := range w.prompts {
				for n := range a.N {
					r.Sample = n
					drawn = append(drawn, r)
				}
			}
			answers, err := w.answers(ctx, drawn)
			if err != nil {
				return runtime.Artifact{}, err
			}
			var items []grade.Item
			var of []int // the sample that an item is
			for k, answer := range answers {
				if answer == "" {
					continue
				}
				r := w.rows[k/a.N]
				want, has := dataset.Text(r, a.Want)
				if !has {
					return runtime.Artifact{}, fmt.Errorf("row %d has no text in column %q, the reference", k/a.N+1, a.Want)
				}
				items, of = append(items, grade.Item{Prompt: drawn[k].Prompt, Answer: answer, Want: want, Row: json.RawMessage(encode(r))}), append(of, k)
			}
			scores, err := grade.All(ctx, g, items)
			if err != nil {
				return runtime.Artifact{}, err
			}
			var out []Row
			accepted, solved := 0, 0
			kept := map[int]map[string]bool{} // of each row, the answers
			for i, k := range of {
				if scores[i].Outcome != grade.Pass {
					continue
				}
				accepted++
				row := k / a.N
				if kept[row] == nil {
					kept[row] = map[string]bool{}
					solved++
				}
				if text := dataset.Fold(answers[k]); !kept[row][text] && (a.Keep == 0 || len(kept[row]) < a.Keep) {
					kept[row][text] = true
					made := maps.Clone(w.rows[row])
					made[a.Field] = answers[k]
					if a.Keep != 1 {
						made["parent"], made["id"] = family(w.rows[row]), fmt.Sprintf("%s/a%d", dataset.ID(w.rows[row]), k%a.N+1)
					}
					out = append(out, made)
				}
			}
			if wrong := len(of) - accepted; wrong > 0 {
				w.dropped["rejected"] = wrong
			}
			return w.done(out, Facts{
				"counts":   map[string]int{"rows": len(w.rows), "solved": solved, "samples": len(drawn), "accepted": accepted},
				"accepted": share(accepted, len(drawn)),
			})
		})
}
