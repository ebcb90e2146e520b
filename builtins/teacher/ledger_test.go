package teacher

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// book is a ledger in memory, with the rule of the real one.
type book struct {
	mu       sync.Mutex
	begun    []Attempt
	of       map[Key][]int64 // attempts
	outcomes map[int64]Outcome
	batches  []Batch
	rows     [][]Row
	closed   map[int64]bool // batches
}

func newBook() *book {
	return &book{of: map[Key][]int64{}, outcomes: map[int64]Outcome{}, closed: map[int64]bool{}}
}

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

func (b *book) Answered(keys []Key) (map[Key]bool, error) {
	found := map[Key]bool{}
	for _, k := range keys {
		_, found[k], _ = b.Answer(k, 0)
	}
	return found, nil
}

func (b *book) Begin(a Attempt) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := int64(len(b.begun))
	b.begun, b.of[a.Key] = append(b.begun, a), append(b.of[a.Key], id)
	return id, nil
}

func (b *book) End(o Outcome) func() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcomes[o.ID] = o
	return func() error { return nil }
}

func (b *book) ended() map[int64]Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.outcomes)
}

var named atomic.Int64 // batches of all books

func (b *book) BeginBatch(list []Attempt) (Batch, error) {
	var rows []Row
	for _, a := range list {
		id, _ := b.Begin(a)
		rows = append(rows, Row{id, a.Key, a.ReservedUSD})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := int64(len(b.batches))
	b.batches = append(b.batches, Batch{ID: n, Name: fmt.Sprintf("%016x", named.Add(1)), Size: len(list), Begun: time.Now()})
	b.rows = append(b.rows, rows)
	return b.batches[n], nil
}

func (b *book) Sent(x Batch, remote string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.batches[x.ID].Remote = remote
	return nil
}

func (b *book) Open(Spec) (list []Batch, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.batches {
		if !b.closed[x.ID] {
			list = append(list, x)
		}
	}
	return list, nil
}

func (b *book) Rows(x Batch) ([]Row, error) { return b.rows[x.ID], nil }

func (b *book) EndRows(list []Outcome) error {
	for _, o := range list {
		_ = b.End(o)()
	}
	return nil
}

func (b *book) EndBatch(x Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed[x.ID] = true
	return nil
}
