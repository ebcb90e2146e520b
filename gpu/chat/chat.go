// Package chat turns conversations into the text that a model was trained on,
// by the template that came with it, and says which of its characters the
// model itself is to write. Training, evaluation and generation all render
// here, so they cannot differ.
package chat

import (
	"fmt"
	"time"

	"starbook/gpu/chat/jinja"
)

// A Template is a model's chat template with the names of its special tokens.
// It is safe for concurrent use.
type Template struct {
	jinja    *jinja.Template
	specials map[string]string
}

// New parses a template. specials are its variables bos_token, eos_token and so
// on; those that a tokenizer lacks are left out.
func New(source string, specials map[string]string) (*Template, error) {
	t, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{t, specials}, nil
}

// A Conversation is what a template renders.
type Conversation struct {
	Messages []*jinja.Dict
	Tools    jinja.Value            // a list of JSON schemas; nil for none
	Vars     map[string]jinja.Value // what else the template is told, such as enable_thinking
	Now      func() time.Time       // what strftime_now says; without it the template has no clock
}

// Render returns the text of a conversation; with prompt it ends where the
// assistant is to begin.
func (t *Template) Render(c Conversation, prompt bool) (jinja.Output, error) {
	messages := make(jinja.List, len(c.Messages))
	for i, m := range c.Messages {
		messages[i] = asTemplatesExpect(m)
	}
	vars := map[string]jinja.Value{"messages": messages, "tools": c.Tools, "documents": nil, "add_generation_prompt": prompt}
	for k, v := range t.specials {
		vars[k] = v
	}
	for k, v := range c.Vars {
		vars[k] = v
	}
	out, err := t.jinja.Render(vars, jinja.Options{Now: c.Now})
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
