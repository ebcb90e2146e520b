package cpu

import (
	"sync"
	"sync/atomic"
)

// pool is the threads of a device: the goroutine that calls, which is worker
// 0, and others that wait for work, first spinning and then asleep. A region
// of work does not wait for a worker that has not woken up by the time all is
// done, as happens when other programs keep the cores busy.
type pool struct {
	workers int
	work    func(worker int) // of the open region
	state   atomic.Int64     // region<<16 | open<<15 | how many others are in it
	wake    []chan struct{}
	asleep  []atomic.Bool
	waiting atomic.Bool // the caller sleeps until the last worker sends to left
	left    chan struct{}
	done    sync.WaitGroup
}

const (
	open   = 1 << 15
	region = 1 << 16
	spins  = 20_000 // loads before going to sleep: some 20 µs
)

func newPool(workers int) *pool {
	p := &pool{workers: workers, wake: make([]chan struct{}, workers), asleep: make([]atomic.Bool, workers), left: make(chan struct{}, 1)}
	for w := 1; w < workers; w++ {
		p.wake[w] = make(chan struct{}, 1)
		p.done.Add(1)
		go p.serve(w)
	}
	return p
}

// run calls work on every worker that comes in time, and returns when all
// calls have.
func (p *pool) run(work func(worker int)) {
	p.work = work
	p.state.Store(p.state.Load()&^(region-1) + region | open)
	for w := 1; w < p.workers; w++ {
		if p.asleep[w].CompareAndSwap(true, false) {
			p.wake[w] <- struct{}{}
		}
	}
	work(0)
	for s := p.state.Load(); !p.state.CompareAndSwap(s, s&^open); s = p.state.Load() {
	}
	p.wait()
	p.work = nil
}

// wait returns when the others have left the closed region. It spins for as
// long as one piece of work may take, and then sleeps: runtime.Gosched would wake another
// thread each time, which takes a core from those at work.
func (p *pool) wait() {
	for range 10 * spins {
		if p.state.Load()&(open-1) == 0 {
			return
		}
	}
	p.waiting.Store(true)
	if p.state.Load()&(open-1) != 0 || !p.waiting.CompareAndSwap(true, false) {
		<-p.left
	}
}

// serve takes part in regions until the pool is closed.
func (p *pool) serve(w int) {
	defer p.done.Done()
	seen := int64(0)
	for {
		s := p.next(w, seen)
		if s < 0 {
			return
		}
		seen = s / region
		if s&open != 0 && p.state.CompareAndSwap(s, s+1) {
			p.work(w)
			if p.state.Add(-1)&(region-1) == 0 && p.waiting.CompareAndSwap(true, false) {
				p.left <- struct{}{}
			}
		} else if s&open != 0 {
			seen-- // others came or went: look again
		}
	}
}

// next waits for a state of a region other than seen and returns it, or -1
// when the pool is closed.
func (p *pool) next(w int, seen int64) int64 {
	for n := 0; ; n++ {
		if s := p.state.Load(); s < 0 || s/region != seen {
			return s
		}
		if n < spins {
			continue
		}
		p.asleep[w].Store(true)
		if s := p.state.Load(); s >= 0 && s/region == seen {
			<-p.wake[w]
		} else if !p.asleep[w].CompareAndSwap(true, false) {
			<-p.wake[w] // the wake-up call is on its way
		}
		n = 0
	}
}

func (p *pool) close() {
	p.state.Store(-1)
	for w := 1; w < p.workers; w++ {
		if p.asleep[w].CompareAndSwap(true, false) {
			p.wake[w] <- struct{}{}
		}
	}
	p.done.Wait()
}

// each calls work with ranges that together make up [0, n), each of them a
// multiple of grain but for the last. It takes the calling goroutine alone if
// there is only one worker, or one range.
func (p *pool) each(n, grain int, work func(from, to, worker int)) {
	if n <= grain || p.workers == 1 {
		alone(n, grain, work)
		return
	}
	var next atomic.Int64
	p.run(func(worker int) {
		for {
			from := int(next.Add(int64(grain))) - grain
			if from >= n {
				return
			}
			work(from, min(from+grain, n), worker)
		}
	})
}

// alone is each on the calling goroutine.
func alone(n, _ int, work func(from, to, worker int)) {
	if n > 0 {
		work(0, n, 0)
	}
}
