package model

import (
	"math"
	"slices"
	"testing"

	"starbook/gpu"
)

// TestRandomWeights: the table goes on across the borders of its copies, equal
// seeds give equal weights, and the weights are what they are said to be.
func TestRandomWeights(t *testing.T) { onDevices(t, randomWeights) }

func randomWeights(t *testing.T, dev gpu.Device) {
	cfg := tiny(false)
	cfg.Vocab, cfg.Hidden = 40000, 64 // a table of 2.56 million: over two periods
	one, other := randomTable(t, dev, cfg, 1), randomTable(t, dev, cfg, 2)
	if !slices.Equal(one, randomTable(t, dev, cfg, 1)) || slices.Equal(one, other) {
		t.Error("weights are not a function of the seed")
	}
	var sum, squares float64
	for i, v := range one {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		if i >= tableLen && v != one[i-tableLen] {
			t.Fatalf("element %d is %v: a period before it was %v", i, v, one[i-tableLen])
		}
	}
	n := float64(len(one))
	if mean, deviation := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 1e-4 || math.Abs(deviation-0.02) > 1e-4 {
		t.Errorf("mean %g and deviation %g: want 0 and 0.02", mean, deviation)
	}
}

// randomTable returns the embedding table of a model of random weights.
func randomTable(t *testing.T, dev gpu.Device, cfg Config, seed uint64) []float32 {
	t.Helper()
	m, err := Random(dev, cfg, gpu.F32, seed)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	values := make([]float32, m.embed.len())
	dev.Download(values, m.embed.w)
	if err := dev.Sync(); err != nil {
		t.Fatal(err)
	}
	return values
}
