package teacher

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	openai "github.com/sashabaranov/go-openai"
)

var _ service = (*openAI)(nil)

// batchName is the field of a batch's metadata that holds our name for it.
const batchName = "starbook"

// batchLine is a line of the file that a batch is made of.
type batchLine json.RawMessage

// MarshalBatchLineItem implements openai.BatchLineItem.
func (l batchLine) MarshalBatchLineItem() []byte { return l }

// submit uploads the file, then makes the batch.
func (o *openAI) submit(ctx context.Context, name string, rows []Request) (string, error) {
	file := openai.UploadBatchFileRequest{FileName: name + ".jsonl"}
	for i, r := range rows {
		line, err := o.line(customID(name, i), r)
		if err != nil {
			return "", &Error{Fault: Rejected, Provider: o.spec.Provider, Message: err.Error(), err: err}
		}
		file.Lines = append(file.Lines, line)
	}
	x := &exchange{}
	uploaded, err := o.api.UploadBatchFile(x.with(ctx), file)
	if err := o.doer.failed(ctx, x, err); err != nil {
		return "", err
	}
	x = &exchange{}
	got, err := o.api.CreateBatch(x.with(ctx), openai.CreateBatchRequest{
		InputFileID: uploaded.ID, Endpoint: openai.BatchEndpointChatCompletions, CompletionWindow: "24h", Metadata: map[string]any{batchName: name},
	})
	if err := o.doer.failed(ctx, x, err); err != nil {
		return "", err
	}
	return got.ID, nil
}

func (o *openAI) line(id string, r Request) (batchLine, error) {
	sent, extra, err := o.chat(r)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(sent)
	if err != nil {
		return nil, err
	}
	if body, err = addFields(body, extra); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"custom_id": id, "method": "POST", "url": openai.BatchEndpointChatCompletions, "body": json.RawMessage(body)})
}

// look returns how far a batch is.
func (o *openAI) look(ctx context.Context, remote string) (state, error) {
	x := &exchange{}
	got, err := o.api.RetrieveBatch(x.with(ctx), remote)
	if err := o.doer.failed(ctx, x, err); err != nil {
		return state{}, err
	}
	st := openAIState(got.Batch)
	st.wait = retryAfter(x.header)
	return st, nil
}

func openAIState(b openai.Batch) state {
	c := b.RequestCounts
	st := state{remote: b.ID, size: c.Total, done: c.Completed + c.Failed}
	st.name, _ = b.Metadata[batchName].(string)
	switch b.Status {
	case "completed", "expired", "cancelled", "failed":
		st.ended = true
	}
	if b.Status == "failed" {
		st.why = "the batch failed"
		if b.Errors != nil && len(b.Errors.Data) > 0 {
			st.why += ": " + clip(b.Errors.Data[0].Message)
		}
	}
	for _, id := range []*string{b.OutputFileID, b.ErrorFileID} {
		if id != nil && *id != "" {
			st.files = append(st.files, *id)
		}
	}
	return st
}

// recent lists batches, the newest first, page by page until since.
func (o *openAI) recent(ctx context.Context, since time.Time) ([]state, error) {
	var list []state
	var after *string
	limit := 100
	for {
		x := &exchange{}
		page, err := o.api.ListBatch(x.with(ctx), after, &limit)
		if err := o.doer.failed(ctx, x, err); err != nil {
			return nil, err
		}
		for _, b := range page.Data {
			if int64(b.CreatedAt) < since.Unix() {
				return list, nil
			}
			list = append(list, openAIState(b))
		}
		if !page.HasMore || page.LastID == "" {
			return list, nil
		}
		after = &page.LastID
	}
}

// results reads the output file and the file of errors.
func (o *openAI) results(ctx context.Context, s state, give func(result) error) error {
	for _, file := range s.files {
		if err := o.lines(ctx, file, give); err != nil {
			return err
		}
	}
	return nil
}

func (o *openAI) lines(ctx context.Context, file string, give func(result) error) error {
	x := &exchange{stream: true}
	body, err := o.api.GetFileContent(x.with(ctx), file)
	if err := o.doer.failed(ctx, x, err); err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewReaderSize(body, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 1 {
			if err := give(o.result(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &Error{Fault: CutOff, Provider: o.spec.Provider, Message: clip(err.Error()), err: err}
		}
	}
}

// result reads a line of either file.
func (o *openAI) result(line []byte) result {
	var l struct {
		ID       string `json:"custom_id"`
		Response *struct {
			Status int             `json:"status_code"`
			Body   json.RawMessage `json:"body"`
		} `json:"response"`
		Error *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return result{} // nobody's: the row counts as not answered
	}
	r := result{id: l.ID}
	switch {
	case l.Response == nil:
		r.failure = &Error{Fault: Expired, Provider: o.spec.Provider}
		if l.Error != nil {
			r.failure.Code, r.failure.Message = l.Error.Code, clip(l.Error.Message)
		}
	case l.Response.Status != http.StatusOK:
		r.failure = o.doer.refuse(&exchange{status: l.Response.Status, raw: o.doer.scrub(l.Response.Body)})
	default:
		var err error
		r.reply, err = o.Read(o.doer.scrub(l.Response.Body))
		if err != nil && !errors.As(err, &r.failure) {
			r.failure = &Error{Fault: Garbled, Provider: o.spec.Provider, Message: fmt.Sprintf("a line of the results: %v", err)}
		}
	}
	return r
}
