package stub

import (
	"encoding/json"
	"net/http"
)

// messagesRequest is what the stub reads of a message.
type messagesRequest struct {
	Model     string    `json:"model"`
	Messages  []message `json:"messages"`
	MaxTokens int       `json:"max_tokens"`
	System    []struct {
		Text string `json:"text"`
	} `json:"system"`
	Temperature *float64 `json:"temperature"`
}

// all is the conversation with the system instruction in front.
func (q messagesRequest) all() []message {
	var list []message
	for _, s := range q.System {
		list = append(list, message{"system", content(s.Text)})
	}
	return append(list, q.Messages...)
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	var q messagesRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 || q.MaxTokens <= 0 {
		play(w, r, faults["400"], "")
		return
	}
	if q.Temperature != nil && r.Header.Get("Anthropic-Version") != "2023-06-01" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"type":"error","error":{"type":"invalid_request_error","message":"temperature: Extra inputs are not permitted"},"request_id":"req_stub"}`))
		return
	}
	question := conversation(q.all())
	t := s.answer(q.all(), q.MaxTokens)
	s.serve(w, r, question, t, q.MaxTokens, func() []byte { return messageBody(q.Model, t, "standard") })
}

// messageBody is a message as Anthropic sends it.
func messageBody(model string, t turn, tier string) []byte {
	stop := "end_turn"
	if t.cut {
		stop = "max_tokens"
	}
	return encode(map[string]any{
		"model": model, "id": "msg_stub", "type": "message", "role": "assistant",
		"content":     []any{map[string]any{"type": "text", "text": t.text}},
		"stop_reason": stop, "stop_sequence": nil, "stop_details": nil,
		"usage": map[string]any{
			"input_tokens": t.input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
			"cache_creation": map[string]any{"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
			"output_tokens":  t.output, "service_tier": tier, "inference_geo": "not_available",
		},
	})
}
