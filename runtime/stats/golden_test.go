package stats

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// goldens are the figures of SciPy and statsmodels, as testdata/make.py wrote them.
type goldens struct {
	Wilson []struct {
		K, N             int
		Level, Low, High float64
	}
	McNemar []struct {
		Lost, Won  int
		Exact, Mid float64
	}
	Bootstrap []struct {
		Before, After   []float64
		Cluster         []string
		Seed            uint64
		Rounds          int
		Diff, Low, High float64
	}
	Tango []struct {
		N, Lost, Won int
		Margin, P    float64
	}
	PassK []struct {
		N, C, K int
		P       float64
	}
	Kappa []struct {
		A, B  []int
		Kappa float64
	}
	Holm []struct{ P, Adjusted []float64 }
}

func TestStatisticsAgainstSciPy(t *testing.T) {
	raw, err := os.ReadFile("testdata/stats.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Wilson)*len(g.McNemar)*len(g.Bootstrap)*len(g.Tango)*len(g.PassK)*len(g.Kappa)*len(g.Holm) == 0 {
		t.Fatal("a family of vectors is missing")
	}
	const tolerance = 1e-9
	for _, v := range g.Wilson {
		iv := Wilson(v.K, v.N, v.Level)
		near(t, "Wilson, low", iv.Lo, v.Low, tolerance)
		near(t, "Wilson, high", iv.Hi, v.High, tolerance)
	}
	for _, v := range g.McNemar {
		near(t, "McNemar", McNemar(v.Lost, v.Won), v.Exact, tolerance)
		near(t, "mid-p", MidP(v.Lost, v.Won), v.Mid, tolerance)
	}
	for _, v := range g.Bootstrap {
		diff, iv, err := PairedDifference(v.Before, v.After, Bootstrap{Rounds: v.Rounds, Level: 0.95, Seed: v.Seed, Cluster: v.Cluster})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "difference", diff, v.Diff, tolerance)
		near(t, "bootstrap, low", iv.Lo, v.Low, tolerance)
		near(t, "bootstrap, high", iv.Hi, v.High, tolerance)
	}
	for _, v := range g.Tango {
		near(t, "non-inferiority", NonInferior(v.N, v.Lost, v.Won, v.Margin), v.P, tolerance)
	}
	for _, v := range g.PassK {
		near(t, "pass@k", PassAtK(v.N, v.C, v.K), v.P, tolerance)
	}
	for _, v := range g.Kappa {
		a, b := make([]bool, len(v.A)), make([]bool, len(v.B))
		for i := range a {
			a[i], b[i] = v.A[i] == 1, v.B[i] == 1
		}
		near(t, "kappa", Kappa(a, b), v.Kappa, tolerance)
	}
	for _, v := range g.Holm {
		for i, p := range Holm(v.P) {
			near(t, "Holm", p, v.Adjusted[i], tolerance)
		}
	}
	if !strings.Contains(string(raw), `"statsmodels"`) {
		t.Error("the vectors do not say who made them")
	}
}
