package teacher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	anthropic "github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/packages/param"
)

var _ service = (*messagesAPI)(nil)

// submit sends a message batch. It keeps no name but that in the ids of its rows.
func (m *messagesAPI) submit(ctx context.Context, name string, rows []Request) (string, error) {
	var p anthropic.MessageBatchNewParams
	for i, r := range rows {
		row, err := m.row(customID(name, i), r)
		if err != nil {
			return "", &Error{Fault: Rejected, Provider: m.spec.Provider, Message: err.Error(), err: err}
		}
		p.Requests = append(p.Requests, row)
	}
	x := &exchange{}
	got, err := m.api.Messages.Batches.New(x.with(ctx), p)
	if err := m.doer.failed(ctx, x, err); err != nil {
		return "", err
	}
	return got.ID, nil
}

// look returns how far a batch is.
func (m *messagesAPI) look(ctx context.Context, remote string) (state, error) {
	x := &exchange{}
	got, err := m.api.Messages.Batches.Get(x.with(ctx), remote, anthropic.MessageBatchGetParams{})
	if err := m.doer.failed(ctx, x, err); err != nil {
		return state{}, err
	}
	st := batchState(*got)
	st.wait = retryAfter(x.header)
	return st, nil
}

func batchState(b anthropic.MessageBatch) state {
	c := b.RequestCounts
	done := int(c.Succeeded + c.Errored + c.Canceled + c.Expired)
	return state{remote: b.ID, size: done + int(c.Processing), done: done, ended: b.ProcessingStatus == anthropic.MessageBatchProcessingStatusEnded}
}

// recent lists batches, the newest first.
func (m *messagesAPI) recent(ctx context.Context, since time.Time) ([]state, error) {
	x := &exchange{}
	page, err := m.api.Messages.Batches.List(x.with(ctx), anthropic.MessageBatchListParams{Limit: param.NewOpt(int64(1000))})
	if err := m.doer.failed(ctx, x, err); err != nil {
		return nil, err
	}
	var list []state
	for _, b := range page.Data {
		if !b.CreatedAt.Before(since) {
			list = append(list, batchState(b))
		}
	}
	return list, nil
}

// results reads the results, in whatever order they come.
func (m *messagesAPI) results(ctx context.Context, s state, give func(result) error) error {
	x := &exchange{stream: true}
	stream := m.api.Messages.Batches.ResultsStreaming(x.with(ctx), s.remote, anthropic.MessageBatchResultsParams{})
	defer stream.Close()
	for stream.Next() {
		if err := give(m.result(stream.Current())); err != nil {
			return err
		}
	}
	return m.doer.failed(ctx, x, stream.Err())
}

func (m *messagesAPI) result(line anthropic.MessageBatchIndividualResponse) result {
	r := result{id: line.CustomID}
	switch line.Result.Type {
	case "succeeded":
		var err error
		r.reply, err = m.Read(m.doer.scrub([]byte(line.Result.Message.RawJSON())))
		if err != nil && !errors.As(err, &r.failure) {
			r.failure = &Error{Fault: Garbled, Provider: m.spec.Provider, Message: clip(m.doer.redact(err.Error()))}
		}
	case "errored":
		raw := []byte(line.Result.Error.RawJSON())
		kind := string(line.Result.AsErrored().Error.Error.Type)
		status := http.StatusBadRequest
		if kind == "api_error" || kind == "overloaded_error" || kind == "rate_limit_error" || kind == "timeout_error" {
			status = http.StatusInternalServerError
		}
		r.failure = m.doer.refuse(&exchange{status: status, raw: m.doer.scrub(raw)})
	default:
		r.failure = &Error{Fault: Expired, Provider: m.spec.Provider, Message: fmt.Sprintf("the batch says %q", line.Result.Type)}
	}
	return r
}

// row is r as it stands in a batch.
func (m *messagesAPI) row(id string, r Request) (anthropic.MessageBatchNewParamsRequest, error) {
	p, _, err := m.params(r)
	if err != nil {
		return anthropic.MessageBatchNewParamsRequest{}, err
	}
	if r.Temperature != nil {
		return anthropic.MessageBatchNewParamsRequest{}, errors.New("a batch takes no temperature: leave it out, or ask without mode=\"batch\"")
	}
	body, err := json.Marshal(p)
	if err != nil {
		return anthropic.MessageBatchNewParamsRequest{}, err
	}
	if body, err = addFields(body, r.Extra); err != nil {
		return anthropic.MessageBatchNewParamsRequest{}, err
	}
	return anthropic.MessageBatchNewParamsRequest{
		CustomID: id, Params: param.Override[anthropic.MessageBatchNewParamsRequestParams](json.RawMessage(body)),
	}, nil
}
