// Package stats says how sure a pass rate is, and a difference of two: intervals and tests
// that built-ins and reports share.
package stats

import "math"

// Interval is a confidence interval.
type Interval struct{ Lo, Hi float64 }

// Wilson is the score interval of a pass rate of k out of n at a level such as
// 0.95 (Wilson 1927; the one Brown, Cai and DasGupta 2001 advise). With n = 0
// nothing is known: [0, 1].
func Wilson(k, n int, level float64) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	iv := wilson(float64(k)/float64(n), float64(n), level)
	if k == 0 {
		iv.Lo = 0 // exactly, not 1e-18
	}
	if k == n {
		iv.Hi = 1
	}
	return iv
}

func wilson(p, m, level float64) Interval {
	z := quantile(1 - (1-level)/2)
	zz := z * z
	mid := (p + zz/(2*m)) / (1 + zz/m)
	half := z / (1 + zz/m) * math.Sqrt(p*(1-p)/m+zz/(4*m*m))
	return Interval{math.Max(0, mid-half), math.Min(1, mid+half)}
}

// ClusteredWilson is Wilson for items that are not independent: passed and n
// are counted by cluster (variants of one question). The variance between the
// clusters gives the design effect, by which n shrinks (Kish 1965).
func ClusteredWilson(passed, n []int, level float64) Interval {
	k, total, alone := 0, 0, true
	for i := range n {
		k, total, alone = k+passed[i], total+n[i], alone && n[i] == 1
	}
	if alone || k == 0 || k == total || len(n) < 2 {
		return Wilson(k, total, level)
	}
	m, c := float64(total), float64(len(n))
	p, sum := float64(k)/m, 0.0
	for i := range n {
		d := float64(passed[i]) - p*float64(n[i])
		sum += d * d
	}
	effect := math.Max(1, c/(c-1)*sum/(m*p*(1-p)))
	return wilson(p, m/effect, level)
}

// quantile is the inverse of the standard normal distribution.
func quantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// upper is the probability of a standard normal value above z.
func upper(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }
