package builtins

import (
	"context"
	"errors"
	"fmt"
	"math"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/teacher"
	"starbook/runtime"
)

// aboutArgs are common to what has a teacher write about rows: critiques, new
// items, backward questions, samples.
type aboutArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows to ask about"`
	teacherArgs
	MaxExamples int    `arg:"max_examples=0" doc:"ask about the first so many rows only; 0: all"`
	System      string `arg:"system=" doc:"instruction before every question"`
	spendArgs
}

func (a *aboutArgs) check() error { return errors.Join(a.teacherArgs.check(), a.spendArgs.check()) }

// form sets the JSON schema of the answers, which is the built-in's own.
func (a *aboutArgs) form(schema string) error {
	if a.Schema != nil {
		return errors.New("schema: the form of these answers is fixed; distill.generate takes any")
	}
	v, err := decodeObject([]byte(schema))
	if err != nil {
		return err
	}
	a.Schema, err = fromJSON(map[string]any(v))
	return err
}

// writing is a step in which a teacher writes about rows.
type writing struct {
	*asking
	host    *Host
	rows    []Row
	prompts []teacher.Request // one for each row
	asked   int
	dropped map[string]int
	last    error // why a row has no answer
}

// begin makes a question of every row and opens the teacher.
func (a *aboutArgs) begin(h *Host, s *runtime.Step, prompt string) (*writing, error) {
	t, err := a.who()
	if err != nil {
		return nil, err
	}
	w := &writing{host: h, dropped: map[string]int{}}
	ask := askArgs{Data: a.Data, teacherArgs: a.teacherArgs, MaxExamples: a.MaxExamples, System: a.System, Prompt: prompt}
	for q, err := range ask.each(s.Store(), t) {
		if err != nil {
			return nil, err
		}
		w.rows, w.prompts = append(w.rows, q.row), append(w.prompts, q.request)
	}
	w.asking, err = newAsking(h, s, a.teacherArgs, a.spendArgs)
	return w, err
}

// answers asks. It returns the usable answers, "" for what has none; those are counted in dropped.
func (w *writing) answers(ctx context.Context, questions []teacher.Request) ([]string, error) {
	results, err := w.replies(ctx, w.host, questions)
	if err != nil {
		return nil, err
	}
	w.asked += len(questions)
	out := make([]string, len(questions))
	for i, r := range results {
		switch why := questions[i].Unfit(r.Reply); {
		case r.failed != "":
			w.dropped["error"]++
			w.last = r.err
		case why != "":
			w.dropped[why]++
		default:
			out[i] = r.Text
		}
	}
	return out, nil
}

// object reads an answer that fits its schema. No answer is no object.
func object(answer string) (Row, bool) {
	if answer == "" {
		return nil, false
	}
	r, err := decodeObject([]byte(answer))
	return r, err == nil
}

// done makes the dataset, and says what was lost on the way.
func (w *writing) done(out []Row, facts Facts) (runtime.Artifact, error) {
	if len(w.dropped) > 0 {
		w.step.Warn(fmt.Sprintf("of %s dropped: %s", plural(w.asked, "answers"), counted(w.dropped)))
	}
	if len(out) == 0 && len(w.rows) > 0 {
		return runtime.Artifact{}, errors.Join(fmt.Errorf("nothing is left of %s (%s)", plural(w.asked, "answers"), counted(w.dropped)), w.last)
	}
	facts["asked"], facts["dropped"], facts["teacher"] = w.asked, w.dropped, w.to.Spec().String()
	return WriteRows(w.step, out, facts)
}

// family is whose child a row made from r is.
func family(r Row) string {
	if p := dataset.Parent(r); p != "" {
		return p
	}
	return dataset.ID(r)
}

// optionalGrader says what is wrong with the grader of an argument that may be None.
func optionalGrader(v starlark.Value) error {
	if v == nil {
		return nil
	}
	_, err := graderOf(v)
	return err
}

// share is a rate for people: 0.25, not 0.2499999.
func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return math.Round(1e4*float64(n)/float64(of)) / 1e4
}
