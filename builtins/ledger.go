package builtins

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"starbook/builtins/teacher"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// ledger keeps a teacher's answers in the store. What is asked through it is
// booked on a step.
type ledger struct {
	st   *store.Store
	step digest
}

var _ teacher.BatchLedger = ledger{}

// Answer implements teacher.Ledger.
func (l ledger) Answer(k teacher.Key, maxTokens int) (teacher.Reply, bool, error) {
	a, err := l.st.Answer(cas.Digest(k), maxTokens)
	if errors.Is(err, store.ErrNotFound) {
		return teacher.Reply{}, false, nil
	}
	if err != nil {
		return teacher.Reply{}, false, err
	}
	r := teacher.Reply{Status: a.Status, Raw: a.Raw, CostUSD: a.CostUSD}
	if len(a.Headers) > 0 {
		err = json.Unmarshal(a.Headers, &r.Headers)
	}
	return r, err == nil, err
}

// Answered implements teacher.Ledger.
func (l ledger) Answered(keys []teacher.Key) (map[teacher.Key]bool, error) {
	digests := make([]cas.Digest, len(keys))
	for i, k := range keys {
		digests[i] = cas.Digest(k)
	}
	list, err := l.st.Answered(digests)
	found := map[teacher.Key]bool{}
	for _, k := range list {
		found[teacher.Key(k)] = true
	}
	return found, err
}

// Begin implements teacher.Ledger.
func (l ledger) Begin(a teacher.Attempt) (int64, error) { return l.st.BeginAsk(l.ask(a)) }

func (l ledger) ask(a teacher.Attempt) store.Ask {
	return store.Ask{
		Key: cas.Digest(a.Key), Request: a.Canonical, Provider: a.Spec.Provider, Model: a.Spec.Model, BaseURL: a.Spec.BaseURL,
		MaxTokens: a.MaxTokens, ReservedUSD: a.ReservedUSD, Step: l.step,
	}
}

// End implements teacher.Ledger.
func (l ledger) End(o teacher.Outcome) (durable func() error) {
	a, err := answerOf(o)
	if err != nil {
		return func() error { return err }
	}
	return l.st.QueueAnswers([]store.Answer{a})
}

func answerOf(o teacher.Outcome) (store.Answer, error) {
	r := o.Reply
	a := store.Answer{
		Key: cas.Digest(o.Key), Attempt: o.ID, Status: r.Status, Raw: r.Raw, Finish: r.Finish, CostUSD: r.CostUSD, DoubtUSD: o.DoubtUSD,
		Created: time.Now().UTC(), InputTokens: r.Usage.Input, CachedTokens: r.Usage.Cached, OutputTokens: r.Usage.Output, ReasoningTokens: r.Usage.Reasoning,
	}
	if o.Failure != nil {
		a.Fault, a.Error = string(o.Failure.Fault), o.Failure.Error()
	}
	var err error
	if a.Headers, err = json.Marshal(r.Headers); err != nil {
		return a, fmt.Errorf("ledger: %w", err)
	}
	return a, nil
}

// BeginBatch implements teacher.BatchLedger.
func (l ledger) BeginBatch(list []teacher.Attempt) (teacher.Batch, error) {
	asks := make([]store.Ask, len(list))
	for i, a := range list {
		asks[i] = l.ask(a)
	}
	s := list[0].Spec
	b, err := l.st.BeginBatch(store.Batch{Provider: s.Provider, Model: s.Model, BaseURL: s.BaseURL}, asks)
	return batchOf(b), err
}

func batchOf(b store.Batch) teacher.Batch {
	return teacher.Batch{ID: b.ID, Name: b.Name, Size: b.Size, Remote: b.Remote, Begun: b.Begun}
}

// Sent implements teacher.BatchLedger.
func (l ledger) Sent(b teacher.Batch, remote string) error { return l.st.SetRemote(b.ID, remote) }

// Open implements teacher.BatchLedger.
func (l ledger) Open(s teacher.Spec) ([]teacher.Batch, error) {
	list, err := l.st.Batches(s.Provider, s.Model)
	out := make([]teacher.Batch, len(list))
	for i, b := range list {
		out[i] = batchOf(b)
	}
	return out, err
}

// Rows implements teacher.BatchLedger.
func (l ledger) Rows(b teacher.Batch) ([]teacher.Row, error) {
	list, err := l.st.BatchAsks(b.ID)
	out := make([]teacher.Row, len(list))
	for i, a := range list {
		out[i] = teacher.Row{Attempt: a.Attempt, Key: teacher.Key(a.Key), ReservedUSD: a.ReservedUSD}
	}
	return out, err
}

// EndRows implements teacher.BatchLedger.
func (l ledger) EndRows(list []teacher.Outcome) error {
	answers := make([]store.Answer, len(list))
	for i, o := range list {
		var err error
		if answers[i], err = answerOf(o); err != nil {
			return err
		}
	}
	return l.st.PutAnswers(answers)
}

// EndBatch implements teacher.BatchLedger.
func (l ledger) EndBatch(b teacher.Batch) error { return l.st.EndBatch(b.ID) }
