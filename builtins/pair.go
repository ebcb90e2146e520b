package builtins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

func pairModule() Module {
	return Module{
		Name:  "pair",
		Doc:   "Training pairs: prompts and completions made from examples.",
		Funcs: []Func{pairBidirectional(), pairBackward(), pairCritique()},
	}
}

// pairArgs are common to all that makes pairs.
type pairArgs struct {
	Data     Handle  `arg:"data" kind:"dataset" doc:"rows with a prompt and an answer"`
	Source   string  `arg:"source=" doc:"where the answers come from: \"teacher\"; empty: what the rows say"`
	Validate bool    `arg:"validate=true" doc:"drop what breaks a rule of data.validate for single rows, or says what another row says; counted by code in .dropped"`
	Preview  int     `arg:"preview=0" doc:"show the first so many pairs, here and in the report" hash:"-"`
	MaxDrop  float64 `arg:"max_dropped=1.0" doc:"share of rows that may be dropped before it is an error"`
}

func (a *pairArgs) check() error {
	switch {
	case a.MaxDrop < 0 || a.MaxDrop > 1:
		return fmt.Errorf("max_dropped: got %g, want 0 to 1", a.MaxDrop)
	case a.Preview < 0:
		return errors.New("preview: want 0 or more")
	}
	return nil
}

type bidirectionalArgs struct {
	pairArgs
	ReverseFraction float64 `arg:"reverse_fraction=0.5" doc:"share of reverse pairs in the result, 0 to 0.5; at 0.5 every example is reversed"`
	Seed            int64   `arg:"seed=1" doc:"of the draw of examples to reverse"`
	PromptField     string  `arg:"prompt_field=prompt" doc:"field with the prompt"`
	AnswerField     string  `arg:"answer_field=completion" doc:"field with the answer"`
	ForwardPrompt   string  `arg:"forward_prompt={prompt}" doc:"prompt of a forward pair; {prompt}, {completion} and any field of the row are filled in"`
	ReversePrompt   string  `arg:"reverse_prompt={completion}" doc:"prompt of a reverse pair, whose completion is the example's prompt"`
}

func (a *bidirectionalArgs) check() error {
	if a.ReverseFraction < 0 || a.ReverseFraction > 0.5 {
		return fmt.Errorf("reverse_fraction: got %g, want 0 to 0.5", a.ReverseFraction)
	}
	return a.pairArgs.check()
}

func pairBidirectional() Func {
	return previewed[bidirectionalArgs](step("pair.bidirectional", 2, runtime.None,
		"Makes a forward pair (prompt to answer) of every example, and a reverse pair (answer to prompt) of some.\n"+
			"Both carry the example's id as their parent, so that data.split keeps them together. A reverse pair is the example turned\n"+
			"round; pair.backward_question has a teacher write a real question instead. Whether reverse pairs help a model is for an\n"+
			"experiment to show.", bidirectional), "Pairs")
}

// preview implements previewer.
func (a pairArgs) preview() int { return a.Preview }

type previewer interface{ preview() int }

// previewed shows the first rows of what f makes, also if it was made before.
func previewed[A previewer](f Func, what string) Func {
	inner := f.call
	f.call = func(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		v, err := inner(h, t, args, kwargs)
		if err != nil {
			return nil, err
		}
		a, err := unpack[A](f.Name, f.Args, args, kwargs)
		if err != nil || a.preview() == 0 {
			return v, err
		}
		run, _, err := runtime.From(t)
		if err != nil {
			return nil, err
		}
		c := &Call{Name: f.Name, Host: h, Run: run, Thread: t}
		return v, c.showRows(v.(Handle), a.preview(), fmt.Sprintf("%s: the first of %s", what, v))
	}
	return f
}

// example is a row that passed the checks.
type example struct {
	id, parent     string
	prompt, answer string
	row            Row
}

func bidirectional(_ context.Context, _ *Host, s *runtime.Step, a bidirectionalArgs) (runtime.Artifact, error) {
	examples, dropped, err := a.examples(s, a.PromptField, a.AnswerField, "example")
	if err != nil {
		return runtime.Artifact{}, err
	}
	w, err := newRowWriter(s)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.blob.Abort()
	reverse := drawn(examples, a)
	for i, e := range examples {
		for _, direction := range []string{"forward", "reverse"} {
			if direction == "reverse" && !reverse[i] {
				continue
			}
			r, err := pairOf(e, direction, a)
			if err == nil {
				err = w.add(r)
			}
			if err != nil {
				return runtime.Artifact{}, fmt.Errorf("example %s: %w", e.id, err)
			}
		}
	}
	return w.commit(Facts{
		"counts":  map[string]int{"forward": len(examples), "reverse": w.rows - len(examples)},
		"dropped": dropped,
	})
}

// examples reads and checks the rows, and counts why some are dropped. What
// holds the prompt is called so, for the rules.
func (a *pairArgs) examples(s *runtime.Step, prompt, answer, kind string) ([]example, map[string]int, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return nil, nil, err
	}
	like := make([]Row, len(rows))
	for i, r := range rows {
		like[i] = Row{"kind": kind}
		for _, field := range []string{"id", "parent", dataset.Guess, "finish_reason", "refusal", "teacher"} {
			if v, has := r[field]; has {
				like[i][field] = v
			}
		}
		for column, field := range map[string]string{dataset.Prompt: prompt, dataset.Completion: answer} {
			if v, has := r[field]; has {
				like[i][column] = v
			}
		}
	}
	found, err := dataset.Check{Need: []string{dataset.Prompt, dataset.Completion}, Workers: goruntime.GOMAXPROCS(0)}.Run(like)
	if err != nil {
		return nil, nil, err
	}
	found = slices.DeleteFunc(found, func(f dataset.Finding) bool { return !a.Validate && f.Code != dataset.Schema })
	var out []example
	dropped, broken := map[string]int{}, dataset.ByRow(found)
	for i, r := range like {
		if why, goes := dataset.Reason(broken[i], nil); goes {
			dropped[string(why.Code)]++
			continue
		}
		for _, f := range broken[i] {
			if f.Action == dataset.Repair {
				rows[i], r = dataset.Mend(rows[i]), dataset.Mend(r)
			}
		}
		id := dataset.ID(rows[i])
		out = append(out, example{id, cmp.Or(dataset.Parent(r), id), r[dataset.Prompt].(string), r[dataset.Completion].(string), rows[i]})
	}
	if n := len(rows) - len(out); float64(n) > a.MaxDrop*float64(len(rows)) || n == len(rows) && n > 0 {
		return nil, nil, fmt.Errorf("%d of %s dropped (%s): %s is the prompt and %s the answer?", n, plural(len(rows), "rows"), counted(dropped), prompt, answer)
	}
	return out, dropped, nil
}

// drawn says which examples are reversed: so many that they make up the share.
func drawn(examples []example, a bidirectionalArgs) []bool {
	n := int(math.Round(a.ReverseFraction / (1 - a.ReverseFraction) * float64(len(examples))))
	order := make([]int, len(examples))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(lot(a.Seed, examples[x].id), lot(a.Seed, examples[y].id))
	})
	reverse := make([]bool, len(examples))
	for _, i := range order[:min(n, len(order))] {
		reverse[i] = true
	}
	return reverse
}

// lot draws a number for a name, the same on every machine.
func lot(seed int64, name string) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", seed, name))
	return binary.BigEndian.Uint64(sum[:])
}

func pairOf(e example, direction string, a bidirectionalArgs) (Row, error) {
	template, completion, suffix := a.ForwardPrompt, e.answer, "/f"
	if direction == "reverse" {
		template, completion, suffix = a.ReversePrompt, e.prompt, "/r"
	}
	prompt, err := fill(template, e.row, map[string]string{"prompt": e.prompt, "completion": e.answer})
	if err != nil {
		return nil, fmt.Errorf("%s_prompt: %w", direction, err)
	}
	return Row{
		"id": e.id + suffix, "parent": e.parent, "prompt": prompt, "completion": completion,
		"direction": direction, "source": a.sourceOf(e.row),
	}, nil
}

func (a *pairArgs) sourceOf(r Row) string {
	if a.Source != "" {
		return a.Source
	}
	source, _ := dataset.Text(r, "source")
	return source
}

// counted writes counts for people: "empty 2, echo 1".
func counted(m map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
