package stats

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// McNemar is the exact two-sided p-value of the hypothesis that two models
// differ by chance, when lost items went from pass to fail and won ones from
// fail to pass: twice the smaller binomial tail at one half, at most 1.
func McNemar(lost, won int) float64 {
	n, k := float64(lost+won), float64(min(lost, won))
	if lost == won {
		return 1
	}
	// The terms C(n,i)/2^n fall quickly below i = k: they are summed from the
	// largest down, each from the one before, until they no longer count.
	logTerm := lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) - n*math.Ln2
	sum, term := 0.0, 1.0
	for i := k; i >= 0 && term > sum*1e-17; i-- {
		sum += term
		term *= i / (n - i + 1)
	}
	return math.Min(1, 2*math.Exp(logTerm+math.Log(sum)))
}

// MidP is McNemar's test with only half of the observed split counted: not
// conservative as the exact one, and close to the error that it promises
// (Fagerland, Lydersen and Laake 2013).
func MidP(lost, won int) float64 {
	n, k := float64(lost+won), float64(min(lost, won))
	if lost == won {
		return 1
	}
	observed := math.Exp(lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) - n*math.Ln2)
	return McNemar(lost, won) - observed
}

// SignFlip is the two-sided p-value of the hypothesis that two models differ by
// chance where items come in clusters: how often the sum of the differences is
// as far from 0 if each cluster's sign is tossed. It is drawn, rounds times,
// from seed.
func SignFlip(before, after []float64, cluster []string, rounds int, seed uint64) float64 {
	sums, _ := clusters(before, after, cluster)
	sums = slices.DeleteFunc(sums, func(s float64) bool { return s == 0 })
	total := 0.0
	for _, s := range sums {
		total += s
	}
	r := rand.New(rand.NewPCG(seed, 0xf11b))
	far := 1 // the observed signs are one of the draws
	for range rounds {
		sum := 0.0
		for _, s := range sums {
			if r.Uint64()&1 == 0 {
				s = -s
			}
			sum += s
		}
		if math.Abs(sum) >= math.Abs(total)-1e-9 {
			far++
		}
	}
	return float64(far) / float64(rounds+1)
}

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// Bootstrap says how a bootstrap is drawn. The zero value means 10,000 rounds
// at level 0.95 with seed 0 and every item on its own.
type Bootstrap struct {
	Rounds  int
	Level   float64
	Seed    uint64
	Cluster []string // items of one name are drawn together (variants of one question)
}

// PairedDifference is the mean of after-before over the same items, and its
// percentile bootstrap interval. Items, or clusters of them, are drawn with
// replacement; the same seed gives the same interval.
func PairedDifference(before, after []float64, o Bootstrap) (float64, Interval, error) {
	if len(before) != len(after) || len(before) == 0 {
		return 0, Interval{}, fmt.Errorf("stats: paired difference of %d and %d scores: both models must have answered the same items", len(before), len(after))
	}
	if o.Cluster != nil && len(o.Cluster) != len(before) {
		return 0, Interval{}, fmt.Errorf("stats: paired difference: %d cluster names for %d scores", len(o.Cluster), len(before))
	}
	sums, sizes := clusters(before, after, o.Cluster)
	total := 0.0
	for _, s := range sums {
		total += s
	}
	rounds, level := cmp.Or(o.Rounds, 10_000), cmp.Or(o.Level, 0.95)
	r := rand.New(rand.NewPCG(o.Seed, 0x5eed))
	means := make([]float64, rounds)
	for i := range means {
		sum, n := 0.0, 0
		for range sums {
			c := r.IntN(len(sums))
			sum += sums[c]
			n += sizes[c]
		}
		means[i] = sum / float64(n)
	}
	slices.Sort(means)
	tail := (1 - level) / 2
	return total / float64(len(before)), Interval{at(means, tail), at(means, 1-tail)}, nil
}

// clusters adds up the differences of each cluster, in order of first sight.
func clusters(before, after []float64, names []string) (sums []float64, sizes []int) {
	index := map[string]int{}
	for i := range before {
		c := len(sums)
		if names != nil {
			if known, ok := index[names[i]]; ok {
				c = known
			} else {
				index[names[i]] = c
			}
		}
		if c == len(sums) {
			sums, sizes = append(sums, 0), append(sizes, 0)
		}
		sums[c] += after[i] - before[i]
		sizes[c]++
	}
	return sums, sizes
}

// at is the quantile q of sorted values, between the two nearest.
func at(sorted []float64, q float64) float64 {
	x := q * float64(len(sorted)-1)
	lo := int(x)
	hi := min(lo+1, len(sorted)-1)
	return sorted[lo] + (x-float64(lo))*(sorted[hi]-sorted[lo])
}
