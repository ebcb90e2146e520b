// Package teacher asks large models for answers and pays for each only once.
//
// A Spec says who is asked, a Client asks (any server that speaks OpenAI's
// chat completions), and Batch asks many things at once against a Ledger, in
// which every answer that was received stays, and within a budget that is
// reserved before a request leaves. Practice is a teacher for nothing.
package teacher

import (
	"context"
	"time"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant
	Content string `json:"content"`
}

// Request is one question. What it holds decides its content key, so that
// nothing that cannot change the answer belongs in it.
type Request struct {
	Model       string
	System      string    // "": none
	Prompt      string    // the user's turn; after Messages if both are given
	Messages    []Message // earlier turns
	MaxTokens   int       // of the answer, reasoning included; it bounds the price
	Temperature *float64  // nil: the server's default. 0 is sent as 0
	Seed        *int
	Stop        []string
	Effort      string // reasoning effort; "": the server's default
	Sample      int    // to ask the same thing again; not sent
}

// Reply is an answer that can be used, though it may be cut off (Finish is
// "length") or a refusal.
type Reply struct {
	Text        string
	Refusal     string // why the model declined; Text is then empty
	Finish      string // stop, length, content_filter, …
	Usage       Usage
	CostUSD     float64 // by the price given to Batch
	Model       string  // as the server calls itself
	Fingerprint string  // of the server's system, if it says
	Status      int
	Raw         []byte            // the body as received
	Headers     map[string]string // those worth keeping
	Attempts    int               // requests that were sent for it
	Doubt       int               // of them, those that may have been paid without a reply
	Wait        time.Duration     // spent waiting between attempts
}

// Usage is in tokens. Cached is a part of Input, Reasoning of Output.
type Usage struct{ Input, Cached, Output, Reasoning int64 }

// Teacher answers questions. Errors are of type *Error, or the context's.
type Teacher interface {
	Complete(ctx context.Context, req Request) (Reply, error)
	Spec() Spec
}
