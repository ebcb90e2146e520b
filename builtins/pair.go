package builtins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"starbook/builtins/dataset"
	"starbook/runtime"
)

func pairModule() Module {
	return Module{
		Name:  "pair",
		Doc:   "Training pairs: prompts and completions made from examples.",
		Funcs: []Func{pairBidirectional()},
	}
}

type bidirectionalArgs struct {
	Data            Handle  `arg:"data" kind:"dataset" doc:"rows with a prompt and an answer"`
	Source          string  `arg:"source=" doc:"where the answers come from: \"teacher\"; empty: what the rows say"`
	ReverseFraction float64 `arg:"reverse_fraction=0.5" doc:"share of reverse pairs in the result, 0 to 0.5; at 0.5 every example is reversed"`
	Seed            int64   `arg:"seed=1" doc:"of the draw of examples to reverse"`
	PromptField     string  `arg:"prompt_field=prompt" doc:"field with the prompt"`
	AnswerField     string  `arg:"answer_field=completion" doc:"field with the answer"`
	ForwardPrompt   string  `arg:"forward_prompt={prompt}" doc:"prompt of a forward pair; {prompt}, {completion} and any field of the row are filled in"`
	ReversePrompt   string  `arg:"reverse_prompt={completion}" doc:"prompt of a reverse pair, whose completion is the example's prompt"`
	MaxChars        int     `arg:"max_chars=0" doc:"longer prompts and answers are dropped; 0: no limit"`
	AllowDuplicates bool    `arg:"allow_duplicates=false" doc:"keep examples that occur twice"`
	MaxDroppedShare float64 `arg:"max_dropped=1.0" doc:"share of examples that may be dropped before it is an error"`
}

func (a *bidirectionalArgs) check() error {
	switch {
	case a.ReverseFraction < 0 || a.ReverseFraction > 0.5:
		return fmt.Errorf("reverse_fraction: got %g, want 0 to 0.5", a.ReverseFraction)
	case a.MaxDroppedShare < 0 || a.MaxDroppedShare > 1:
		return fmt.Errorf("max_dropped: got %g, want 0 to 1", a.MaxDroppedShare)
	case a.MaxChars < 0:
		return errors.New("max_chars: want 0 or more")
	}
	return nil
}

func pairBidirectional() Func {
	return step("pair.bidirectional", 1, runtime.None,
		"Makes a forward pair (prompt to answer) of every example, and a reverse pair (answer to prompt) of some.\n"+
			"Both carry the example's id as their parent, so that data.split keeps them together. Examples are dropped,\n"+
			"and counted in .dropped, for these reasons: missing, not text, empty, bad text, too long, echo (the answer\n"+
			"repeats the prompt), duplicate. Whether reverse pairs help a model is for an experiment to show.",
		bidirectional)
}

// example is a row that passed the checks.
type example struct {
	id, parent     string
	prompt, answer string
	row            Row
}

func bidirectional(_ context.Context, _ *Host, s *runtime.Step, a bidirectionalArgs) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return runtime.Artifact{}, err
	}
	examples, dropped := examplesOf(rows, a)
	if n := len(rows) - len(examples); float64(n) > a.MaxDroppedShare*float64(len(rows)) || n == len(rows) && n > 0 {
		return runtime.Artifact{}, fmt.Errorf("%d of %s dropped (%s): %s is the prompt and %s the answer?",
			n, plural(len(rows), "rows"), counted(dropped), a.PromptField, a.AnswerField)
	}
	reverse := drawn(examples, a)
	var out []Row
	for i, e := range examples {
		for _, direction := range []string{"forward", "reverse"} {
			if direction == "reverse" && !reverse[i] {
				continue
			}
			r, err := pairOf(e, direction, a)
			if err != nil {
				return runtime.Artifact{}, fmt.Errorf("example %s: %w", e.id, err)
			}
			out = append(out, r)
		}
	}
	return WriteRows(s, out, Facts{
		"counts":  map[string]int{"forward": len(examples), "reverse": len(out) - len(examples)},
		"dropped": dropped,
	})
}

// examplesOf checks the rows and counts why some are dropped.
func examplesOf(rows []Row, a bidirectionalArgs) (out []example, dropped map[string]int) {
	dropped, seen := map[string]int{}, map[string]bool{}
	for _, r := range rows {
		if p := dataset.Validate([]Row{r}, a.PromptField, a.AnswerField); len(p) > 0 {
			dropped[p[0].Code]++
			continue
		}
		e := example{id: dataset.ID(r), parent: cmp.Or(dataset.Parent(r), dataset.ID(r)), prompt: r[a.PromptField].(string), answer: r[a.AnswerField].(string), row: r}
		key := e.prompt + "\x00" + e.answer
		switch {
		case a.MaxChars > 0 && max(utf8.RuneCountInString(e.prompt), utf8.RuneCountInString(e.answer)) > a.MaxChars:
			dropped["too long"]++
		case normal(e.prompt) == normal(e.answer):
			dropped["echo"]++
		case seen[key] && !a.AllowDuplicates:
			dropped["duplicate"]++
		default:
			seen[key] = true
			out = append(out, e)
		}
	}
	return out, dropped
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
	prompt, err := fill(template, func(name string) (string, bool) {
		switch name {
		case "prompt":
			return e.prompt, true
		case "completion":
			return e.answer, true
		}
		return dataset.Text(e.row, name)
	})
	if err != nil {
		return nil, fmt.Errorf("%s_prompt: %w", direction, err)
	}
	source := a.Source
	if source == "" {
		source, _ = dataset.Text(e.row, "source")
	}
	return Row{
		"id": e.id + suffix, "parent": e.parent, "prompt": prompt, "completion": completion,
		"direction": direction, "source": source,
	}, nil
}

// fill replaces each {name} of a template; "{{" and "}}" stand for braces.
func fill(template string, value func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for i := 0; i < len(template); i++ {
		c := template[i]
		if (c == '{' || c == '}') && i+1 < len(template) && template[i+1] == c {
			b.WriteByte(c)
			i++
			continue
		}
		if c != '{' {
			b.WriteByte(c)
			continue
		}
		name, _, ok := strings.Cut(template[i+1:], "}")
		if !ok {
			return "", errors.New("a { without its }: write {{ for the brace itself")
		}
		v, ok := value(name)
		if !ok {
			return "", fmt.Errorf("no field %s to fill in: write {{ for the brace itself", name)
		}
		b.WriteString(v)
		i += len(name) + 1
	}
	return b.String(), nil
}

// counted writes counts for people: "empty 2, echo 1".
func counted(m map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
