package teacher

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Key is the content key of a request: the SHA-256 of its canonical form.
type Key [32]byte

// String is 64 hex digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// canonical is the form of a request that is hashed and kept. The order of the
// fields is fixed; a field that is added later must be omitted when empty, or
// every answer paid for so far is lost.
type canonical struct {
	Provider    string    `json:"provider"`
	Model       string    `json:"model"`
	Messages    []Message `json:"messages"`
	MaxTokens   int       `json:"max_tokens,omitempty"`
	Temperature *float64  `json:"temperature,omitempty"`
	Seed        *int      `json:"seed,omitempty"`
	Stop        []string  `json:"stop,omitempty"`
	Effort      string    `json:"effort,omitempty"`
	Sample      int       `json:"sample,omitempty"`
}

// Canonical is the request in one spelling, as JSON, and its key. Two servers
// may call different models by one name, so the provider is part of it.
func (r Request) Canonical(provider string) ([]byte, Key) {
	text, err := json.Marshal(canonical{
		Provider: provider, Model: r.Model, Messages: r.messages(), MaxTokens: r.MaxTokens,
		Temperature: r.Temperature, Seed: r.Seed, Stop: r.Stop, Effort: r.Effort, Sample: r.Sample,
	})
	if err != nil { // a temperature that is not a number, refused by check
		text = []byte(err.Error())
	}
	return text, sha256.Sum256(text)
}

// messages is the whole conversation.
func (r Request) messages() []Message {
	var all []Message
	if r.System != "" {
		all = append(all, Message{"system", r.System})
	}
	all = append(all, r.Messages...)
	if r.Prompt != "" {
		all = append(all, Message{"user", r.Prompt})
	}
	return all
}
