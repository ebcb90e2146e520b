package sweep

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// TPE proposes points that are likely under the good trials and unlikely under the
// others: the tree-structured Parzen estimator of Bergstra et al., "Algorithms for
// Hyper-Parameter Optimization" (NIPS 2011), each dimension by itself. The first
// Startup trials are random.
type TPE struct {
	Space    Space
	Trials   int
	Seed     uint64
	Maximize bool
	Startup  int // 0: 10
}

// candidates is how many points are drawn from the good ones' density, of which the
// most promising is proposed.
const candidates = 24

// Next implements Sampler.
func (s TPE) Next(i int, over []Trial) (Point, bool) {
	n := s.Space.Size()
	if i >= s.Trials || n > 0 && i >= n {
		return nil, false
	}
	startup := s.Startup
	if startup == 0 {
		startup = 10
	}
	if i < startup || len(over) < 2 {
		return Random{s.Space, s.Trials, s.Seed}.Next(i, nil)
	}
	r := rand.New(rand.NewPCG(s.Seed, uint64(i)))
	good, rest := s.split(over)
	met := map[string]bool{}
	for _, t := range over {
		met[t.Point.key()] = true
	}
	var best Point
	score := math.Inf(-1)
	for range candidates {
		p, gain := make(Point, len(s.Space)), 0.0
		for k, d := range s.Space {
			p[k], gain = d.propose(r, good, rest, k, gain)
		}
		if gain > score && !met[p.key()] {
			best, score = p, gain
		}
	}
	for try := 0; best == nil && try < 1000; try++ { // all candidates are known: look elsewhere
		if p := s.Space.Draw(r); !met[p.key()] {
			best = p
		}
	}
	return best, best != nil
}

// split returns the better quarter of the trials, 25 at most, and the others. Pruned
// ones are worse than those that came to their end, failed ones the worst.
func (s TPE) split(over []Trial) (good, rest []Trial) {
	sorted := slices.Clone(over)
	slices.SortStableFunc(sorted, func(a, b Trial) int {
		if d := cmp.Compare(a.rank(), b.rank()); d != 0 || !a.Valued() {
			return d
		}
		if s.Maximize {
			a, b = b, a
		}
		return cmp.Compare(a.Value, b.Value)
	})
	n := min((len(sorted)+3)/4, 25)
	return sorted[:n], sorted[n:]
}

// rank is 0 of a trial with a value, 1 of a pruned and 2 of a failed one.
func (t Trial) rank() int {
	switch {
	case t.Failed:
		return 2
	case t.Pruned != "":
		return 1
	}
	return 0
}

// propose draws a value of dimension k from the good trials and adds the logarithm of
// how much likelier it is among them to gain.
func (d Dimension) propose(r *rand.Rand, good, rest []Trial, k int, gain float64) (any, float64) {
	if d.Choices != nil {
		g, o := d.frequencies(good, k), d.frequencies(rest, k)
		c := pick(r, g)
		return d.Choices[c], gain + math.Log(g[c]/o[c])
	}
	g, o := d.parzen(good, k), d.parzen(rest, k)
	v := d.value(g.draw(r))
	x := d.position(v)
	return v, gain + g.logDensity(x) - o.logDensity(x)
}

// frequencies returns how often each choice occurs, as if each had occurred once more.
func (d Dimension) frequencies(trials []Trial, k int) []float64 {
	f := make([]float64, len(d.Choices))
	for c, v := range d.Choices {
		f[c] = 1
		for _, t := range trials {
			if t.Point[k] == v {
				f[c]++
			}
		}
		f[c] /= float64(len(trials) + len(d.Choices))
	}
	return f
}

// pick returns an index with the probability that p gives it.
func pick(r *rand.Rand, p []float64) int {
	x := r.Float64()
	for i, q := range p {
		if x -= q; x < 0 {
			return i
		}
	}
	return len(p) - 1
}

// parzen is a density on a range: a broad bell for the prior and one for each trial,
// as wide as its farther neighbour is away, all cut off at the ends and of equal weight.
type parzen struct {
	lo, hi        float64
	means, widths []float64
}

func (d Dimension) parzen(trials []Trial, k int) parzen {
	p := parzen{}
	p.lo, p.hi = d.scale()
	span := p.hi - p.lo
	for _, t := range trials {
		p.means = append(p.means, d.position(t.Point[k]))
	}
	slices.Sort(p.means)
	floor := span / min(100, float64(len(p.means)+1))
	for i, x := range p.means {
		left, right := x-p.lo, p.hi-x
		if i > 0 {
			left = x - p.means[i-1]
		}
		if i+1 < len(p.means) {
			right = p.means[i+1] - x
		}
		p.widths = append(p.widths, min(max(left, right, floor), span))
	}
	p.means, p.widths = append(p.means, (p.lo+p.hi)/2), append(p.widths, span)
	return p
}

func (p parzen) draw(r *rand.Rand) float64 {
	i := r.IntN(len(p.means))
	for range 100 {
		if x := p.means[i] + p.widths[i]*r.NormFloat64(); x >= p.lo && x <= p.hi {
			return x
		}
	}
	return p.means[i]
}

func (p parzen) logDensity(x float64) float64 {
	sum := 0.0
	for i, mean := range p.means {
		w := p.widths[i]
		inside := phi((p.hi-mean)/w) - phi((p.lo-mean)/w)
		z := (x - mean) / w
		sum += math.Exp(-z*z/2) / (w * math.Sqrt(2*math.Pi) * inside)
	}
	return math.Log(max(sum/float64(len(p.means)), 1e-300))
}

// phi is the normal distribution function.
func phi(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
