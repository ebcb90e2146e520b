package stats

import "math"

// PairedMDE is the smallest true difference of two pass rates that n common
// items would show, with the given power (0.8) at a two-sided alpha (0.05),
// when the models disagree on a share discordant of the items.
func PairedMDE(n int, discordant, alpha, power float64) float64 {
	return (quantile(1-alpha/2) + quantile(power)) * math.Sqrt(discordant/float64(n))
}
