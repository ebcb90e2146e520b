package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	anthropic "github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

// messagesAPI asks a server that speaks Anthropic's Messages.
type messagesAPI struct {
	spec Spec
	doer *transport
	api  anthropic.Client
}

var _ Teacher = (*messagesAPI)(nil)

// oldVersion of the API still takes a temperature, from models that do.
const oldVersion = "2023-06-01"

func newAnthropic(spec Spec, key string, doer *transport) *messagesAPI {
	return &messagesAPI{spec: spec, doer: doer, api: anthropic.NewClient(
		option.WithoutEnvironmentDefaults(), // a notebook must not depend on the shell
		option.WithBaseURL(spec.BaseURL),
		option.WithAPIKey(key),
		option.WithHTTPClient(doer),
		option.WithMaxRetries(0),                  // Ask tries again, and the ledger sees every attempt
		option.WithRequestTimeout(2*doer.d.Total), // never due: it only silences a check of max_tokens against a guess
	)}
}

// Spec says who is asked.
func (m *messagesAPI) Spec() Spec { return m.spec }

// Close drops idle connections.
func (m *messagesAPI) Close() { m.doer.client.CloseIdleConnections() }

// Check says why r would be refused.
func (m *messagesAPI) Check(r Request) error {
	_, _, err := m.params(r)
	return err
}

// Send asks once.
func (m *messagesAPI) Send(ctx context.Context, r Request) (Reply, error) {
	params, options, err := m.params(r)
	if err != nil {
		return Reply{}, &Error{Fault: Rejected, Provider: m.spec.Provider, Message: err.Error(), err: err}
	}
	x := &exchange{extra: r.Extra}
	got, err := m.api.Messages.New(x.with(ctx), params, options...)
	if err := m.doer.failed(ctx, x, err); err != nil {
		return Reply{}, err
	}
	reply, failure := m.reply(got, x)
	if failure != nil {
		return Reply{}, failure
	}
	reply.Headers = keep(x.header)
	return reply, nil
}

// Read takes the answer out of a body that was received before.
func (m *messagesAPI) Read(raw []byte) (Reply, error) {
	var got anthropic.Message
	if err := json.Unmarshal(raw, &got); err != nil {
		return Reply{}, fmt.Errorf("not a message: %w", err)
	}
	reply, failure := m.reply(&got, &exchange{status: 200, raw: raw})
	if failure != nil {
		return Reply{}, failure
	}
	return reply, nil
}

func (m *messagesAPI) reply(got *anthropic.Message, x *exchange) (Reply, *Error) {
	r := Reply{Usage: anthropicUsage(x.raw), Model: string(got.Model), Status: 200, Raw: x.raw}
	if got.Type != "message" || len(got.Content) == 0 && got.StopReason != anthropic.StopReasonRefusal {
		e := m.doer.refuse(x)
		if e.Fault == ErrorIn200 && e.Code == "" {
			e.Fault, e.Message = NoChoices, "the reply holds no content"
		}
		e.usage = r.Usage
		return Reply{}, e
	}
	var text strings.Builder
	for _, block := range got.Content {
		if block.Type == "text" { // the others are thoughts
			text.WriteString(block.Text)
		}
	}
	r.Text = text.String()
	switch got.StopReason {
	case anthropic.StopReasonEndTurn, anthropic.StopReasonStopSequence:
		r.Finish = Stop
	case anthropic.StopReasonMaxTokens, "model_context_window_exceeded":
		r.Finish = Length
	case anthropic.StopReasonRefusal:
		r.Finish, r.Text, r.Refusal = Refused, "", "the model declined"
		if text.Len() > 0 {
			r.Refusal = text.String()
		}
	default:
		r.Finish = string(got.StopReason)
	}
	return r, nil
}

// params is the request in the SDK's terms, and what those cannot express.
func (m *messagesAPI) params(r Request) (anthropic.MessageNewParams, []option.RequestOption, error) {
	p := anthropic.MessageNewParams{Model: r.Model, MaxTokens: int64(r.MaxTokens), StopSequences: r.Stop}
	for _, msg := range r.messages() {
		block := anthropic.NewTextBlock(msg.Content)
		switch msg.Role {
		case "system":
			p.System = append(p.System, anthropic.TextBlockParam{Text: msg.Content})
		case "assistant":
			p.Messages = append(p.Messages, anthropic.NewAssistantMessage(block))
		default:
			p.Messages = append(p.Messages, anthropic.NewUserMessage(block))
		}
	}
	switch {
	case len(p.Messages) == 0:
		return p, nil, errors.New("an empty prompt")
	case r.MaxTokens <= 0:
		return p, nil, errors.New("max_tokens must be positive: it bounds the price")
	case r.Seed != nil:
		return p, nil, errors.New("no seed can be given here: leave it out")
	}
	if r.Effort != "" {
		p.OutputConfig.Effort = anthropic.OutputConfigEffort(r.Effort)
	}
	if r.Schema != nil {
		schema := map[string]any{}
		if err := json.Unmarshal(r.Schema.raw, &schema); err != nil {
			return p, nil, fmt.Errorf("schema: %w", err)
		}
		p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: schema}
	}
	if r.Temperature == nil {
		return p, nil, nil
	}
	if t := *r.Temperature; !(t >= 0 && t <= 1) {
		return p, nil, fmt.Errorf("temperature %v is not in [0, 1]", t)
	}
	return p, []option.RequestOption{
		option.WithJSONSet("temperature", *r.Temperature), option.WithHeader("anthropic-version", oldVersion),
	}, nil
}
