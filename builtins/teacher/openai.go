package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	openai "github.com/sashabaranov/go-openai"
)

// openAI asks a server that speaks OpenAI's chat completions.
type openAI struct {
	spec Spec
	doer *transport
	api  *openai.Client
}

var _ Teacher = (*openAI)(nil)

func newOpenAI(spec Spec, key string, doer *transport) *openAI {
	config := openai.DefaultConfig(key)
	config.BaseURL = spec.BaseURL
	config.HTTPClient = doer
	return &openAI{spec: spec, doer: doer, api: openai.NewClientWithConfig(config)}
}

// Spec says who is asked.
func (o *openAI) Spec() Spec { return o.spec }

// Close drops idle connections.
func (o *openAI) Close() { o.doer.client.CloseIdleConnections() }

// Check says why r would be refused.
func (o *openAI) Check(r Request) error {
	_, _, err := o.chat(r)
	return err
}

// Send asks once.
func (o *openAI) Send(ctx context.Context, r Request) (Reply, error) {
	body, extra, err := o.chat(r)
	if err != nil {
		return Reply{}, &Error{Fault: Rejected, Provider: o.spec.Provider, Message: err.Error(), err: err}
	}
	x := &exchange{extra: extra}
	got, err := o.api.CreateChatCompletion(x.with(ctx), body)
	if err := o.doer.failed(ctx, x, err); err != nil {
		return Reply{}, err
	}
	if len(got.Choices) == 0 {
		return Reply{}, o.hollow(x)
	}
	reply := o.reply(got, x.raw)
	reply.Status, reply.Headers = x.status, keep(x.header)
	return reply, nil
}

// hollow is the error of a reply with status 200 and no answer.
func (o *openAI) hollow(x *exchange) *Error {
	e := o.doer.refuse(x)
	if e.Fault == ErrorIn200 && e.Code == "" && !json.Valid(x.raw) {
		e.Fault, e.Message = Garbled, "not a chat completion: "+e.Message
	} else if e.Fault == ErrorIn200 && e.Code == "" {
		e.Fault, e.Message = NoChoices, "the reply holds no choices"
	}
	e.usage = openAIUsage(x.raw)
	return e
}

// Read takes the answer out of a body that was received before.
func (o *openAI) Read(raw []byte) (Reply, error) {
	var got openai.ChatCompletionResponse
	if err := json.Unmarshal(raw, &got); err != nil {
		return Reply{}, fmt.Errorf("not a chat completion: %w", err)
	}
	if len(got.Choices) == 0 {
		return Reply{}, o.hollow(&exchange{status: 200, raw: raw})
	}
	return o.reply(got, raw), nil
}

func (o *openAI) reply(got openai.ChatCompletionResponse, raw []byte) Reply {
	choice := got.Choices[0]
	r := Reply{
		Text: choice.Message.Content, Refusal: choice.Message.Refusal, Finish: string(choice.FinishReason),
		Usage: openAIUsage(raw), Model: got.Model, Status: 200, Raw: raw,
	}
	if r.Refusal != "" {
		r.Finish = Refused
	}
	return r
}

// chat is the request in go-openai's terms, and what those cannot express.
func (o *openAI) chat(r Request) (openai.ChatCompletionRequest, map[string]any, error) {
	sent := openai.ChatCompletionRequest{Model: r.Model, Seed: r.Seed, Stop: r.Stop, ReasoningEffort: r.Effort}
	extra := map[string]any{}
	for name, v := range r.Extra {
		extra[name] = v
	}
	for _, m := range r.messages() {
		sent.Messages = append(sent.Messages, openai.ChatCompletionMessage{Role: m.Role, Content: m.Content})
	}
	switch {
	case len(sent.Messages) == 0:
		return sent, nil, errors.New("an empty prompt")
	case r.MaxTokens <= 0:
		return sent, nil, errors.New("max_tokens must be positive: it bounds the price")
	}
	// OpenAI has deprecated max_tokens; most other servers know only that.
	if o.spec.Provider == "openai" {
		sent.MaxCompletionTokens = r.MaxTokens
	} else {
		//lint:ignore SA1019 deprecated by OpenAI, and the only word that other servers know
		sent.MaxTokens = r.MaxTokens
	}
	if r.Schema != nil {
		sent.ResponseFormat = &openai.ChatCompletionResponseFormat{
			Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "answer", Schema: r.Schema, Strict: true},
		}
	}
	if r.Temperature == nil {
		return sent, extra, nil
	}
	if t := *r.Temperature; math.IsNaN(t) || t < 0 || t > 2 {
		return sent, nil, fmt.Errorf("temperature %v is not in [0, 2]", t)
	}
	sent.Temperature = float32(*r.Temperature)
	if sent.Temperature == 0 {
		extra["temperature"] = 0 // go-openai drops a zero (its issue 9), and servers then take 1
	}
	if o.spec.Provider != "openai" {
		return sent, extra, nil
	}
	probe := sent
	if probe.Temperature == 0 {
		probe.Temperature = 0.5 // nor does its check for models that refuse a temperature see one
	}
	return sent, extra, openai.NewReasoningValidator().Validate(probe)
}
