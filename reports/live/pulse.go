package live

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"starbook/runtime/store"
)

const (
	pulseEvery = 250 * time.Millisecond // how often the store is looked at
	heartbeat  = 15 * time.Second       // what a silent connection says, so that nobody on the way cuts it
)

// pulse tells whoever waits that the store has changed.
type pulse struct {
	mu   sync.Mutex
	n    int64         // changes so far
	next chan struct{} // closed at the next change
}

func newPulse() *pulse { return &pulse{next: make(chan struct{})} }

// now returns the number of changes so far and a channel that is closed at the next.
func (p *pulse) now() (int64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, p.next
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	close(p.next)
	p.next = make(chan struct{})
}

// follow beats when the store was written to, or a run's process has died, which writes
// nothing.
func (p *pulse) follow(ctx context.Context, st *store.Store, w *store.Watch) {
	ticks := time.NewTicker(pulseEvery)
	defer ticks.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		version, err := w.Version(ctx)
		if err != nil {
			continue // a busy disk; the next look may do better
		}
		alive, err := st.Alive()
		if err != nil {
			continue
		}
		if state := fmt.Sprint(version, strings.Join(alive, " ")); state != last {
			last = state
			p.beat()
		}
	}
}

// changes streams a line for each change, as server-sent events.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	say := func(line string) bool {
		_, err := fmt.Fprint(w, line)
		return err == nil && out.Flush() == nil
	}
	n, next := s.pulse.now()
	for ok := say(fmt.Sprintf("retry: 1000\ndata: %d\n\n", n)); ok; {
		select {
		case <-r.Context().Done():
			return
		case <-next:
			n, next = s.pulse.now()
			ok = say(fmt.Sprintf("data: %d\n\n", n))
		case <-time.After(heartbeat):
			ok = say(":\n\n")
		}
	}
}
