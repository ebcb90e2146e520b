// Package teacher asks large models for answers and pays for each only once.
//
// A Spec says who is asked; a Teacher makes one exchange with it: OpenAI and
// whatever speaks its chat completions, or Anthropic's Messages. Ask puts many
// questions, several at a time: it is the only place that tries again. It
// journals in a Ledger before it sends, keeps every reply before it uses it,
// reserves in a Budget what a request can cost at most, and keeps to the limits
// that the server names. Ship does the same through a provider's batch service.
// Practice is a teacher for nothing.
package teacher

import (
	"context"
	"fmt"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system, user, assistant
	Content string `json:"content"`
}

// Request is one question. What it holds decides its content key, but for
// MaxTokens: an answer that ended by itself is the same under any limit.
type Request struct {
	Model       string
	System      string    // "": none
	Prompt      string    // the user's turn; after Messages if both are given
	Messages    []Message // earlier turns
	MaxTokens   int       // of the answer, reasoning included; it bounds the price
	Temperature *float64  // nil: the server's default. 0 is sent as 0
	Seed        *int
	Stop        []string
	Effort      string         // reasoning effort; "": the server's default
	Schema      *Schema        // of the answer; nil: any text
	Extra       map[string]any // further fields of the body, for what one server knows
	Sample      int            // to ask the same thing again; not sent
	Once        bool           // an answer that was cut off is not asked for again with twice the limit

	longer, reformed bool // what its earlier replies led to
}

// Reply is an answer that can be used, though it may be cut off (Finish is
// "length") or a refusal.
type Reply struct {
	Text    string
	Refusal string // why the model declined; Text is then empty
	Finish  string // Stop, Length, Refused, Filtered, or what else the server says
	Usage   Usage
	CostUSD float64
	Model   string // as the server calls itself
	Status  int
	Raw     []byte            // the body as received
	Headers map[string]string // those worth keeping
}

// The ends of an answer, by one name for all providers.
const (
	Stop     = "stop"           // by itself
	Length   = "length"         // cut off at MaxTokens, or at the end of the context
	Refused  = "refusal"        // declined
	Filtered = "content_filter" // withheld
)

// Teacher makes single exchanges. It is safe for concurrent use.
type Teacher interface {
	Spec() Spec
	// Send asks once. An error is of type *Error, or the context's.
	Send(ctx context.Context, r Request) (Reply, error)
	// Read takes the answer out of a body that was received before.
	Read(raw []byte) (Reply, error)
	// Check says why this teacher would refuse r, before anything is spent.
	Check(r Request) error
	// Close drops idle connections.
	Close()
}

// New returns the teacher of a Spec. The key is spec's, which is never kept.
func New(spec Spec, key string, d Deadlines) (Teacher, error) {
	if key == "" && spec.NeedsKey() {
		return nil, fmt.Errorf("teacher: %s: no key: set %s", spec.Provider, spec.KeyEnv)
	}
	if key != "" && spec.plainText() {
		return nil, fmt.Errorf("teacher: %s: the key would travel unencrypted: use https, or unset %s", spec.Provider, spec.KeyEnv)
	}
	doer := newTransport(spec, key, d)
	if spec.messages() {
		return newAnthropic(spec, key, doer), nil
	}
	return newOpenAI(spec, key, doer), nil
}
