package chat

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"starbook/gpu/chat/jinja"
	"starbook/gpu/token"
)

// An Example is a conversation as a model learns from it.
type Example struct {
	Text    string // "" where nothing was rendered
	Tokens  []int32
	Spans   []token.Span // of Text, one for each token; nil without a text
	Trained []bool       // of each token, whether it is to be predicted
}

// Words returns tokens i up to k as they stand in the text; e need not have one.
func (e Example) Words(tok *token.Tokenizer, i, k int) string {
	if e.Spans == nil {
		return tok.Decode(e.Tokens[i:k])
	}
	from, to := e.Spans[i].From, len(e.Text)
	if i == 0 {
		from = 0
	}
	if k < len(e.Spans) {
		to = e.Spans[k].From
	}
	return e.Text[from:to]
}

// Turns says which of the assistant's turns are learnt.
type Turns string

// The choices of Turns.
const (
	AllTurns Turns = "all"
	LastTurn Turns = "last"
)

// Prompt returns the tokens of a conversation up to where the assistant is to
// begin.
func (t *Template) Prompt(c Conversation) ([]int32, error) {
	out, err := t.render(c, true)
	if err != nil {
		return nil, err
	}
	text, plain, _ := unmark(out.Text)
	ids, _, err := t.encode(text, plain)
	return ids, err
}

// encode returns the tokens of a rendered text. Nothing is put around it: the
// template has written what belongs there.
func (t *Template) encode(text string, plain []token.Span) ([]int32, []token.Span, error) {
	ids, spans := t.tok.EncodeOffsets(text, plain...)
	if bos, ok := t.tok.BOS(); ok && len(ids) > 1 && ids[0] == bos && ids[1] == bos {
		return nil, nil, fmt.Errorf("the chat template writes %s twice at the beginning", t.tok.TokenText(bos))
	}
	return ids, spans, nil
}

// Example returns the tokens of a conversation and which of them are learnt:
// those that the assistant wrote, each turn up to and with the token that ends
// it, which must be one of stops. What the template writes behind that is not
// learnt, as generation never gets there.
func (t *Template) Example(c Conversation, which Turns, stops []int32) (Example, error) {
	text, turns, err := t.turns(c, which)
	if err != nil {
		return Example{}, err
	}
	text, plain, at := unmark(text)
	e := Example{Text: text}
	if e.Tokens, e.Spans, err = t.encode(text, plain); err != nil {
		return Example{}, err
	}
	e.Trained = make([]bool, len(e.Tokens))
	for i, turn := range turns {
		if err := e.learn(at(turn.From), at(turn.To), stops, t.tok); err != nil {
			return Example{}, fmt.Errorf("assistant turn %d: %w", i+1, err)
		}
	}
	return e, nil
}

// learn marks the tokens of a turn. As in transformers, one that reaches into
// the turn from before, such as a space with the word behind it, is among them.
func (e *Example) learn(from, to int, stops []int32, tok *token.Tokenizer) error {
	first, _ := slices.BinarySearchFunc(e.Spans, from, func(s token.Span, at int) int { return cmp.Compare(s.To, at+1) })
	last := -1
	for i := first; i < len(e.Spans) && e.Spans[i].From < to; i++ {
		if slices.Contains(stops, e.Tokens[i]) {
			last = i
		}
	}
	if last < 0 {
		names := make([]string, len(stops))
		for i, id := range stops {
			names[i] = fmt.Sprintf("%q", tok.TokenText(id))
		}
		end := e.Text[from:to]
		return fmt.Errorf("it ends with %q, and the model stops at %s: it would never learn to stop; name the token that ends a turn (eos of model.template, or eos_token_id in generation_config.json)",
			end[max(0, len(end)-24):], strings.Join(names, " or "))
	}
	for i := max(first, 1); i <= last; i++ { // nothing predicts the first token of all
		e.Trained[i] = true
	}
	return nil
}

// turns renders a conversation and returns which bytes the assistant wrote, by
// the template's own {% generation %} blocks where it has them, and otherwise
// by rendering the conversation up to each turn.
func (t *Template) turns(c Conversation, which Turns) (string, []jinja.Span, error) {
	at := c.turns()
	if len(at) == 0 {
		return "", nil, errors.New("the conversation has no assistant turn to learn")
	}
	full, err := t.render(c, false)
	if err != nil {
		return "", nil, err
	}
	if spans := full.Generated; len(spans) > 0 {
		if which == LastTurn {
			spans = spans[len(spans)-1:]
		}
		return full.Text, spans, nil
	}
	if which == LastTurn {
		at = at[len(at)-1:]
	}
	var spans []jinja.Span
	for _, i := range at {
		s, err := t.turn(c, full.Text, i)
		if err != nil {
			return "", nil, err
		}
		spans = append(spans, s)
	}
	return full.Text, spans, nil
}

// turn returns the bytes of message i: what is new when it is rendered too.
func (t *Template) turn(c Conversation, full string, i int) (jinja.Span, error) {
	if i == 0 {
		return jinja.Span{}, errors.New("message 1 is the assistant's: there is nothing that it answers; learn the last turn only (turns = \"last\")")
	}
	out, err := t.render(c.upTo(i), true)
	if err != nil {
		return jinja.Span{}, fmt.Errorf("up to message %d: %w", i+1, err)
	}
	before, after := out.Text, full
	if i+1 < len(c.Messages) {
		if out, err = t.render(c.upTo(i+1), false); err != nil {
			return jinja.Span{}, fmt.Errorf("up to message %d: %w", i+2, err)
		}
		after = out.Text
	}
	if !strings.HasPrefix(full, after) || !strings.HasPrefix(after, before) {
		return jinja.Span{}, fmt.Errorf("the chat template writes message %d another way when it is not the last, so that what is learnt would not be what is generated: "+
			"learn the last turn only (turns = \"last\")", i+1)
	}
	return jinja.Span{From: len(before), To: len(after)}, nil
}
