package reports

import "math"

// wilson returns the 95 % score interval of a pass rate (Wilson 1927), which
// stays inside [0, 1] and is honest for small n; n = 0 knows nothing.
func wilson(passed, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // 97.5 % point of the normal distribution
	p, m := float64(passed)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}

// mcnemar returns the exact two-sided p of as lopsided a split of the
// discordant pairs if each were a fair coin.
func mcnemar(fixed, broken int) float64 {
	n, k := fixed+broken, min(fixed, broken)
	total, _ := math.Lgamma(float64(n) + 1)
	p := 0.0
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i) + 1)
		b, _ := math.Lgamma(float64(n-i) + 1)
		p += math.Exp(total - a - b - float64(n)*math.Ln2)
	}
	return min(1, 2*p)
}
