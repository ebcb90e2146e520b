// Package stub is a provider to test against: a loopback server that speaks
// OpenAI's chat completions, files and batches and Anthropic's messages and message
// batches, with their headers and limits, keeps a ledger of what it was asked and
// would have billed, and plays faults. Its answers depend on nothing but the
// question. Replies have the shape of recorded ones.
package stub

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Options of a Server.
type Options struct {
	Latency time.Duration                        // of every answer
	Spread  bool                                 // Latency is the mean: an answer takes anything up to twice as long, by chance, the same each time
	Faults  func(question string, nth int) Fault // what happens to the nth asking of a question, from 1; nil: nothing
	Limits  Limits
	Answer  func(question string) string // nil: Say
	Key     string                       // the only one that is let in; "": anyone
	// BatchTime is how long a batch takes; BatchFate is what becomes of a row of it: "" is an answer.
	BatchTime time.Duration
	BatchFate func(question string) string
}

// Server is a running stub.
type Server struct {
	URL string // without /v1

	o      Options
	http   *http.Server
	limits *limiter
	done   chan struct{}
	ending sync.Mutex // held while a batch is ended

	mu      sync.Mutex // guards what follows
	entries map[string]*Entry
	flying  int
	peak    int
	batches map[string]*batch
	files   map[string][]byte
	order   []string // of batches
	down    string   // "lose": see LoseReply
}

// Entry is what happened to one question.
type Entry struct {
	Asked    int   // requests that arrived whole
	Answered int   // of them, answered in full, as far as the server knows
	Billed   int   // of them, those that would be on the invoice
	Input    int64 // tokens billed
	Output   int64
}

// Ledger is all that happened.
type Ledger struct {
	Entries map[string]Entry // by the digest of the conversation
	Asked   int
	Billed  int
	Input   int64
	Output  int64
	Peak    int // most requests in flight
}

// Start starts a stub on a port of its own.
func Start(o Options) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	if o.Answer == nil {
		o.Answer = Say
	}
	s := &Server{
		URL: "http://" + listener.Addr().String(), o: o, limits: newLimiter(o.Limits), done: make(chan struct{}),
		entries: map[string]*Entry{}, batches: map[string]*batch{}, files: map[string][]byte{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("POST /v1/messages", s.messages)
	mux.HandleFunc("POST /v1/files", s.upload)
	mux.HandleFunc("GET /v1/files/{id}/content", s.content)
	mux.HandleFunc("POST /v1/batches", s.createOpenAI)
	mux.HandleFunc("GET /v1/batches", s.listOpenAI)
	mux.HandleFunc("GET /v1/batches/{id}", s.getOpenAI)
	mux.HandleFunc("POST /v1/messages/batches", s.createAnthropic)
	mux.HandleFunc("GET /v1/messages/batches", s.listAnthropic)
	mux.HandleFunc("GET /v1/messages/batches/{id}", s.getAnthropic)
	mux.HandleFunc("GET /v1/messages/batches/{id}/results", s.results)
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(s.Ledger()) })
	s.http = &http.Server{Handler: s.admit(mux), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // returns when Close closes it
	}()
	return s, nil
}

// Close stops the server and drops its connections.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.done
	return err
}

// Main runs a stub in a process of its own until its standard input ends, and prints
// its URL. The ledger is at /ledger.
func Main(o Options) error {
	s, err := Start(o)
	if err != nil {
		return err
	}
	fmt.Println(s.URL)
	var b [1]byte
	_, _ = os.Stdin.Read(b[:])
	return s.Close()
}

// Ledger returns what happened so far.
func (s *Server) Ledger() Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := Ledger{Entries: map[string]Entry{}, Peak: s.peak}
	for k, e := range s.entries {
		l.Entries[k] = *e
		l.Asked += e.Asked
		l.Billed += e.Billed
		l.Input += e.Input
		l.Output += e.Output
	}
	return l
}

// admit counts who is inside and turns away whoever has the wrong key.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.flying++
		s.peak = max(s.peak, s.flying)
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.flying--
		}()
		if s.o.Key != "" && r.URL.Path != "/ledger" && r.Header.Get("Authorization") != "Bearer "+s.o.Key && r.Header.Get("X-Api-Key") != s.o.Key {
			play(w, r, faults["401"], s.o.Key)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Digest names a conversation in the ledger.
func Digest(question string) string {
	h := sha256.Sum256([]byte(question))
	return hex.EncodeToString(h[:8])
}

// asked notes that a question arrived, and returns how often it has by now.
func (s *Server) asked(question string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[Digest(question)]
	if e == nil {
		e = &Entry{}
		s.entries[Digest(question)] = e
	}
	e.Asked++
	return e.Asked
}

// latency is how long the nth answer to a question takes.
func (s *Server) latency(question string, nth int) time.Duration {
	if !s.o.Spread {
		return s.o.Latency
	}
	return time.Duration(2 * chance(0, nth, question) * float64(s.o.Latency))
}

// bill notes that a question was answered.
func (s *Server) bill(question string, t turn, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[Digest(question)]
	e.Billed++
	if whole {
		e.Answered++
	}
	e.Input += int64(t.input)
	e.Output += int64(t.output)
}

// message is one turn in either protocol.
type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a string, or a list of blocks.
type content string

// UnmarshalJSON implements json.Unmarshaler.
func (c *content) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*c = content(s)
		return nil
	}
	var blocks []struct{ Text string }
	_ = json.Unmarshal(b, &blocks) // what is no text has none
	for _, b := range blocks {
		*c += content(b.Text)
	}
	return nil
}

// conversation joins turns to the question that the ledger knows.
func conversation(list []message) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, m.Role+": "+string(m.Content))
	}
	return strings.Join(parts, "\n")
}

// turn is an answer with its tokens: four bytes each.
type turn struct {
	text          string
	input, output int
	cut           bool
}

// answer makes the turn that follows a conversation, within a limit of tokens.
func (s *Server) answer(list []message, limit int) turn {
	question := string(list[len(list)-1].Content)
	t := turn{text: s.o.Answer(question)}
	for _, m := range list {
		t.input += Tokens(string(m.Content)) + 4
	}
	t.output = Tokens(t.text)
	if limit > 0 && t.output > limit {
		t.text, t.output, t.cut = t.text[:min(len(t.text), 4*limit)], limit, true
	}
	return t
}

// Tokens is how the stub counts.
func Tokens(text string) int { return (len(text) + 3) / 4 }

// Say is the stub's usual answer: some 10 to 150 words that follow from the question.
func Say(question string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(question))
	n := h.Sum64()
	var b strings.Builder
	fmt.Fprintf(&b, "The answer to %q is %d.", question, n%1000)
	for i := range n % 140 {
		fmt.Fprintf(&b, " word%d", (n>>8+i)%977)
	}
	return b.String()
}
