package store

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"starbook/runtime/cas"
)

// largeBody is the size in bytes from which the body of an answer is a blob.
const largeBody = 16 << 10

// Ask is a request that may cost money, journalled before it is sent.
type Ask struct {
	Key      cas.Digest // of the canonical request
	Provider string     // "openai"
	Model    string
	BaseURL  string     // scheme://host/path without userinfo or query
	Request  cas.Digest // blob of the canonical request
}

// Answer is a reply as it came.
type Answer struct {
	Key                                                      cas.Digest
	Attempt                                                  int64
	Status                                                   int             // HTTP
	Raw                                                      []byte          // body as received
	Headers                                                  json.RawMessage // the ones worth keeping
	Finish                                                   string
	InputTokens, CachedTokens, OutputTokens, ReasoningTokens int64
	CostUSD                                                  float64
	Created                                                  time.Time
	Error                                                    string // why the answer cannot be used; "" if it can
}

// BeginAsk writes down that a request is about to be sent, durable on return. The
// attempt numbers this sending of it.
func (s *Store) BeginAsk(a Ask) (attempt int64, err error) {
	if s.writer == nil {
		return 0, errReadOnly
	}
	if err := s.haveBlobs(a.Request); err != nil {
		return 0, fmt.Errorf("store: ask %s: %w", a.Key.Short(), err)
	}
	err = s.writer.now(func(c *conn) error {
		res, err := c.exec("INSERT INTO ask (key, provider, model, base_url, request, process, begun) VALUES (?, ?, ?, ?, ?, ?, ?)",
			a.Key.String(), a.Provider, a.Model, a.BaseURL, digest(a.Request), s.process, instant(time.Now()))
		if err != nil {
			return fmt.Errorf("store: ask %s: %w", a.Key.Short(), err)
		}
		attempt, err = res.LastInsertId()
		return err
	})
	return attempt, err
}

// PutAnswer writes down the reply to an attempt, durable on return and before it is
// used. The first answer to an attempt stays. A body of 16 KiB or more becomes a blob.
func (s *Store) PutAnswer(a Answer) error {
	if s.writer == nil {
		return errReadOnly
	}
	var body any
	var blob cas.Digest
	switch {
	case len(a.Raw) >= largeBody:
		var err error
		if blob, err = s.Blobs.Put(a.Raw); err != nil {
			return fmt.Errorf("store: answer %s: %w", a.Key.Short(), err)
		}
	case utf8.Valid(a.Raw):
		body = string(a.Raw) // as text, SQL can look into it
	default:
		body = a.Raw
	}
	return s.writer.now(func(c *conn) error {
		_, err := c.exec(`INSERT INTO answer (attempt, key, status, body, body_blob, headers, finish,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd, created, error)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (attempt) DO NOTHING`,
			a.Attempt, a.Key.String(), a.Status, body, digest(blob), raw(a.Headers), text(a.Finish),
			a.InputTokens, a.CachedTokens, a.OutputTokens, a.ReasoningTokens, a.CostUSD, instant(a.Created), text(a.Error))
		if err != nil {
			return fmt.Errorf("store: answer %s: %w", a.Key.Short(), err)
		}
		return nil
	})
}

// Answer returns the usable answer to a request, the first if it was paid twice; the
// error wraps ErrNotFound if there is none.
func (s *Store) Answer(key cas.Digest) (Answer, error) {
	a := Answer{Key: key}
	var blob cas.Digest
	err := s.readers.QueryRow(`SELECT attempt, status, body, body_blob, headers, finish,
		input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd, created
		FROM answer WHERE key = ? AND error IS NULL ORDER BY attempt LIMIT 1`, key.String()).Scan(
		&a.Attempt, &a.Status, &a.Raw, hash{&blob}, rawJSON{&a.Headers}, words{&a.Finish},
		&a.InputTokens, &a.CachedTokens, &a.OutputTokens, &a.ReasoningTokens, &a.CostUSD, moment{&a.Created})
	if err == nil && !blob.IsZero() {
		a.Raw, err = s.Blobs.ReadAll(blob)
	}
	return a, noRows(err, "answer %s", key.Short())
}

// InDoubt returns the requests that were begun and never answered by processes that are
// gone: they may have been paid for.
func (s *Store) InDoubt() ([]Ask, error) {
	type doubt struct {
		Ask
		process string
	}
	list, err := lookup(s, func(d *doubt) []any {
		return []any{hash{&d.Key}, &d.Provider, &d.Model, &d.BaseURL, hash{&d.Request}, &d.process}
	}, `SELECT q.key, q.provider, q.model, q.base_url, q.request, q.process FROM ask AS q
		WHERE NOT EXISTS (SELECT 1 FROM answer AS a WHERE a.attempt = q.attempt) ORDER BY q.attempt`)
	if err != nil {
		return nil, err
	}
	var asks []Ask
	alive := map[string]bool{}
	for _, d := range list {
		held, known := alive[d.process]
		if !known {
			held = isHeld(s.processLock(d.process))
			alive[d.process] = held
		}
		if !held {
			asks = append(asks, d.Ask)
		}
	}
	return asks, nil
}

// Spent returns what all answers to these requests cost, in US dollars, also the ones that
// could not be used.
func (s *Store) Spent(keys []cas.Digest) (usd float64, err error) {
	err = s.readers.QueryRow("SELECT total(cost_usd) FROM answer WHERE key IN (SELECT value FROM json_each(?))", encoded(keys)).Scan(&usd)
	if err != nil {
		return 0, explain(s.dir, err)
	}
	return usd, nil
}
