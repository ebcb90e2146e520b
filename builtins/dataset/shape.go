package dataset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Shape is a form in which other programs read examples.
type Shape string

// The shapes. Rows are the house's own columns, as they are.
const (
	Rows             Shape = "rows"
	Alpaca           Shape = "alpaca"            // {"instruction", "input", "output"}
	ShareGPT         Shape = "sharegpt"          // {"conversations": [{"from", "value"}]}
	Chat             Shape = "messages"          // {"messages": [{"role", "content"}]}
	PromptCompletion Shape = "prompt_completion" // {"prompt", "completion"}
)

// Shapes lists them.
var Shapes = []Shape{Rows, Alpaca, ShareGPT, Chat, PromptCompletion}

// As gives a row with the house's columns another shape. What has no place
// there goes to meta, so that Recognise gives the same row back. A row that
// would not come back is an error.
func As(r Row, s Shape) (Row, error) {
	if s == Rows {
		return r, nil
	}
	out, err := shape(r, s)
	if err != nil {
		return nil, err
	}
	back, _, err := Recognise(out, nil)
	if err != nil {
		return nil, fmt.Errorf("as %s it could not be read again: %w", s, err)
	}
	if !equalValues(back, r) {
		return nil, fmt.Errorf("as %s it would be read as another row: rename what is not a column of the house (%s)", s, strings.Join(slices.Sorted(maps.Keys(r)), ", "))
	}
	return out, nil
}

func shape(r Row, s Shape) (Row, error) {
	rest := maps.Clone(r)
	out := Row{}
	put := func(key, column string) {
		if v, has := rest[column]; has {
			out[key] = v
			delete(rest, column)
		}
	}
	turns := Turns(r)
	switch {
	case turns == nil:
		return nil, errors.New("it has no prompt: data.examples reads a file into rows that have one")
	case s == Chat:
		out[Messages] = turns
	case s == ShareGPT:
		list, err := shareGPT(turns)
		if err != nil {
			return nil, err
		}
		out["conversations"] = list
	case r[Messages] != nil:
		return nil, fmt.Errorf("a conversation of %d turns has no place in %s: write it as messages or sharegpt", len(turns), s)
	case s == PromptCompletion:
		put(Prompt, Prompt)
		put(Completion, Completion)
	case s == Alpaca:
		put("instruction", Prompt)
		put("output", Completion)
		put(System, System)
		out["input"] = ""
		input, ok := rest["input"].(string)
		if instruction, found := strings.CutSuffix(out["instruction"].(string), between+input); ok && found && input != "" {
			out["instruction"], out["input"] = instruction, input
			delete(rest, "input")
		}
	default:
		return nil, fmt.Errorf("no shape is called %q: there are %v", s, Shapes)
	}
	if s == Chat || s == ShareGPT {
		for _, c := range []string{Messages, System, Prompt, Completion} {
			delete(rest, c)
		}
	}
	spare, _ := rest["meta"].(map[string]any)
	if spare != nil {
		delete(rest, "meta")
	}
	meta := maps.Clone(spare)
	for k, v := range rest {
		if _, twice := spare[k]; twice {
			out[k] = v // beside the other value of its name, which is spare
			continue
		}
		if meta == nil {
			meta = Row{}
		}
		meta[k] = v
	}
	if meta != nil {
		out["meta"] = map[string]any(meta)
	}
	return out, nil
}

func shareGPT(turns []any) ([]any, error) {
	names := map[any]string{"system": "system", "user": "human", "assistant": "gpt"}
	out := make([]any, len(turns))
	for i, x := range turns {
		m := x.(map[string]any)
		text, isText := m["content"].(string)
		name, known := names[m["role"]]
		if !isText || !known || len(m) != 2 {
			return nil, fmt.Errorf("turn %d has no place in ShareGPT, which knows plain text of system, user and assistant: write messages", i+1)
		}
		out[i] = map[string]any{"from": name, "value": text}
	}
	return out, nil
}
