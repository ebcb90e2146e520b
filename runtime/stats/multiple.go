package stats

import (
	"cmp"
	"math"
	"slices"
)

// Holm adjusts p-values for the number of them (Holm 1979): to call those below
// 0.05 differences is wrong about any of them in at most 5 % of cases.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out, last := make([]float64, len(p)), 0.0
	for rank, i := range order {
		last = math.Max(last, math.Min(1, float64(len(p)-rank)*p[i]))
		out[i] = last
	}
	return out
}
