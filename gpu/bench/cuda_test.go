//go:build cuda

package bench

import (
	"math"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cuda"
)

// TestBenchesOnCUDA runs on the GPU, or on the fake driver that STARBOOK_LIBCUDA names.
func TestBenchesOnCUDA(t *testing.T) {
	dev, err := cuda.Open(cuda.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}()
	benches(t, dev)
	if gpu.MeterOf(dev) == nil {
		t.Fatal("the device has no meter")
	}
	r, err := Train{
		Shape: "tiny", Rank: 4, Tokens: 40, Trained: 1, Batch: 3, Steps: 3, Warmup: 3, Weights: "bf16", Seed: 1, Best: few,
	}.Run(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	f := figures(t, r)
	if busy := f["device busy"]; busy.Missing != "" || busy.Value <= 0 || busy.Value > 100 {
		t.Errorf("busy: %+v", busy)
	}
	planned, most := f["memory planned"], f["memory at most"]
	if most.Missing != "" || math.Abs(most.Value/planned.Value-1) > 0.01 {
		t.Errorf("planned %+v, at most %+v", planned, most)
	}
}
