package stub

import (
	"encoding/json"
	"net/http"
)

// chatRequest is what the stub reads of a chat completion.
type chatRequest struct {
	Model     string    `json:"model"`
	Messages  []message `json:"messages"`
	MaxTokens int       `json:"max_tokens"`
	MaxNew    int       `json:"max_completion_tokens"`
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var q chatRequest
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Messages) == 0 {
		play(w, r, faults["400"], "")
		return
	}
	question := conversation(q.Messages)
	t := s.answer(q.Messages, max(q.MaxTokens, q.MaxNew))
	s.serve(w, r, question, t, max(q.MaxTokens, q.MaxNew), func() []byte { return chatBody(q.Model, t, "") })
}

// serve sends an answer, or plays the fault that is its turn.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, question string, t turn, limit int, body func() []byte) {
	nth := s.asked(question)
	var f Fault
	if s.o.Faults != nil {
		f = s.o.Faults(question, nth)
	}
	if f.Name == "" || f.late {
		if wait, ok := s.limits.take(t.input, limit); !ok {
			s.limits.headers(w.Header(), r.URL.Path)
			s.limits.refuse(w, wait)
			return
		}
		sleep(r.Context(), s.latency(question, nth))
	}
	s.limits.headers(w.Header(), r.URL.Path)
	if f.Name != "" {
		if f.usage.input > 0 {
			s.bill(question, f.usage, f.whole)
		} else if f.billed {
			s.bill(question, t, f.whole)
		}
		f.body = body
		play(w, r, f, s.o.Key)
		return
	}
	s.bill(question, t, true)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req_"+Digest(question))
	_, _ = w.Write(body()) // a client that left
}

// chatBody is a chat completion as OpenAI sends it.
func chatBody(model string, t turn, refusal string) []byte {
	finish, content := "stop", any(t.text)
	if t.cut {
		finish = "length"
	}
	refused := any(nil)
	if refusal != "" {
		content, refused = nil, refusal
	}
	return encode(map[string]any{
		"id": "chatcmpl-stub", "object": "chat.completion", "created": 1787150085, "model": model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": finish,
			"message": map[string]any{"role": "assistant", "content": content, "refusal": refused, "annotations": []any{}},
		}},
		"usage": map[string]any{
			"prompt_tokens": t.input, "completion_tokens": t.output, "total_tokens": t.input + t.output,
			"prompt_tokens_details":     map[string]any{"cached_tokens": 0, "audio_tokens": 0},
			"completion_tokens_details": map[string]any{"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
		},
		"service_tier": "default", "system_fingerprint": nil,
	})
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return b
}
