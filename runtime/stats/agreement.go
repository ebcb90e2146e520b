package stats

// Agreement is the share of items that two graders judge alike.
func Agreement(a, b []bool) float64 {
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	return float64(same) / float64(len(a))
}

// Kappa is Cohen's: agreement beyond what the two graders' pass rates alone
// would give, 1 at most. Two graders that both always say the same agree by
// definition: 1.
func Kappa(a, b []bool) float64 {
	var pa, pb float64
	for i := range a {
		if a[i] {
			pa++
		}
		if b[i] {
			pb++
		}
	}
	n := float64(len(a))
	pa, pb = pa/n, pb/n
	chance := pa*pb + (1-pa)*(1-pb)
	if chance == 1 {
		return 1
	}
	return (Agreement(a, b) - chance) / (1 - chance)
}
