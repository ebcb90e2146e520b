package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pairsOf draws two models on n items: they disagree on a share discordant, and
// of that the second wins the share won.
func pairsOf(r *rand.Rand, n int, discordant, won float64) (lost, gained int) {
	for range n {
		if r.Float64() < discordant {
			if r.Float64() < won {
				gained++
			} else {
				lost++
			}
		}
	}
	return lost, gained
}

// Of 10,000 pairs of models that are alike, a test at 5 % may call 5 %
// different. The exact McNemar test is conservative and calls fewer; its mid-p
// holds the promise. The sizes are those of GSM8K's test set and the
// quickstart's, with 10 to 30 % discordant items.
func TestErrorOfTheFirstKind(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const pairs = 10_000
	exact, mid := 0, 0
	for i := range pairs {
		n := []int{1319, 1250}[i%2]
		lost, won := pairsOf(r, n, 0.1+0.2*r.Float64(), 0.5)
		if McNemar(lost, won) < 0.05 {
			exact++
		}
		if MidP(lost, won) < 0.05 {
			mid++
		}
	}
	t.Logf("of %d null pairs: exact %.2f %%, mid-p %.2f %%", pairs, 100*float64(exact)/pairs, 100*float64(mid)/pairs)
	if share := float64(mid) / pairs; share < 0.045 || share > 0.055 {
		t.Errorf("mid-p calls %.2f %% of null pairs different, want 4.5 to 5.5", 100*share)
	}
	if share := float64(exact) / pairs; share > 0.05 || share < 0.03 {
		t.Errorf("the exact test calls %.2f %% of null pairs different, want 3 to 5", 100*share)
	}
}

// A difference as large as the printed minimum is found in about 80 % of cases.
func TestPowerAtTheMinimumDetectableEffect(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const pairs, n, discordant = 4000, 1319, 0.2
	effect := PairedMDE(n, discordant, 0.05, 0.8)
	found := 0
	for range pairs {
		lost, won := pairsOf(r, n, discordant, (1+effect/discordant)/2)
		if MidP(lost, won) < 0.05 {
			found++
		}
	}
	if power := float64(found) / pairs; math.Abs(power-0.8) > 0.02 {
		t.Errorf("power %.3f at an effect of %.4f, want 0.80 within 0.02", power, effect)
	}
}

// Clusters that answer as one must not count as many: McNemar would find
// differences between equal models, the sign flips of clusters must not.
func TestClustersKeepTheError(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const pairs, questions, variants = 1000, 60, 5
	naive, flipped := 0, 0
	var names []string
	for q := range questions {
		for range variants {
			names = append(names, string(rune('0'+q)))
		}
	}
	for i := range pairs {
		var before, after []float64
		for range questions {
			a, b := float64(r.IntN(2)), float64(r.IntN(2))
			for range variants {
				before, after = append(before, a), append(after, b)
			}
		}
		lost, won := 0, 0
		for j := range before {
			if after[j] > before[j] {
				won++
			}
			if after[j] < before[j] {
				lost++
			}
		}
		if McNemar(lost, won) < 0.05 {
			naive++
		}
		if SignFlip(before, after, names, 399, uint64(i)) < 0.05 {
			flipped++
		}
	}
	if share := float64(flipped) / pairs; share < 0.03 || share > 0.07 { // three standard errors
		t.Errorf("sign flips call %.1f %% of null pairs different, want about 5", 100*share)
	}
	if naive < pairs/5 {
		t.Errorf("McNemar calls only %d of %d clustered null pairs different: the test shows nothing", naive, pairs)
	}
}

// A cluster of copies is worth one item.
func TestClusteredWilson(t *testing.T) {
	var passed, n []int
	for i := range 40 {
		passed, n = append(passed, 10*(i%2)), append(n, 10)
	}
	copies, one := ClusteredWilson(passed, n, 0.95), Wilson(20, 40, 0.95)
	near(t, "width", copies.Hi-copies.Lo, one.Hi-one.Lo, 0.005)
	alone := ClusteredWilson([]int{1, 0, 1}, []int{1, 1, 1}, 0.95)
	if alone != Wilson(2, 3, 0.95) {
		t.Errorf("items on their own: %v, want %v", alone, Wilson(2, 3, 0.95))
	}
}
