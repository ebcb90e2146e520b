//go:build cuda && linux && amd64

package cuda

import (
	"slices"
	"unsafe"
)

// grain is what addresses and sizes in an arena are multiples of, in bytes.
const grain = 256

// arena shares out a few large pieces of device memory, so that the driver is
// asked rarely and never in the middle of a training.
type arena struct {
	pieces []span // as the driver gave them
	free   []span // by address; no two touch
	used   map[unsafe.Pointer]int
	inUse  int // bytes of what was taken
	held   int // bytes of the pieces
	peak   int // the most of held
}

type span struct {
	at unsafe.Pointer
	n  int
}

func (s span) end() unsafe.Pointer { return unsafe.Add(s.at, s.n) }

func round(n int) int { return (n + grain - 1) &^ (grain - 1) }

// add puts a piece of device memory into a. Its last grain stays unused, so that
// no gap reaches over the border of two pieces, which a copy may not.
func (a *arena) add(s span) {
	a.hold(s)
	a.insert(span{s.at, s.n - grain})
}

// hold counts a piece.
func (a *arena) hold(s span) {
	a.pieces = append(a.pieces, s)
	a.held += s.n
	a.peak = max(a.peak, a.held)
}

// take returns n bytes from the smallest gap that has them, or nil.
func (a *arena) take(n int) unsafe.Pointer {
	n = round(n)
	best := -1
	for i, s := range a.free {
		if s.n >= n && (best < 0 || s.n < a.free[best].n) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	s := &a.free[best]
	p := s.at
	if s.n == n {
		a.free = slices.Delete(a.free, best, best+1)
	} else {
		s.at, s.n = unsafe.Add(s.at, n), s.n-n
	}
	if a.used == nil {
		a.used = make(map[unsafe.Pointer]int)
	}
	a.used[p] = n
	a.inUse += n
	return p
}

// give takes back what take returned, and reports whether it did.
func (a *arena) give(p unsafe.Pointer) bool {
	n, ok := a.used[p]
	if !ok {
		return false
	}
	delete(a.used, p)
	a.inUse -= n
	a.insert(span{p, n})
	return true
}

// insert adds a gap and joins it with its neighbours.
func (a *arena) insert(s span) {
	i, _ := slices.BinarySearchFunc(a.free, s, func(x, y span) int {
		return int(uintptr(x.at)>>8) - int(uintptr(y.at)>>8)
	})
	if i < len(a.free) && s.end() == a.free[i].at {
		a.free[i] = span{s.at, s.n + a.free[i].n}
	} else {
		a.free = slices.Insert(a.free, i, s)
	}
	if i > 0 && a.free[i-1].end() == a.free[i].at {
		a.free[i-1].n += a.free[i].n
		a.free = slices.Delete(a.free, i, i+1)
	}
}

// unused returns the pieces of which nothing is taken.
func (a *arena) unused() []span {
	var list []span
	for _, p := range a.pieces {
		if slices.Contains(a.free, span{p.at, p.n - grain}) {
			list = append(list, p)
		}
	}
	return list
}

// remove forgets a piece that is unused.
func (a *arena) remove(p span) {
	a.held -= p.n
	a.pieces = slices.DeleteFunc(a.pieces, func(s span) bool { return s == p })
	a.free = slices.DeleteFunc(a.free, func(s span) bool { return s.at == p.at })
}
