package teacher

import (
	"sync"

	"github.com/tiktoken-go/tokenizer/codec"
)

// o200k is the one published encoding of the models that are still served. It
// takes 50 ms to set up.
var o200k = sync.OnceValue(codec.NewO200kBase)

// CountTokens returns how many tokens the input of a request has: exactly, but for
// a few around each message, where the encoding of the model is published;
// otherwise as o200k times the model's factor. Answers calibrate it.
func (m Model) CountTokens(r Request) int {
	n := 3
	for _, msg := range r.messages() {
		k, err := o200k().Count(msg.Content)
		if err != nil { // no UTF-8
			k = len(msg.Content)
		}
		n += k + 4
	}
	if r.Schema != nil {
		k, _ := o200k().Count(string(r.Schema.raw))
		n += k
	}
	if m.TokenFactor > 0 {
		return int(float64(n)*m.TokenFactor + 0.5)
	}
	return n
}
