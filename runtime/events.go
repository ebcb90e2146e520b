package runtime

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// Bar records whether something that the author asserts holds. The run goes on.
func (r *Run) Bar(ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bars.all++
	if !ok {
		r.bars.failed++
	}
}

// Secret makes sure that value appears in no event and no record of the run.
func (r *Run) Secret(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(value) >= 6 && !slices.Contains(r.secrets, value) { // shorter ones occur by chance
		r.secrets = append(r.secrets, value)
	}
}

func (r *Run) redact(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.secrets {
		s = strings.ReplaceAll(s, v, "[secret]")
	}
	return s
}

// emit sends e to the store first, then to whoever watches.
func (r *Run) emit(e event.Event) {
	if r.plan != nil {
		return // nothing happens
	}
	e.Run, e.Time = r.ID, time.Now().UTC()
	if e.Text != "" {
		e.Text = r.redact(e.Text)
	}
	if len(e.Data) > 0 {
		e.Data = json.RawMessage(r.redact(string(e.Data)))
	}
	r.Store.Emit(e)
	if r.Sink != nil {
		r.Sink.Emit(e)
	}
}

// emitStep sends an event about a step. Name says which built-in it is.
func (r *Run) emitStep(key cas.Digest, spec Spec, e event.Event) {
	e.Step, e.Name, e.Cell, e.Line = key.String(), spec.Name, spec.Cell, spec.Line
	r.emit(e)
}

// usd is the Data of a step's event: what it cost, or what a hit saved.
func usd(v float64) json.RawMessage {
	if v == 0 {
		return nil
	}
	return json.RawMessage(fmt.Sprintf(`{"usd":%g}`, v))
}

// join returns the call with this fingerprint in this run, and whether the
// caller is the first, who must work and then close done.
func (r *Run) join(key cas.Digest) (c *call, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.calls[key]; ok {
		return c, false
	}
	r.seq++
	c = &call{seq: r.seq, done: make(chan struct{})}
	r.calls[key] = c
	return c, true
}

// forget lets the next call with this fingerprint try again.
func (r *Run) forget(key cas.Digest, c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[key] == c {
		delete(r.calls, key)
	}
}

func (r *Run) forgotten(key cas.Digest, c *call) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[key] != c
}

func (r *Run) isFresh(name string) bool {
	return slices.Contains(r.Fresh, name) || slices.Contains(r.Fresh, "all")
}

// use is the row that says how a step appeared in this run.
func (r *Run) use(c *call, key cas.Digest, spec Spec) store.Use {
	return store.Use{Run: r.ID, Seq: c.seq, Key: key, Cell: spec.Cell, Line: spec.Line, Name: spec.Name}
}
