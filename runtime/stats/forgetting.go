package stats

import "math"

// NonInferior tests that of n common items the second model passes at most a
// share margin fewer than the first, when it lost some and won others: the
// one-sided p of the opposite, by Tango's score test for paired proportions
// (Statistics in Medicine 17, 1998). A small p shows that nothing beyond the
// margin was forgotten; a large one shows nothing.
func NonInferior(n, lost, won int, margin float64) float64 {
	m, b, c := float64(n), float64(lost), float64(won)
	delta := -margin // the hypothesis: the rate changed by this
	// The most likely share of lost items under it, a root of a quadratic.
	q := -b - c + (2*m-c+b)*delta
	r := -b * delta * (1 - delta)
	share := (math.Sqrt(math.Max(0, q*q-8*m*r)) - q) / (4 * m)
	variance := m * (2*share + delta*(1-delta))
	if !(variance > 0) {
		return 1
	}
	return upper((c - b - m*delta) / math.Sqrt(variance))
}
