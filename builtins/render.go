package builtins

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/gpu/chat"
	"starbook/gpu/chat/jinja"
	"starbook/gpu/token"
	"starbook/gpu/train"
)

// chatArgs say how conversations become text; training, generation and
// evaluation share them.
type chatArgs struct {
	Chat string         `arg:"chat=auto" doc:"auto: rows are rendered by the model's chat template if it has one (the prompt is the user's message, or the row has messages); plain: prompt and completion as they are" hash:"set"`
	Vars starlark.Value `arg:"chat_vars=None" doc:"dict of what else the chat template is told, such as {\"enable_thinking\": False}; today (YYYY-MM-DD) is its clock, without which it has none" hash:"set"`
}

func (a *chatArgs) checkChat() error {
	if a.Chat != "auto" && a.Chat != "plain" {
		return fmt.Errorf("chat: got %q, want auto or plain", a.Chat)
	}
	_, err := a.conversation()
	return err
}

func checkTurns(turns string) error {
	if turns != string(chat.AllTurns) && turns != string(chat.LastTurn) {
		return fmt.Errorf("turns: got %q, want all or last", turns)
	}
	return nil
}

// conversation is an empty conversation with the variables.
func (a *chatArgs) conversation() (chat.Conversation, error) {
	c := chat.Conversation{Vars: map[string]jinja.Value{}}
	if a.Vars == nil {
		return c, nil
	}
	d, ok := a.Vars.(*starlark.Dict)
	if !ok {
		return c, fmt.Errorf("chat_vars: got %s, want a dict", a.Vars.Type())
	}
	v, err := toJSON(d)
	if err != nil {
		return c, fmt.Errorf("chat_vars: %w", err)
	}
	vars, err := jinja.FromJSON([]byte(encode(v)))
	if err != nil {
		return c, fmt.Errorf("chat_vars: %w", err)
	}
	for _, k := range vars.(*jinja.Dict).Keys() {
		v, _ := vars.(*jinja.Dict).Get(k)
		if k != "today" {
			c.Vars[k.(string)] = v
			continue
		}
		day, _ := v.(string)
		now, err := time.Parse(time.DateOnly, day)
		if err != nil {
			return c, fmt.Errorf("chat_vars: today: got %q, want YYYY-MM-DD", day)
		}
		c.Options.Now = func() time.Time { return now }
	}
	return c, nil
}

// A renderer turns rows into tokens, the same way for training, evaluation and
// generation.
type renderer struct {
	tok    *token.Tokenizer
	chat   *chat.Template    // nil: prompt and completion are plain text
	blank  chat.Conversation // with the variables
	stops  []int32           // any of them ends a completion
	prompt string            // names of columns in braces are filled in
}

// newRenderer makes the renderer of a model with this tokenizer, which stops at eos.
func newRenderer(tok *token.Tokenizer, eos []int32, prompt string, a chatArgs) (*renderer, error) {
	r := &renderer{tok: tok, stops: eos, prompt: prompt}
	if a.Chat == "plain" {
		return r, nil
	}
	var err error
	if r.chat, err = chat.Open(tok); errors.Is(err, chat.ErrNone) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.blank, err = a.conversation()
	r.stops = turnStops(tok, eos)
	return r, err
}

// turnStops returns all tokens that end a turn: the model's, and the tokenizer's.
func turnStops(tok *token.Tokenizer, eos []int32) []int32 {
	stops := slices.Clone(eos)
	if id, ok := tok.EOS(); ok {
		stops = append(stops, id)
	}
	slices.Sort(stops)
	return slices.Compact(stops)
}

// question fills the prompt in.
func (r *renderer) question(row Row) (string, error) {
	return filled(r.prompt, row)
}

// conversation returns the conversation of a row, with the answer if there is one.
func (r *renderer) conversation(row Row, answer string, answered bool) (chat.Conversation, error) {
	c := r.blank
	turns, isChat := row["messages"].([]any)
	if !isChat {
		question, err := r.question(row)
		if err != nil {
			return c, err
		}
		if system, ok := dataset.Text(row, "system"); ok {
			turns = append(turns, map[string]any{"role": "system", "content": system})
		}
		// The line end of the plain form belongs to no message.
		turns = append(turns, map[string]any{"role": "user", "content": strings.TrimSuffix(question, "\n")})
		if answered {
			turns = append(turns, map[string]any{"role": "assistant", "content": answer})
		}
	}
	v, err := jinja.FromJSON([]byte(encode(turns)))
	if err != nil {
		return c, err
	}
	for i, m := range v.(jinja.List) {
		d, ok := m.(*jinja.Dict)
		if !ok {
			return c, fmt.Errorf("message %d is no object with a role and content", i+1)
		}
		c.Messages = append(c.Messages, d)
	}
	if tools, ok := row["tools"].([]any); ok && len(tools) > 0 {
		if c.Tools, err = jinja.FromJSON([]byte(encode(tools))); err != nil {
			return c, fmt.Errorf("tools: %w", err)
		}
	}
	return c, nil
}

// ask returns the tokens that a model is shown to answer a row.
func (r *renderer) ask(row Row) ([]int32, error) {
	if r.chat == nil {
		text, err := r.question(row)
		if err != nil {
			return nil, r.unrendered(row, err)
		}
		return r.tok.EncodeSpecial(text), nil
	}
	c, err := r.conversation(row, "", false)
	if err != nil {
		return nil, err
	}
	if n := len(c.Messages); n > 0 {
		if role, _ := c.Messages[n-1].Get("role"); role == "assistant" { // the reference
			c.Messages = c.Messages[:n-1]
		}
	}
	return r.chat.Prompt(c)
}

// turns returns the tokens of a conversation that a model is to go on with.
func (r *renderer) turns(turns []turn) ([]int32, error) {
	if r.chat == nil {
		return r.tok.EncodeSpecial(plainText(turns)), nil
	}
	var messages []any
	for _, t := range turns {
		messages = append(messages, map[string]any{"role": t.Role, "content": strings.TrimSuffix(t.Content, "\n")})
	}
	c, err := r.conversation(Row{"messages": messages}, "", false)
	if err != nil {
		return nil, err
	}
	return r.chat.Prompt(c)
}

// unrendered says why a row with messages has no prompt, if that is so.
func (r *renderer) unrendered(row Row, err error) error {
	if _, ok := row["messages"]; ok && r.chat == nil {
		return fmt.Errorf("%w; the row has messages, but %w", err, chat.ErrNone)
	}
	return err
}

// learn returns a row as a model learns from it: the completion in that
// column, or the turns of the assistant.
func (r *renderer) learn(row Row, completion string, turns chat.Turns) (chat.Example, error) {
	answer, ok := dataset.Text(row, completion)
	if _, isChat := row["messages"].([]any); !ok && (r.chat == nil || !isChat) {
		return chat.Example{}, r.unrendered(row, fmt.Errorf("no text in column %q: there are %s", completion, strings.Join(sortedKeys(row), ", ")))
	}
	if r.chat == nil {
		return r.plain(row, answer)
	}
	c, err := r.conversation(row, answer, ok)
	if err != nil {
		return chat.Example{}, err
	}
	return r.chat.Example(c, turns, r.stops)
}

// plain is a row without a chat template: the prompt is read, the completion
// and the end of text are learnt. They are encoded apart, as generation will
// see them.
func (r *renderer) plain(row Row, completion string) (chat.Example, error) {
	prompt, err := r.question(row)
	if err != nil {
		return chat.Example{}, err
	}
	if len(r.stops) == 0 {
		return chat.Example{}, errors.New("the model names no end-of-text token (eos_token_id in config.json): it would never learn to stop")
	}
	before := r.tok.EncodeSpecial(prompt)
	tokens := append(slices.Clone(before), r.tok.EncodePlain(completion)...)
	tokens = append(tokens, r.stops[0])
	trained := make([]bool, len(tokens))
	for i := len(before); i < len(tokens); i++ {
		trained[i] = i > 0
	}
	return chat.Example{Tokens: tokens, Trained: trained}, nil
}

// examples renders rows on all processors; the first row that cannot be is the error.
func (r *renderer) examples(ctx context.Context, rows []Row, completion string, turns chat.Turns) ([]train.Example, error) {
	out := make([]train.Example, len(rows))
	at, err := inParallel(len(rows), 0, func(i int) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, err := r.learn(rows[i], completion, turns)
		out[i] = train.Example{Tokens: e.Tokens, Trained: e.Trained}
		if err == nil && out[i].Targets() == 0 {
			err = fmt.Errorf("none of its %d tokens is trained: is the completion empty?", len(e.Tokens))
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("row %d (id %s): %w", at+1, dataset.ID(rows[at]), err)
	}
	return out, nil
}
