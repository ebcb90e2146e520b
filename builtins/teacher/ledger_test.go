package teacher

import (
	"maps"
	"sync"
)

// book is a ledger in memory, with the rule of the real one.
type book struct {
	mu       sync.Mutex
	begun    []Attempt
	outcomes map[int64]Outcome
}

func newBook() *book { return &book{outcomes: map[int64]Outcome{}} }

func (b *book) Answer(k Key, maxTokens int) (Reply, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cut *Reply
	for i, a := range b.begun {
		o, ok := b.outcomes[int64(i)]
		switch {
		case !ok || a.Key != k || o.Failure != nil:
		case o.Reply.Finish != Length:
			return o.Reply, true, nil
		case a.MaxTokens >= maxTokens && cut == nil:
			cut = &o.Reply
		}
	}
	if cut != nil {
		return *cut, true, nil
	}
	return Reply{}, false, nil
}

func (b *book) Begin(a Attempt) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = append(b.begun, a)
	return int64(len(b.begun) - 1), nil
}

func (b *book) End(o Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes[o.ID] = o
	return nil
}

func (b *book) ended() map[int64]Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.outcomes)
}
