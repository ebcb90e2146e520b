package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The house's columns of an example. A conversation that is more than a user's
// turn and its answer, with a system's turn or without, is in Messages instead
// of the first three.
const (
	System     = "system"
	Prompt     = "prompt"     // what the user says
	Completion = "completion" // what the model shall say
	Messages   = "messages"   // list of {"role", "content"}, as OpenAI has it
	Answer     = "answer"     // the reference
	Guess      = "guess"      // what the student said
)

// Columns lists those that Recognise can be told where to find.
var Columns = []string{System, Prompt, Completion, Answer, Guess}

// A column can be found under any of its names: those of alpaca, ShareGPT,
// OpenAI's files, and of the records that the seed's scripts write.
type column struct {
	name  string
	names []string
}

// aliases is in the order in which columns are looked for.
var aliases = []column{
	{System, []string{System}},
	{Completion, []string{Completion, "output", "response"}},
	{Answer, []string{Answer, "reference", "reference_answer", "expected"}},
	{Guess, []string{Guess, "previous_output", "model_output", "student.output"}},
	{Prompt, []string{Messages, "conversations", Prompt, "instruction", "query", "question", "input"}},
}

// forms names the form of a row by the key under which its prompt stands.
var forms = map[string]string{
	Messages: "messages", "conversations": "sharegpt", Prompt: "prompt/completion", "instruction": "alpaca",
	"query": "query/response", "question": "question/answer", "input": "input/output",
}

// alias says whether a key is another name of a column.
func alias(key string) bool {
	return key != "input" && slices.ContainsFunc(aliases, func(c column) bool { return slices.Contains(c.names, key) })
}

// Recognise gives a row of a known form the house's columns, and names the
// form. Keys that are not known stay as they are, and those of an object meta
// join them where there is no such key yet; a name that could be a column, but
// is not, ends in meta. choose settles what is ambiguous: it says for a column
// from which key it comes.
func Recognise(r Row, choose map[string]string) (Row, string, error) {
	meta, _ := r["meta"].(map[string]any)
	rec := reading{row: maps.Clone(r), meta: maps.Clone(meta), spare: Row{}}
	if rec.meta != nil {
		delete(rec.row, "meta")
	}
	form := ""
	for _, c := range aliases {
		from, v, err := rec.find(c, choose[c.name])
		if err == nil && from != "" {
			err = rec.set(c.name, from, v)
			form = cmp.Or(forms[from], "columns") // the prompt is the last
		}
		if err != nil {
			return nil, "", err
		}
	}
	_, isText := rec.row[Prompt]
	_, isChat := rec.row[Messages]
	if !isText && !isChat {
		return nil, "", fmt.Errorf("no prompt among %s: say columns = {\"prompt\": …}", strings.Join(slices.Sorted(maps.Keys(r)), ", "))
	}
	if isChat {
		if err := rec.converse(); err != nil {
			return nil, "", err
		}
	}
	rec.lift()
	return rec.row, form, nil
}

// reading is a row on its way into the house's columns.
type reading struct {
	row   Row
	meta  Row // of the row; nil if it has none
	spare Row // what will be meta
}

// find takes a column out of the row or, if it is not there, out of its meta.
func (rec *reading) find(c column, chosen string) (from string, v any, err error) {
	if chosen != "" {
		if v, ok := peek(rec.row, chosen); ok {
			remove(rec.row, chosen)
			return chosen, v, nil
		}
		return "", nil, fmt.Errorf("columns: %s is to come from %s, which is not there", c.name, chosen)
	}
	for _, in := range []Row{rec.row, rec.meta} {
		for _, n := range c.names {
			x, ok := peek(in, n)
			switch {
			case !ok || n == "input" && from != "":
				continue // input belongs to an instruction
			case from == "":
				from, v = n, x
			case !equalValues(v, x) && !opens(v, x):
				return "", nil, fmt.Errorf("%s and %s may both be the %s, and differ: say columns = {%q: %q} or {%q: %q}", from, n, c.name, c.name, from, c.name, n)
			}
			remove(in, n)
		}
		if from != "" {
			return from, v, nil
		}
	}
	return "", nil, nil
}

// peek returns what a name leads to, which may go into an object:
// "student.output". Null is nothing.
func peek(r Row, name string) (any, bool) {
	key, field, nested := strings.Cut(name, ".")
	v := r[key]
	if m, isObject := v.(map[string]any); nested && isObject {
		v = m[field]
	} else if nested {
		v = nil
	}
	return v, v != nil
}

// remove takes away what peek finds, and an object that is empty then.
func remove(r Row, name string) {
	key, field, nested := strings.Cut(name, ".")
	if nested {
		rest := maps.Clone(r[key].(map[string]any))
		if delete(rest, field); len(rest) > 0 {
			r[key] = rest
			return
		}
	}
	delete(r, key)
}

func equalValues(a, b any) bool {
	x, errX := AppendJSON(nil, a)
	y, errY := AppendJSON(nil, b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// opens says whether a conversation begins with what a prompt says: then the
// prompt only repeats it.
func opens(conversation, prompt any) bool {
	list, _ := conversation.([]any)
	for _, x := range list {
		switch m, _ := x.(map[string]any); {
		case m["role"] == "user":
			return m["content"] == prompt
		case m["from"] == "human":
			return m["value"] == prompt
		}
	}
	return false
}

// set puts the value of a column in its place. A value that was there and is
// another's choice is spared.
func (rec *reading) set(name, from string, v any) error {
	list, isList := v.([]any)
	text, isText := v.(string)
	switch {
	case name == Prompt && isList:
		turns, err := messages(list)
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		name, v = Messages, turns
	case !isText && (name == Prompt || name == Completion || name == System):
		return fmt.Errorf("%s: the %s is text", from, name)
	case from == "instruction":
		if input, ok := rec.row["input"].(string); ok && input == "" {
			delete(rec.row, "input")
		} else if ok {
			v = text + between + input
		}
	case name == System && text == "":
		return nil
	}
	if old, has := rec.row[name]; has {
		rec.spare[name] = old
	}
	rec.row[name] = v
	return nil
}

// between stands between alpaca's instruction and its input.
const between = "\n\n"

// converse makes one conversation of the messages and of what else the row
// says of it, and columns of that if it is short.
func (rec *reading) converse() error {
	turns := rec.row[Messages].([]any)
	role := func(i int) any { return turns[i].(map[string]any)["role"] }
	said := func(i int) any { return turns[i].(map[string]any)["content"] }
	last := len(turns) - 1
	if c, has := rec.row[Completion]; has {
		if role(last) != "assistant" {
			turns = append(turns, map[string]any{"role": "assistant", "content": c})
		} else if said(last) != c {
			return errors.New("the completion is not the last of the messages: remove one of the two")
		}
	}
	if s, has := rec.row[System]; has {
		if role(0) != "system" {
			turns = slices.Insert(turns, 0, any(map[string]any{"role": "system", "content": s}))
		} else if said(0) != s {
			return errors.New("the system is not the first of the messages: remove one of the two")
		}
	}
	delete(rec.row, Completion)
	delete(rec.row, System)
	rec.row[Messages] = turns
	if short, ok := columnsOf(turns); ok {
		delete(rec.row, Messages)
		maps.Copy(rec.row, short)
	}
	return nil
}

// columnsOf returns a conversation as columns if it is a user's turn, with a
// system's before it and an answer behind it or without, and plain text.
func columnsOf(turns []any) (Row, bool) {
	out, next := Row{}, 0
	for _, x := range turns {
		m := x.(map[string]any)
		text, isText := m["content"].(string)
		place := slices.Index([]any{"system", "user", "assistant"}, m["role"])
		if !isText || len(m) != 2 || place < next || place == 0 && text == "" {
			return nil, false
		}
		out[[]string{System, Prompt, Completion}[place]] = text
		next = place + 1
	}
	_, asked := out[Prompt]
	return out, asked
}

// lift makes columns of what is left in meta, where there are none. What must
// stay there stays under its name, so that reading it again changes nothing.
func (rec *reading) lift() {
	for k, v := range rec.meta {
		_, has := rec.row[k]
		if _, isObject := v.(map[string]any); has || alias(k) || k == "meta" && isObject {
			rec.spare[k] = v
		} else {
			rec.row[k] = v
		}
	}
	for k, v := range rec.row {
		if alias(k) && k != Messages && !slices.Contains(Columns, k) {
			rec.spare[k] = v
			delete(rec.row, k)
		}
	}
	if len(rec.spare) == 0 {
		return
	}
	if inner, has := rec.row["meta"]; has {
		rec.spare["meta"] = inner
	}
	rec.row["meta"] = map[string]any(rec.spare)
}
