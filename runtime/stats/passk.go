package stats

// PassAtK is the chance that at least one of k answers passes, estimated
// without bias from n answers of which c passed (Chen et al. 2021, "Evaluating
// large language models trained on code"). k may not be above n.
func PassAtK(n, c, k int) float64 {
	if n-c < k {
		return 1
	}
	all := 1.0 // that all k fail: C(n-c, k) / C(n, k)
	for i := n - c + 1; i <= n; i++ {
		all *= 1 - float64(k)/float64(i)
	}
	return 1 - all
}
