package stub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// batch is a batch of either protocol.
type batch struct {
	id       string
	created  time.Time
	metadata map[string]any
	file     string
	rows     []batchRow
	openai   bool
	output   []byte // once it has ended
	errors   []byte
	counts   map[string]int
}

type batchRow struct {
	ID       string
	Model    string
	Messages []message
	Limit    int
}

// Fates of a row in a batch, besides "", an answer.
const (
	FateExpired = "expired"      // its turn did not come
	FateError   = "error"        // the request is at fault
	FateBusy    = "server_error" // the server is
	FateMissing = "missing"      // nothing comes back at all
)

// Batches counts the batches that arrived.
func (s *Server) Batches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

// LoseReply makes the next creation of a batch arrive, and its reply not.
func (s *Server) LoseReply() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = "lose"
}

// add takes a batch in and reports whether its reply is to be lost.
func (s *Server) add(b *batch) (lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.created = time.Now()
	b.id = fmt.Sprintf("batch_%04d", len(s.batches)+1)
	if !b.openai {
		b.id = "msg" + b.id
	}
	s.batches[b.id] = b
	s.order = append(s.order, b.id)
	lose = s.down == "lose"
	s.down = ""
	return lose
}

// find returns a batch, and ends it if it is time.
func (s *Server) find(id string, openai bool) *batch {
	s.mu.Lock()
	b := s.batches[id]
	s.mu.Unlock()
	if b == nil || b.openai != openai {
		return nil
	}
	s.ending.Lock()
	defer s.ending.Unlock()
	if time.Since(b.created) >= s.o.BatchTime && b.counts == nil {
		s.end(b)
	}
	return b
}

// end answers the rows of a batch, in an order that is not theirs.
func (s *Server) end(b *batch) {
	b.counts = map[string]int{}
	rows := slices.Clone(b.rows)
	slices.Reverse(rows)
	var out, bad bytes.Buffer
	for _, r := range rows {
		question := conversation(r.Messages)
		s.asked(question)
		fate := ""
		if s.o.BatchFate != nil {
			fate = s.o.BatchFate(question)
		}
		b.counts[fate]++
		t := s.answer(r.Messages, r.Limit)
		if fate == "" {
			s.bill(question, t, true)
		}
		switch {
		case fate == FateMissing:
		case b.openai:
			openAILine(&out, &bad, r, t, fate)
		default:
			anthropicLine(&out, r, t, fate)
		}
	}
	b.output, b.errors = out.Bytes(), bad.Bytes()
}

func openAILine(out, bad *bytes.Buffer, r batchRow, t turn, fate string) {
	line := map[string]any{"id": "batch_req_" + r.ID, "custom_id": r.ID, "error": nil}
	switch fate {
	case "":
		line["response"] = map[string]any{"status_code": 200, "request_id": "req", "body": json.RawMessage(chatBody(r.Model, t, ""))}
		out.Write(append(encode(line), '\n'))
		return
	case FateExpired:
		line["response"] = nil
		line["error"] = map[string]any{"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
	case FateError:
		line["response"] = map[string]any{"status_code": 400, "body": json.RawMessage(openaiError("invalid_request_error", "context_length_exceeded", "too long"))}
	default:
		line["response"] = map[string]any{"status_code": 500, "body": json.RawMessage(openaiError("server_error", "", "try again"))}
	}
	bad.Write(append(encode(line), '\n'))
}

func anthropicLine(out *bytes.Buffer, r batchRow, t turn, fate string) {
	result := map[string]any{"type": "errored"}
	switch fate {
	case "":
		result["type"], result["message"] = "succeeded", json.RawMessage(messageBody(r.Model, t, "batch"))
	case FateExpired:
		result["type"] = "expired"
	case FateError:
		result["error"] = json.RawMessage(anthropicError("invalid_request_error", "prompt is too long: 300000 tokens > 200000 maximum"))
	default:
		result["error"] = json.RawMessage(anthropicError("api_error", "Internal server error"))
	}
	out.Write(append(encode(map[string]any{"custom_id": r.ID, "result": result}), '\n'))
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	f, header, err := r.FormFile("file")
	if err != nil || r.FormValue("purpose") != "batch" {
		play(w, r, faults["400"], "")
		return
	}
	defer f.Close()
	b, _ := io.ReadAll(f)
	s.mu.Lock()
	id := fmt.Sprintf("file-%04d", len(s.files)+1)
	s.files[id] = b
	s.mu.Unlock()
	_, _ = w.Write(encode(map[string]any{
		"object": "file", "id": id, "purpose": "batch", "filename": header.Filename, "bytes": len(b),
		"created_at": time.Now().Unix(), "status": "processed", "status_details": nil,
	}))
}

func (s *Server) content(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		if id == "file-out-"+b.id {
			_, _ = w.Write(b.output)
			return
		}
		if id == "file-err-"+b.id {
			_, _ = w.Write(b.errors)
			return
		}
	}
	_, _ = w.Write(s.files[id])
}

func (s *Server) createOpenAI(w http.ResponseWriter, r *http.Request) {
	var q struct {
		File     string         `json:"input_file_id"`
		Endpoint string         `json:"endpoint"`
		Window   string         `json:"completion_window"`
		Metadata map[string]any `json:"metadata"`
	}
	err := json.NewDecoder(r.Body).Decode(&q)
	s.mu.Lock()
	file := s.files[q.File]
	s.mu.Unlock()
	if err != nil || file == nil || q.Endpoint != "/v1/chat/completions" || q.Window != "24h" {
		play(w, r, faults["400"], "")
		return
	}
	b := &batch{openai: true, metadata: q.Metadata, file: q.File}
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			ID   string      `json:"custom_id"`
			Body chatRequest `json:"body"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			b.rows = append(b.rows, batchRow{line.ID, line.Body.Model, line.Body.Messages, max(line.Body.MaxTokens, line.Body.MaxNew)})
		}
	}
	if s.add(b) {
		reset(w, r, Fault{})
		return
	}
	_, _ = w.Write(encode(b.describeOpenAI()))
}

func (b *batch) describeOpenAI() map[string]any {
	d := map[string]any{
		"id": b.id, "object": "batch", "endpoint": "/v1/chat/completions", "errors": nil, "input_file_id": b.file, "completion_window": "24h",
		"status": "in_progress", "output_file_id": nil, "error_file_id": nil, "created_at": b.created.Unix(), "metadata": b.metadata,
		"request_counts": map[string]int{"total": len(b.rows), "completed": 0, "failed": 0},
	}
	if b.counts != nil {
		d["status"] = "completed"
		if b.counts[FateExpired] > 0 {
			d["status"] = "expired"
		}
		if len(b.output) > 0 {
			d["output_file_id"] = "file-out-" + b.id
		}
		if len(b.errors) > 0 {
			d["error_file_id"] = "file-err-" + b.id
		}
		d["request_counts"] = map[string]int{"total": len(b.rows), "completed": b.counts[""], "failed": len(b.rows) - b.counts[""]}
	}
	return d
}

func (s *Server) getOpenAI(w http.ResponseWriter, r *http.Request) {
	b := s.find(r.PathValue("id"), true)
	if b == nil {
		play(w, r, faults["no model"], "")
		return
	}
	_, _ = w.Write(encode(b.describeOpenAI()))
}

// newest lists the batches of one protocol, the newest first.
func (s *Server) newest(openai bool) []*batch {
	s.mu.Lock()
	order := slices.Clone(s.order)
	s.mu.Unlock()
	var list []*batch
	for _, id := range slices.Backward(order) {
		if b := s.find(id, openai); b != nil {
			list = append(list, b)
		}
	}
	return list
}

func (s *Server) listOpenAI(w http.ResponseWriter, _ *http.Request) {
	data := []any{}
	for _, b := range s.newest(true) {
		data = append(data, b.describeOpenAI())
	}
	_, _ = w.Write(encode(map[string]any{"object": "list", "data": data, "has_more": false}))
}

func (s *Server) createAnthropic(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Requests []struct {
			ID     string          `json:"custom_id"`
			Params messagesRequest `json:"params"`
		} `json:"requests"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || len(q.Requests) == 0 {
		play(w, r, faults["400"], "")
		return
	}
	b := &batch{}
	for _, x := range q.Requests {
		b.rows = append(b.rows, batchRow{x.ID, x.Params.Model, x.Params.all(), x.Params.MaxTokens})
	}
	if s.add(b) {
		reset(w, r, Fault{})
		return
	}
	_, _ = w.Write(encode(b.describeAnthropic("http://" + r.Host)))
}

func (b *batch) describeAnthropic(base string) map[string]any {
	counts := map[string]int{"processing": len(b.rows), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
	d := map[string]any{
		"id": b.id, "type": "message_batch", "processing_status": "in_progress", "request_counts": counts, "ended_at": nil,
		"created_at": b.created.UTC().Format(time.RFC3339Nano), "expires_at": b.created.Add(24 * time.Hour).UTC().Format(time.RFC3339Nano),
		"archived_at": nil, "cancel_initiated_at": nil, "results_url": nil,
	}
	if b.counts != nil {
		counts["processing"], counts["succeeded"], counts["expired"] = 0, b.counts[""], b.counts[FateExpired]
		counts["errored"] = len(b.rows) - b.counts[""] - b.counts[FateExpired]
		d["processing_status"], d["ended_at"] = "ended", time.Now().UTC().Format(time.RFC3339Nano)
		d["results_url"] = base + "/v1/messages/batches/" + b.id + "/results"
	}
	return d
}

func (s *Server) getAnthropic(w http.ResponseWriter, r *http.Request) {
	b := s.find(r.PathValue("id"), false)
	if b == nil {
		play(w, r, faults["no model"], "")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(b.describeAnthropic("http://" + r.Host)))
}

func (s *Server) listAnthropic(w http.ResponseWriter, r *http.Request) {
	data := []any{}
	for _, b := range s.newest(false) {
		data = append(data, b.describeAnthropic("http://"+r.Host))
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(map[string]any{"data": data, "has_more": false, "first_id": nil, "last_id": nil}))
}

func (s *Server) results(w http.ResponseWriter, r *http.Request) {
	b := s.find(strings.TrimSuffix(r.PathValue("id"), "/"), false)
	if b == nil || b.counts == nil {
		play(w, r, faults["no model"], "")
		return
	}
	w.Header().Set("Content-Type", "application/x-jsonl")
	_, _ = w.Write(b.output)
}
