package gputest

import (
	"math"
	"slices"

	"starbook/gpu"
)

// sample demands the same tokens of both devices, for any of the random bits.
func sample(r *rig) {
	for _, s := range [][2]int{{1, 1}, {7, 9}, {9, 33}, {5, 5000}} {
		for _, o := range []gpu.Sampling{
			{Temperature: 1},
			{Temperature: 0.3},
			{Temperature: 4, TopK: 1},
			{Temperature: 2, TopK: 3},
			{Temperature: 1, TopK: 40},
			{Temperature: 1, TopP: 0.9},
			{Temperature: 3, TopP: 0.5},
			{Temperature: 1, TopP: 1e-9},
			{Temperature: 2, TopK: 50, TopP: 0.7},
			{Temperature: 1, TopK: 7000, TopP: 1},
		} {
			n, vocab := s[0], s[1]
			r.at("%v, %+v", s, o)
			x := r.numbers(n * vocab)
			for i := range x {
				x[i] = float32(math.Round(8*float64(x[i]))) / 4 // many are equal
			}
			logits, random := r.values(x), make([]uint64, n)
			for i := range random {
				random[i] = r.rng.Uint64()
			}
			random[0], random[n-1] = 0, math.MaxUint64
			var ids [2][]int32
			var logp [2][]float32
			for i, d := range r.dev {
				ids[i], logp[i] = make([]int32, n), make([]float32, n)
				d.Sample(ids[i], logp[i], logits[i == 1], vocab, random, o)
			}
			if !slices.Equal(ids[0], ids[1]) {
				r.t.Errorf("%s: words %v, want %v", r.shape, ids[0], ids[1])
			}
			for i, want := range logp[1] {
				if !(math.Abs(float64(logp[0][i]-want)) <= 10*r.tol) {
					r.t.Errorf("%s: row %d: log-probability %v, want %v", r.shape, i, logp[0][i], want)
				}
			}
		}
	}
}
