package sweep

import (
	"math/rand/v2"
)

// Trial is a point and what it came to.
type Trial struct {
	Point  Point
	Value  float64 // the objective, if it is Valued
	Failed bool
	Pruned string  // why a Pruner ended it; "": none did
	Curves []Curve // of its trainings, if there is a Pruner
}

// Valued reports whether the trial came to its end.
func (t Trial) Valued() bool { return !t.Failed && t.Pruned == "" }

// Sampler proposes trials.
type Sampler interface {
	// Next returns the point of trial i, given the trials that it may know, in their
	// order. False ends the sweep.
	Next(i int, over []Trial) (Point, bool)
}

// Grid proposes every point of a countable Space once.
type Grid struct{ Space Space }

// Next implements Sampler.
func (g Grid) Next(i int, _ []Trial) (Point, bool) {
	if i >= g.Space.Size() {
		return nil, false
	}
	return g.Space.At(i), true
}

// Random proposes Trials points at random, of a countable Space none twice.
type Random struct {
	Space  Space
	Trials int
	Seed   uint64
}

// Next implements Sampler.
func (s Random) Next(i int, _ []Trial) (Point, bool) {
	n := s.Space.Size()
	switch {
	case i >= s.Trials || n > 0 && i >= n:
		return nil, false
	case n > 0 && n <= maxPermuted:
		return s.Space.At(rand.New(rand.NewPCG(s.Seed, 0)).Perm(n)[i]), true
	}
	return s.Space.Draw(rand.New(rand.NewPCG(s.Seed, uint64(i)))), true
}

// maxPermuted bounds the spaces that are shuffled whole; in a larger one a point
// hardly comes twice.
const maxPermuted = 1 << 16
