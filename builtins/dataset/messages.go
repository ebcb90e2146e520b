package dataset

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// roles are those of a conversation, by all their names.
var roles = map[string]string{
	"system": "system", "developer": "developer", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "tool": "tool",
}

// messages reads a list of {"role", "content"} or of ShareGPT's {"from", "value"}.
func messages(list []any) ([]any, error) {
	if len(list) == 0 {
		return nil, errors.New("the conversation is empty")
	}
	out := make([]any, len(list))
	for i, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("turn %d is no object", i+1)
		}
		m = maps.Clone(m)
		if _, ok := m["role"]; !ok {
			m["role"], m["content"] = m["from"], m["value"]
			delete(m, "from")
			delete(m, "value")
		}
		name, _ := m["role"].(string)
		role, known := roles[name]
		if !known {
			return nil, fmt.Errorf("turn %d: the role is %q, not one of %s", i+1, name, strings.Join(slices.Sorted(maps.Keys(roles)), ", "))
		}
		if m["content"] == nil && m["tool_calls"] == nil {
			return nil, fmt.Errorf("turn %d says nothing: there is no content", i+1)
		}
		m["role"] = role
		out[i] = m
	}
	return out, nil
}

// Turns returns the conversation of a row that has the house's columns, from
// its messages or from its system, prompt and completion; nil if it has no prompt.
func Turns(r Row) []any {
	if turns, ok := r[Messages].([]any); ok {
		return turns
	}
	var turns []any
	for _, part := range []struct{ role, column string }{{"system", System}, {"user", Prompt}, {"assistant", Completion}} {
		text, ok := r[part.column].(string)
		if !ok && part.column == Prompt {
			return nil
		}
		if ok {
			turns = append(turns, map[string]any{"role": part.role, "content": text})
		}
	}
	return turns
}
