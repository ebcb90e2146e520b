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
	Provider    string         `json:"provider"`
	Model       string         `json:"model"`
	Messages    []Message      `json:"messages"`
	Temperature *float64       `json:"temperature,omitempty"`
	Seed        *int           `json:"seed,omitempty"`
	Stop        []string       `json:"stop,omitempty"`
	Effort      string         `json:"effort,omitempty"`
	Schema      *Schema        `json:"schema,omitempty"`
	Extra       map[string]any `json:"extra,omitempty"`
	Sample      int            `json:"sample,omitempty"`
}

// indifferent are fields of a body that decide what an answer costs, how soon it
// comes or who keeps it, but not what it says.
var indifferent = map[string]bool{
	"metadata": true, "prompt_cache_key": true, "prompt_cache_options": true, "prompt_cache_retention": true,
	"safety_identifier": true, "service_tier": true, "store": true, "user": true,
}

// Canonical is the request in one spelling, as JSON, and its key. Two servers
// may call different models by one name, so the provider is part of it.
func (r Request) Canonical(provider string) ([]byte, Key) {
	c := canonical{
		Provider: provider, Model: r.Model, Messages: r.messages(), Temperature: r.Temperature,
		Seed: r.Seed, Stop: r.Stop, Effort: r.Effort, Schema: r.Schema, Sample: r.Sample,
	}
	for name, v := range r.Extra {
		if !indifferent[name] {
			if c.Extra == nil {
				c.Extra = map[string]any{}
			}
			c.Extra[name] = v
		}
	}
	text, err := json.Marshal(c)
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
