package reports

import "starbook/runtime/stats"

// wilson returns the 95 % interval of a pass rate.
func wilson(passed, n int) (low, high float64) {
	i := stats.Wilson(passed, n, 0.95)
	return i.Lo, i.Hi
}
