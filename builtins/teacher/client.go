package teacher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	openai "github.com/sashabaranov/go-openai"
)

// Client asks a server that speaks OpenAI's chat completions. It is safe for
// concurrent use.
type Client struct {
	spec Spec
	doer *transport
	api  *openai.Client
}

var _ Teacher = (*Client)(nil)

// New takes the key from spec.KeyEnv. A known provider needs one; it is not
// sent in plain text to another machine.
func New(spec Spec, r Retry) (*Client, error) {
	key := ""
	if spec.KeyEnv != "" {
		key = os.Getenv(spec.KeyEnv)
	}
	if key == "" && spec.KeyEnv != "" && spec.KeyEnv != serverKeyEnv {
		return nil, fmt.Errorf("teacher: %s: no key: set %s", spec, spec.KeyEnv)
	}
	if key != "" && spec.plainText() {
		return nil, fmt.Errorf("teacher: %s: the key would travel unencrypted: use https, or unset %s", spec, spec.KeyEnv)
	}
	doer := newTransport(spec, key, r)
	config := openai.DefaultConfig(key)
	config.BaseURL = spec.BaseURL
	config.HTTPClient = doer
	return &Client{spec: spec, doer: doer, api: openai.NewClientWithConfig(config)}, nil
}

// Spec says who is asked.
func (c *Client) Spec() Spec { return c.spec }

// Close drops idle connections.
func (c *Client) Close() { c.doer.client.CloseIdleConnections() }

// Complete asks, and tries again where that can help.
func (c *Client) Complete(ctx context.Context, req Request) (Reply, error) {
	sent, err := c.chat(req)
	if err != nil {
		return Reply{}, &Error{Kind: Rejected, Provider: c.spec.Provider, Message: err.Error(), err: err}
	}
	one := &call{extra: map[string]any{}}
	if req.Temperature != nil && *req.Temperature == 0 {
		one.extra["temperature"] = 0 // go-openai drops a zero (its issue 9), and servers then take 1
	}
	_, err = c.api.CreateChatCompletion(context.WithValue(ctx, callKey{}, one), sent)
	var failure *Error
	switch {
	case errors.As(err, &failure), err != nil && ctx.Err() != nil:
		return Reply{Attempts: one.attempts, Doubt: one.doubt}, err
	case err != nil: // go-openai's own checks
		return Reply{}, &Error{Kind: Rejected, Provider: c.spec.Provider, Message: redact(err.Error(), c.doer.secret), err: err}
	}
	reply := one.reply
	reply.Attempts, reply.Doubt, reply.Wait = one.attempts, one.doubt, one.waited
	return reply, nil
}

// chat is the request in go-openai's terms.
func (c *Client) chat(req Request) (openai.ChatCompletionRequest, error) {
	sent := openai.ChatCompletionRequest{
		Model: req.Model, Seed: req.Seed, Stop: req.Stop, ReasoningEffort: req.Effort,
	}
	for _, m := range req.messages() {
		sent.Messages = append(sent.Messages, openai.ChatCompletionMessage{Role: m.Role, Content: m.Content})
	}
	if len(sent.Messages) == 0 {
		return sent, errors.New("an empty prompt")
	}
	// OpenAI has deprecated max_tokens; most other servers know only that.
	if c.spec.Provider == "openai" {
		sent.MaxCompletionTokens = req.MaxTokens
	} else {
		//lint:ignore SA1019 deprecated by OpenAI, and the only word that other servers know
		sent.MaxTokens = req.MaxTokens
	}
	if req.Temperature == nil {
		return sent, nil
	}
	if t := *req.Temperature; math.IsNaN(t) || t < 0 || t > 2 {
		return sent, fmt.Errorf("temperature %v is not in [0, 2]", t)
	}
	sent.Temperature = float32(*req.Temperature)
	if sent.Temperature == 0 && c.spec.Provider == "openai" {
		// The check that go-openai makes for models that refuse a temperature
		// does not see a zero: show it another value.
		probe := sent
		probe.Temperature = 0.5
		return sent, openai.NewReasoningValidator().Validate(probe)
	}
	return sent, nil
}
