package gpu_test

import (
	"math"
	"testing"

	"starbook/gpu"
)

// What tokens weigh is what they are likely, and a draw goes by it.
func TestSampling(t *testing.T) {
	s := gpu.Sampling{Temperature: 0.7}
	for x := float32(0); x > -21; x -= 0.13 {
		got, want := float64(s.Weight(5+x, 5))/float64(s.Weight(5, 5)), math.Exp((float64(5+x)-5)/0.7)
		if math.Abs(got-want) > 1e-12*want+1./(1<<43) {
			t.Errorf("%g below the top: %g, want %g", -x, got, want)
		}
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		random uint64
		want   int
	}{
		{[]float32{nan, 3, -inf}, math.MaxUint64, 1},
		{[]float32{nan, -inf}, 7, 0},
		{[]float32{1, 1, 1, 1}, 0, 0},
		{[]float32{1, 1, 1, 1}, 1 << 62, 1},
		{[]float32{1, 1, 1, 1}, math.MaxUint64, 3},
		{[]float32{-1, 0, float32(math.Copysign(0, -1))}, 0, 1},
	} {
		s := gpu.Sampling{Temperature: 1}
		if c.logits[0] < 0 {
			s.TopK = 1 // -0 and 0 are equal: the first is kept
		}
		if got := s.Draw(c.logits, c.random); got != c.want {
			t.Errorf("of %v, by %x: %d, want %d", c.logits, c.random, got, c.want)
		}
	}
}
