package store

import (
	"fmt"
	"time"

	"starbook/runtime/cas"
)

// Batch is a file of requests at a provider's batch service.
type Batch struct {
	ID       int64
	Name     string // 16 hex digits: how the provider's batch is known to be ours
	Provider string
	Model    string
	BaseURL  string
	Size     int    // requests
	Remote   string // the provider's id; "" until it is known
	Begun    time.Time
}

// BeginBatch writes down that asks are about to be sent as one batch, durable on
// return. It makes up the name, and sets the attempts of asks.
func (s *Store) BeginBatch(b Batch, asks []Ask) (Batch, error) {
	if s.writer == nil {
		return b, errReadOnly
	}
	var err error
	if b.Name, err = newName(); err != nil {
		return b, err
	}
	b.Size, b.Begun = len(asks), time.Now().UTC()
	err = s.beginAsks(asks, func(c *conn) (int64, error) {
		res, err := c.exec("INSERT INTO batch (name, provider, model, base_url, size, begun) VALUES (?, ?, ?, ?, ?, ?)",
			b.Name, b.Provider, b.Model, b.BaseURL, b.Size, instant(b.Begun))
		if err != nil {
			return 0, fmt.Errorf("store: batch: %w", err)
		}
		b.ID, err = res.LastInsertId()
		return b.ID, err
	})
	return b, err
}

// SetRemote writes down what the provider calls a batch.
func (s *Store) SetRemote(id int64, remote string) error {
	return s.updateBatch("UPDATE batch SET remote = ? WHERE id = ?", remote, id)
}

// EndBatch writes down that every request of a batch has its answer.
func (s *Store) EndBatch(id int64) error {
	return s.updateBatch("UPDATE batch SET ended = ? WHERE id = ?", instant(time.Now()), id)
}

func (s *Store) updateBatch(query string, args ...any) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		_, err := c.exec(query, args...)
		return err
	})
}

// Batches returns the batches of a teacher that have not ended, oldest first.
func (s *Store) Batches(provider, model string) ([]Batch, error) {
	return lookup(s, func(b *Batch) []any {
		return []any{&b.ID, &b.Name, &b.Provider, &b.Model, &b.BaseURL, &b.Size, words{&b.Remote}, moment{&b.Begun}}
	}, `SELECT id, name, provider, model, base_url, size, remote, begun FROM batch
		WHERE provider = ? AND model = ? AND ended IS NULL ORDER BY id`, provider, model)
}

// BatchAsks returns the requests of a batch in the order in which they were sent.
// What they ask is not loaded.
func (s *Store) BatchAsks(id int64) ([]Ask, error) {
	return lookup(s, func(a *Ask) []any {
		return []any{&a.Attempt, hash{&a.Key}, &a.Provider, &a.Model, &a.BaseURL, &a.MaxTokens, &a.ReservedUSD, hash{&a.Step}}
	}, `SELECT attempt, key, provider, model, base_url, max_tokens, reserved_usd, step FROM ask WHERE batch = ? ORDER BY attempt`, id)
}

// Request returns what was asked under a key, as it was given to BeginAsk.
func (s *Store) Request(key cas.Digest) ([]byte, error) {
	var body []byte
	var blob cas.Digest
	err := s.readers.QueryRow("SELECT body, body_blob FROM request WHERE key = ?", key.String()).Scan(&body, hash{&blob})
	if err == nil && !blob.IsZero() {
		body, err = s.Blobs.ReadAll(blob)
	}
	return body, noRows(err, "request %s", key.Short())
}
