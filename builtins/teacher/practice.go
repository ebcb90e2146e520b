package teacher

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

// PracticeModel is what a practice teacher calls itself.
const PracticeModel = "practice-teacher"

// Practice is a server inside this process that speaks OpenAI's chat
// completions on loopback and looks its answers up in a book. It stands in for
// a large model where there is no key and no network, and says so.
type Practice struct {
	URL string

	server *http.Server
	done   chan struct{}
}

// StartPractice starts a practice teacher with the answers to these prompts.
func StartPractice(book map[string]string) (*Practice, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("teacher: practice: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { look(w, r, book) })
	p := &Practice{
		URL:    "http://" + listener.Addr().String() + "/v1",
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // returns when Close closes it
	}()
	return p, nil
}

// Close stops the server and waits for it.
func (p *Practice) Close() error {
	err := p.server.Close()
	<-p.done
	return err
}

// look looks the last message up. What is not in the book is declined.
func look(w http.ResponseWriter, r *http.Request, book map[string]string) {
	var req openai.ChatCompletionRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&req); err != nil || len(req.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"message":"no messages","type":"invalid_request_error"}}`)
		return
	}
	question := req.Messages[len(req.Messages)-1].Content
	message := openai.ChatCompletionMessage{Role: openai.ChatMessageRoleAssistant, Content: book[question]}
	if _, ok := book[question]; !ok {
		message.Refusal = "I am a practice teacher and this is not in my book."
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(openai.ChatCompletionResponse{ // a client that left
		ID: "practice", Object: "chat.completion", Model: PracticeModel, SystemFingerprint: "looked up, not thought up",
		Choices: []openai.ChatCompletionChoice{{Message: message, FinishReason: openai.FinishReasonStop}},
		Usage:   openai.Usage{PromptTokens: len(question) / 4, CompletionTokens: len(message.Content) / 4},
	})
}
