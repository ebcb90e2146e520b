package store

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"starbook/runtime/cas"
)

// largeBody is the size in bytes from which a body is a blob. Below it a row
// shares the fsync of its group; a blob has one of its own.
const largeBody = 256 << 10

// Ask is one sending of a request that may cost money, journalled before it leaves.
type Ask struct {
	Attempt     int64      // numbers the sending; BeginAsk sets it
	Key         cas.Digest // of the canonical request
	Request     []byte     // the canonical request; kept once for each key
	Provider    string     // "openai"
	Model       string
	BaseURL     string     // scheme://host/path without userinfo or query
	MaxTokens   int        // limit on the answer
	ReservedUSD float64    // what it can cost at most
	Step        cas.Digest // the step whose budget pays; may be zero
}

// Answer is what came back for one sending.
type Answer struct {
	Key                                                      cas.Digest
	Attempt                                                  int64
	Status                                                   int             // HTTP; 0: no reply came
	Raw                                                      []byte          // body as received
	Headers                                                  json.RawMessage // the ones worth keeping
	Finish                                                   string          // "length" if it was cut off at MaxTokens
	InputTokens, CachedTokens, OutputTokens, ReasoningTokens int64
	CostUSD                                                  float64
	DoubtUSD                                                 float64 // what may have been paid without a reply that says so
	Created                                                  time.Time
	Fault                                                    string // names why it cannot be used; "" if it can
	Error                                                    string // the same in words
}

// BeginAsk writes down that a request is about to be sent, durable on return. The
// attempt numbers this sending of it.
func (s *Store) BeginAsk(a Ask) (attempt int64, err error) {
	if s.writer == nil {
		return 0, errReadOnly
	}
	asks := []Ask{a}
	if err := s.beginAsks(asks, func(*conn) (int64, error) { return 0, nil }); err != nil {
		return 0, err
	}
	return asks[0].Attempt, nil
}

// beginAsks writes asks in one transaction and sets their attempts; first runs
// before them and gives the batch that they belong to, or 0.
func (s *Store) beginAsks(asks []Ask, first func(*conn) (int64, error)) error {
	bodies := make([]body, len(asks))
	for i, a := range asks {
		var err error
		if bodies[i], err = s.body(a.Request); err != nil {
			return fmt.Errorf("store: ask %s: %w", a.Key.Short(), err)
		}
	}
	return s.writer.now(func(c *conn) error {
		batch, err := first(c)
		if err != nil {
			return err
		}
		now := instant(time.Now())
		for i, a := range asks {
			_, err := c.exec("INSERT INTO request (key, body, body_blob) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
				a.Key.String(), bodies[i].inline, digest(bodies[i].blob))
			if err != nil {
				return fmt.Errorf("store: request %s: %w", a.Key.Short(), err)
			}
			res, err := c.exec(`INSERT INTO ask (key, provider, model, base_url, max_tokens, reserved_usd, step, batch, process, begun)
				VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?)`, a.Key.String(), a.Provider, a.Model, a.BaseURL, a.MaxTokens, a.ReservedUSD,
				digest(a.Step), batch, s.process, now)
			if err != nil {
				return fmt.Errorf("store: ask %s: %w", a.Key.Short(), err)
			}
			if asks[i].Attempt, err = res.LastInsertId(); err != nil {
				return fmt.Errorf("store: ask %s: %w", a.Key.Short(), err)
			}
		}
		return nil
	})
}

// body is where bytes are kept: in the row, as text if they are, or as a blob.
type body struct {
	inline any
	blob   cas.Digest
}

func (s *Store) body(b []byte) (body, error) {
	switch {
	case len(b) >= largeBody:
		g, err := s.Blobs.Put(b)
		return body{blob: g}, err
	case utf8.Valid(b):
		return body{inline: string(b)}, nil // as text, SQL can look into it
	}
	return body{inline: b}, nil
}

// PutAnswers writes down what came back for attempts, in one transaction, durable on return
// and before it is used. The first answer to an attempt stays.
func (s *Store) PutAnswers(list []Answer) error { return s.QueueAnswers(list)() }

// QueueAnswers is PutAnswers that does not wait: the answers are written before what is
// queued later, and are durable once the function has returned.
func (s *Store) QueueAnswers(list []Answer) (durable func() error) {
	failed := func(err error) func() error { return func() error { return err } }
	if s.writer == nil {
		return failed(errReadOnly)
	}
	bodies := make([]body, len(list))
	for i, a := range list {
		var err error
		if bodies[i], err = s.body(a.Raw); err != nil {
			return failed(fmt.Errorf("store: answer %s: %w", a.Key.Short(), err))
		}
	}
	return s.writer.soon(func(c *conn) error {
		for i, a := range list {
			_, err := c.exec(`INSERT INTO answer (attempt, key, status, body, body_blob, headers, finish,
				input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd, doubt_usd, created, fault, error)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (attempt) DO NOTHING`,
				a.Attempt, a.Key.String(), a.Status, bodies[i].inline, digest(bodies[i].blob), raw(a.Headers), text(a.Finish),
				a.InputTokens, a.CachedTokens, a.OutputTokens, a.ReasoningTokens, a.CostUSD, a.DoubtUSD, instant(a.Created), text(a.Fault), text(a.Error))
			if err != nil {
				return fmt.Errorf("store: answer %s: %w", a.Key.Short(), err)
			}
		}
		return nil
	})
}

// Answer returns the usable answer to a request; the error wraps ErrNotFound if
// there is none. An answer that ended by itself is good whatever limit it had;
// one that was cut off only if its limit was at least maxTokens, for another
// try would be cut off as well. Of several it is the first.
func (s *Store) Answer(key cas.Digest, maxTokens int) (Answer, error) {
	a := Answer{Key: key}
	var blob cas.Digest
	err := s.readers.QueryRow(`SELECT a.attempt, a.status, a.body, a.body_blob, a.headers, a.finish,
		a.input_tokens, a.cached_tokens, a.output_tokens, a.reasoning_tokens, a.cost_usd, a.doubt_usd, a.created
		FROM answer AS a JOIN ask AS q ON q.attempt = a.attempt
		WHERE a.key = ? AND a.fault IS NULL AND (a.finish IS NOT 'length' OR q.max_tokens >= ?)
		ORDER BY a.finish IS 'length', a.attempt LIMIT 1`, key.String(), maxTokens).Scan(
		&a.Attempt, &a.Status, &a.Raw, hash{&blob}, rawJSON{&a.Headers}, words{&a.Finish},
		&a.InputTokens, &a.CachedTokens, &a.OutputTokens, &a.ReasoningTokens, &a.CostUSD, &a.DoubtUSD, moment{&a.Created})
	if err == nil && !blob.IsZero() {
		a.Raw, err = s.Blobs.ReadAll(blob)
	}
	return a, noRows(err, "answer %s", key.Short())
}

// Answered returns those of the keys for which Answer has something under some limit,
// in no order. Looked for together they cost a tenth of what each costs alone.
func (s *Store) Answered(keys []cas.Digest) ([]cas.Digest, error) {
	return lookup(s, func(k *cas.Digest) []any { return []any{hash{k}} },
		"SELECT DISTINCT key FROM answer WHERE fault IS NULL AND key IN (SELECT value FROM json_each(?))", encoded(keys))
}

// InDoubt returns the requests that were sent by processes that are gone and
// have no answer: they may have been paid for. A batch at its provider is not in
// doubt, and neither is what somebody was told about before.
func (s *Store) InDoubt() ([]Ask, error) {
	type doubt struct {
		Ask
		process string
	}
	list, err := lookup(s, func(d *doubt) []any {
		return []any{&d.Attempt, hash{&d.Key}, &d.Provider, &d.Model, &d.BaseURL, &d.MaxTokens, &d.ReservedUSD, hash{&d.Step}, &d.process}
	}, `SELECT attempt, key, provider, model, base_url, max_tokens, reserved_usd, step, process FROM ask AS q
		WHERE told IS NULL AND batch IS NULL AND NOT EXISTS (SELECT 1 FROM answer AS a WHERE a.attempt = q.attempt) ORDER BY attempt`)
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

// Told notes that a person was told about requests in doubt, so that InDoubt
// does not return them for ever.
func (s *Store) Told(asks []Ask) error {
	if s.writer == nil {
		return errReadOnly
	}
	return s.writer.now(func(c *conn) error {
		for _, a := range asks {
			if _, err := c.exec("UPDATE ask SET told = ? WHERE attempt = ?", instant(time.Now()), a.Attempt); err != nil {
				return err
			}
		}
		return nil
	})
}

// Spent returns what a step has cost so far, in US dollars: its answers, also the ones
// that could not be used; and in doubt the most that may have been paid without a reply.
func (s *Store) Spent(step cas.Digest) (usd, doubt float64, err error) {
	err = s.readers.QueryRow(`SELECT total(a.cost_usd), total(iif(a.attempt IS NULL, q.reserved_usd, a.doubt_usd))
		FROM ask AS q LEFT JOIN answer AS a ON a.attempt = q.attempt WHERE q.step = ?`, step.String()).Scan(&usd, &doubt)
	if err != nil {
		return 0, 0, explain(s.dir, err)
	}
	return usd, doubt, nil
}
