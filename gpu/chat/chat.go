// Package chat turns conversations into the text and the tokens that a model
// was trained on, by the template that came with it, and says which of the
// tokens the model itself is to write. Training, evaluation and generation all
// render here, so they cannot differ.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"starbook/gpu/chat/jinja"
	"starbook/gpu/token"
)

// A Template is a model's chat template with its tokenizer. It is safe for
// concurrent use.
type Template struct {
	tok      *token.Tokenizer
	plain    *jinja.Template
	tools    *jinja.Template // for conversations with tools; often the same
	specials map[string]jinja.Value
	controls *strings.Replacer // puts marks around control tokens
}

// ErrNone is the error for a model without a chat template.
var ErrNone = errors.New("the model has no chat template: neither chat_template.jinja nor chat_template in tokenizer_config.json")

// Open reads the chat template of a model.
func Open(tok *token.Tokenizer) (*Template, error) {
	c := tok.Config()
	if c.ChatTemplate == "" {
		return nil, ErrNone
	}
	t, err := parse(c.ChatTemplate, c.ToolTemplate, c.Specials)
	if err != nil {
		return nil, err
	}
	t.tok = tok
	t.controls = marker(tok, c.ChatTemplate+c.ToolTemplate)
	return t, nil
}

func parse(source, tools string, specials map[string]string) (*Template, error) {
	t := &Template{specials: map[string]jinja.Value{}, controls: strings.NewReplacer()}
	var err error
	if t.plain, err = jinja.Parse(source); err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	t.tools = t.plain
	if tools != "" {
		if t.tools, err = jinja.Parse(tools); err != nil {
			return nil, fmt.Errorf("chat template tool_use: %w", err)
		}
	}
	for k, v := range specials {
		t.specials[k] = v
	}
	return t, nil
}

// A Conversation is what a template renders.
type Conversation struct {
	Messages []*jinja.Dict
	Tools    jinja.Value            // a list of JSON schemas; nil for none
	Vars     map[string]jinja.Value // what else the template is told, such as enable_thinking
	Options  jinja.Options
}

// assistant is the role whose turns the model writes.
const assistant = "assistant"

// turns returns the places of the assistant's messages.
func (c Conversation) turns() (at []int) {
	for i, m := range c.Messages {
		if role, _ := m.Get("role"); role == assistant {
			at = append(at, i)
		}
	}
	return at
}

// upTo is the conversation before its message i.
func (c Conversation) upTo(i int) Conversation {
	c.Messages = c.Messages[:i]
	return c
}

// render returns the text of a conversation; with prompt it ends where the
// assistant is to begin.
func (t *Template) render(c Conversation, prompt bool) (jinja.Output, error) {
	if len(c.Messages) == 0 {
		return jinja.Output{}, errors.New("the conversation has no messages")
	}
	messages := make(jinja.List, len(c.Messages))
	for i, m := range c.Messages {
		messages[i] = t.marked(asTemplatesExpect(m))
	}
	vars := map[string]jinja.Value{"messages": messages, "tools": t.marked(c.Tools), "documents": nil, "add_generation_prompt": prompt}
	for k, v := range t.specials {
		vars[k] = v
	}
	for k, v := range c.Vars {
		vars[k] = v
	}
	tmpl := t.plain
	if c.Tools != nil {
		tmpl = t.tools
	}
	out, err := tmpl.Render(vars, c.Options)
	var refused *jinja.Refused
	if errors.As(err, &refused) {
		return jinja.Output{}, fmt.Errorf("the chat template refuses the conversation (line %d): %w", refused.Line, err)
	}
	if err != nil {
		return jinja.Output{}, fmt.Errorf("chat template: %w", err)
	}
	return out, nil
}

// reasoning are the names under which messages carry the thoughts before an
// answer, the one that templates read first.
var reasoning = []string{"reasoning_content", "thinking", "reasoning"}

// asTemplatesExpect drops what a message leaves open (content of null beside
// tool calls), and gives it its thoughts under both names that templates ask
// for, as transformers does.
func asTemplatesExpect(m *jinja.Dict) *jinja.Dict {
	out := &jinja.Dict{}
	var thoughts jinja.Value
	for _, name := range reasoning {
		if v, _ := m.Get(name); v != nil && thoughts == nil {
			thoughts = v
			out.Set("thinking", v)
		}
	}
	for _, k := range m.Keys() {
		if v, _ := m.Get(k); v != nil {
			out.Set(k, v)
		}
	}
	if thoughts != nil {
		out.Set("reasoning_content", thoughts)
	}
	return out
}

// A text with marks around what is no token though it is spelled like one.
// Markers are private-use characters, which no template writes.
const (
	markOpen  = "\U000f0000"
	markClose = "\U000f0001"
)

// marker finds the control tokens: the special tokens by which the template
// itself marks turns, and those that begin and end a text. In a message they
// are words like others, or whoever wrote the message would write the template.
func marker(tok *token.Tokenizer, source string) *strings.Replacer {
	c := tok.Config()
	var controls []string
	for _, s := range tok.SpecialTokens() {
		if strings.Contains(source, s) || s == c.BOS || s == c.EOS {
			controls = append(controls, s)
		}
	}
	slices.SortStableFunc(controls, func(a, b string) int { return len(b) - len(a) }) // the longest is tried first
	pairs := []string{markOpen, "", markClose, ""}
	for _, s := range controls {
		pairs = append(pairs, s, markOpen+s+markClose)
	}
	return strings.NewReplacer(pairs...)
}

// marked puts marks into all strings of a value.
func (t *Template) marked(v jinja.Value) jinja.Value {
	switch v := v.(type) {
	case string:
		return t.controls.Replace(v)
	case jinja.List:
		out := make(jinja.List, len(v))
		for i, x := range v {
			out[i] = t.marked(x)
		}
		return out
	case *jinja.Dict:
		out := &jinja.Dict{}
		for _, k := range v.Keys() {
			x, _ := v.Get(k)
			out.Set(k, t.marked(x))
		}
		return out
	}
	return v
}

// unmark takes the marks out of a text, and returns the spans that were
// between them; at moves a place in the marked text to where it is without.
func unmark(s string) (text string, plain []token.Span, at func(int) int) {
	if !strings.Contains(s, markOpen) && !strings.Contains(s, markClose) {
		return s, nil, func(i int) int { return i }
	}
	var b strings.Builder
	var gone []int // places of marks in s
	open := -1
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], markOpen):
			open = b.Len()
		case strings.HasPrefix(s[i:], markClose):
			if open >= 0 && open < b.Len() {
				plain = append(plain, token.Span{From: open, To: b.Len()})
			}
			open = -1
		default:
			b.WriteByte(s[i])
			i++
			continue
		}
		gone = append(gone, i)
		i += len(markOpen)
	}
	return b.String(), plain, func(i int) int {
		n, _ := slices.BinarySearch(gone, i)
		return i - n*len(markOpen)
	}
}
