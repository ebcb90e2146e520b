package teacher

import (
	"encoding/json"
	"fmt"

	openai "github.com/sashabaranov/go-openai"
)

// readReply takes the answer out of a body with status 200. A body that holds
// an error, or no choice, is an *Error.
func readReply(body []byte) (Reply, error) {
	var r openai.ChatCompletionResponse
	if err := json.Unmarshal(body, &r); err != nil {
		return Reply{}, fmt.Errorf("not a chat completion: %w", err)
	}
	if len(r.Choices) == 0 {
		e := complain(200, nil, body)
		if e.Code == "" && e.Kind == Unusable {
			e.Message = "the reply holds no choices"
		}
		return Reply{}, e
	}
	choice := r.Choices[0]
	reply := Reply{
		Text: choice.Message.Content, Refusal: choice.Message.Refusal, Finish: string(choice.FinishReason),
		Usage: Usage{Input: int64(r.Usage.PromptTokens), Output: int64(r.Usage.CompletionTokens)},
		Model: r.Model, Fingerprint: r.SystemFingerprint, Status: 200, Raw: body,
	}
	if d := r.Usage.PromptTokensDetails; d != nil {
		reply.Usage.Cached = int64(d.CachedTokens)
	}
	if d := r.Usage.CompletionTokensDetails; d != nil {
		reply.Usage.Reasoning = int64(d.ReasoningTokens)
	}
	return reply, nil
}
