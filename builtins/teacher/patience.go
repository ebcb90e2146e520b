package teacher

import (
	"slices"
	"sync"
	"time"
)

// patience learns from the last replies how long to wait for the next one to
// begin: a connection that is open at one end only would hold its slot until the
// last deadline.
type patience struct {
	mu    sync.Mutex
	last  [128]time.Duration // what the last replies took, in a ring
	n     int                // replies seen
	limit time.Duration      // as computed last
}

// enough replies to know what is usual.
const enough = 48

// deadline returns how long a reply may take to begin.
func (p *patience) deadline(d Deadlines) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n < enough {
		return d.Total
	}
	return min(max(p.limit, d.Reply), d.Total)
}

// watch calls giveUp if a reply does not begin in time, unless begun is called before.
// What is usual may be learnt while it waits: the first requests of a run know nothing.
func (p *patience) watch(d Deadlines, giveUp func()) (begun func()) {
	var mu sync.Mutex
	var timer *time.Timer // nil: the reply has begun
	since := time.Now()
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if timer == nil {
			return
		}
		left := p.deadline(d) - time.Since(since)
		if left <= 0 {
			giveUp()
			return
		}
		timer.Reset(min(left, d.Reply))
	}
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(min(d.Reply, d.Total), look)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		timer.Stop()
		timer = nil
	}
}

func (p *patience) add(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[p.n%len(p.last)] = took
	p.n++
	if p.n >= enough && p.n%16 == 0 {
		sorted := slices.Clone(p.last[:min(p.n, len(p.last))])
		slices.Sort(sorted)
		p.limit = 4 * sorted[len(sorted)*99/100]
	}
}
