package stats

import (
	"math"
	"math/big"
	"testing"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.6g, want %.6g", what, got, want)
	}
}

// Newcombe, "Two-sided confidence intervals for the single proportion",
// Statistics in Medicine 17 (1998), table I, method 3.
func TestWilsonAgainstNewcombe(t *testing.T) {
	tests := []struct {
		k, n   int
		lo, hi float64
	}{
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
	}
	for _, test := range tests {
		iv := Wilson(test.k, test.n, 0.95)
		near(t, "lower end", iv.Lo, test.lo, 5e-5)
		near(t, "upper end", iv.Hi, test.hi, 5e-5)
		twin := Wilson(test.n-test.k, test.n, 0.95)
		near(t, "mirrored", 1-twin.Hi, iv.Lo, 1e-12)
	}
	if iv := Wilson(0, 0, 0.95); iv != (Interval{0, 1}) {
		t.Errorf("nothing known is %v", iv)
	}
}

// The oracle adds the binomial tail in exact rationals.
func TestMcNemarAgainstRationals(t *testing.T) {
	for n := range 60 {
		for k := 0; k <= n; k++ {
			near(t, "p", McNemar(k, n-k), exactMcNemar(k, n-k), 1e-12)
		}
	}
	for _, pair := range [][2]int{{480, 520}, {100, 900}, {59, 121}} {
		want := exactMcNemar(pair[0], pair[1])
		near(t, "log p", math.Log(McNemar(pair[0], pair[1])), math.Log(want), 1e-9)
	}
}

func exactMcNemar(b, c int) float64 {
	n, k := int64(b+c), int64(min(b, c))
	sum := new(big.Int)
	for i := int64(0); i <= k; i++ {
		sum.Add(sum, new(big.Int).Binomial(n, i))
	}
	p := new(big.Rat).SetFrac(sum.Lsh(sum, 1), new(big.Int).Lsh(big.NewInt(1), uint(n)))
	f, _ := p.Float64()
	return math.Min(1, f)
}

// 2 and 12 discordant: R's binom.test(2, 14) gives 0.01294. For a million, the
// normal approximation with continuity correction is good to four digits.
func TestMcNemarKnownValues(t *testing.T) {
	near(t, "2, 12", McNemar(2, 12), 212.0/16384, 1e-12)
	near(t, "0, 5", McNemar(0, 5), 0.0625, 1e-15)
	near(t, "5, 15", McNemar(5, 15), 0.0414, 5e-5)
	near(t, "0, 0", McNemar(0, 0), 1, 0)
	z := (1000.0 - 1) / 1000 // (|b-c| - 1) / sqrt(b+c)
	near(t, "a million", McNemar(499_500, 500_500), math.Erfc(z/math.Sqrt2), 1e-4)
}

// With 0/1 scores the percentile interval is close to the normal one.
func TestPairedDifference(t *testing.T) {
	const n, won, lost = 1000, 120, 60
	before, after := make([]float64, n), make([]float64, n)
	for i := range n {
		switch {
		case i < won:
			after[i] = 1
		case i < won+lost:
			before[i] = 1
		}
	}
	mean, iv, err := PairedDifference(before, after, Bootstrap{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	near(t, "mean", mean, 0.06, 1e-12)
	se := math.Sqrt((180 - 60*60/1000.0) / n / n)
	near(t, "lower", iv.Lo, 0.06-1.96*se, 0.002)
	near(t, "upper", iv.Hi, 0.06+1.96*se, 0.002)
	_, again, _ := PairedDifference(before, after, Bootstrap{Seed: 1})
	_, other, _ := PairedDifference(before, after, Bootstrap{Seed: 2})
	if again != iv || other == iv {
		t.Errorf("seed 1 gives %v and %v, seed 2 %v", iv, again, other)
	}
}

// Ten copies of each question must not look like ten times the evidence.
func TestPairedDifferenceByCluster(t *testing.T) {
	var before, after []float64
	var names []string
	for i := range 400 {
		q := i / 10
		before = append(before, 0)
		after = append(after, float64(q%2))
		names = append(names, string(rune('a'+q)))
	}
	_, alone, err := PairedDifference(before, after, Bootstrap{})
	if err != nil {
		t.Fatal(err)
	}
	_, clustered, err := PairedDifference(before, after, Bootstrap{Cluster: names})
	if err != nil {
		t.Fatal(err)
	}
	ratio := (clustered.Hi - clustered.Lo) / (alone.Hi - alone.Lo)
	near(t, "width by cluster", ratio, math.Sqrt(10), 0.4)
}

func TestPairedDifferenceNeedsPairs(t *testing.T) {
	if _, _, err := PairedDifference([]float64{1}, nil, Bootstrap{}); err == nil {
		t.Error("one score against none was accepted")
	}
	if _, _, err := PairedDifference([]float64{1}, []float64{1}, Bootstrap{Cluster: []string{}}); err == nil {
		t.Error("a short list of clusters was accepted")
	}
}

// Worked by hand: (1.95996 + 0.84162) sqrt(d/n).
func TestMinimumDetectableEffect(t *testing.T) {
	near(t, "paired 200", PairedMDE(200, 0.1, 0.05, 0.8), 0.0626, 5e-5)
	near(t, "paired 1000", PairedMDE(1000, 0.1, 0.05, 0.8), 0.0280, 5e-5)
}
