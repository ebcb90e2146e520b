package builtins

import (
	"context"
	"encoding/json"
	"fmt"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/teacher"
)

func distillModule() Module {
	return Module{
		Name:  "distill",
		Doc:   "Answers from a teacher: a large model behind OpenAI's or Anthropic's protocol. An answer that was received is never paid for again.",
		Funcs: []Func{distillPractice(), distillEstimate(), distillGenerate(), distillSample(), distillCritique(), distillSimilar(), distillLogits()},
	}
}

// Teacher is who can be asked, as a script holds it.
type Teacher struct {
	spec teacher.Spec
	book digest // of a practice teacher's answers; zero otherwise
}

var (
	_ starlark.Value = Teacher{}
	_ Canonical      = Teacher{}
)

// String implements starlark.Value.
func (t Teacher) String() string {
	if !t.book.IsZero() {
		return "<practice teacher>"
	}
	return "<teacher " + t.spec.String() + ">"
}

// name is what people call the teacher.
func (t Teacher) name() string {
	if !t.book.IsZero() {
		return teacher.PracticeModel
	}
	return t.spec.String()
}

// Type implements starlark.Value.
func (t Teacher) Type() string { return "teacher" }

// Freeze implements starlark.Value.
func (t Teacher) Freeze() {}

// Truth implements starlark.Value.
func (t Teacher) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (t Teacher) Hash() (uint32, error) {
	return starlark.String(t.spec.Provider + t.spec.Model).Hash()
}

// Canonical implements Canonical. A practice teacher is its book: the port it
// listens on changes nothing.
func (t Teacher) Canonical() (json.RawMessage, error) {
	if !t.book.IsZero() {
		return json.Marshal(map[string]digest{"practice": t.book})
	}
	return json.Marshal(map[string]string{"teacher": t.spec.String()})
}

type practiceArgs struct {
	Answers Handle `arg:"answers" kind:"dataset" doc:"rows with prompt and answer: the teacher's book"`
}

func distillPractice() Func {
	return plain("distill.practice", "Starts a practice teacher: a server inside this process that looks answers up in a book. It is asked over real HTTP.",
		func(_ context.Context, c *Call, a practiceArgs) (starlark.Value, error) {
			rows, err := ReadRows(c.Run.Store, a.Answers)
			if err != nil {
				return nil, err
			}
			book := make(map[string]string, len(rows))
			for i, r := range rows {
				prompt, ok := dataset.Text(r, "prompt")
				reply, okReply := dataset.Text(r, "answer")
				if !ok || !okReply {
					return nil, fmt.Errorf("row %d has no prompt or no answer", i+1)
				}
				book[prompt] = reply
			}
			p, err := teacher.StartPractice(book)
			if err != nil {
				return nil, err
			}
			c.Host.onClose(p.Close)
			// The content key holds the book, not the port, so that answers are found again.
			spec := teacher.Spec{Provider: "practice " + a.Answers.Digest.String(), BaseURL: p.URL, Model: teacher.PracticeModel}
			return Teacher{spec, a.Answers.Digest}, nil
		})
}
