package teacher

import (
	"maps"
	"sync"
)

// book is a ledger in memory, with the rule of the real one.
type book struct {
	mu       sync.Mutex
	begun    []Attempt
	of       map[Key][]int64 // attempts
	outcomes map[int64]Outcome
}

func newBook() *book { return &book{of: map[Key][]int64{}, outcomes: map[int64]Outcome{}} }

func (b *book) Answer(k Key, maxTokens int) (Reply, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cut *Reply
	for _, id := range b.of[k] {
		o, ok := b.outcomes[id]
		switch {
		case !ok || o.Failure != nil:
		case o.Reply.Finish != Length:
			return o.Reply, true, nil
		case b.begun[id].MaxTokens >= maxTokens && cut == nil:
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
	id := int64(len(b.begun))
	b.begun, b.of[a.Key] = append(b.begun, a), append(b.of[a.Key], id)
	return id, nil
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
