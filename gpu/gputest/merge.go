package gputest

import (
	"bytes"
	"math"

	"starbook/gpu"
)

// merge demands the same bytes of both devices, and the same sums but for the
// order in which they are made.
func merge(r *rig) {
	for _, s := range [][3]int{{1, 1, 1}, {3, 7, 2}, {5, 40, 0}, {4, 1024, 8}, {5, 1030, 65}} {
		for _, into := range []gpu.Type{gpu.F32, gpu.BF16, gpu.F16} {
			for _, twice := range []bool{false, true} {
				r.merge(s[0], s[1], gpu.F32, gpu.Merge{Rank: s[2], Scale: 0.3, Type: into, Twice: twice})
				r.merge(s[0], s[1], gpu.BF16, gpu.Merge{Rank: s[2], Scale: 1e-3, Type: into, Twice: twice})
			}
		}
	}
	for _, t := range r.blockTypes() {
		r.merge(7, 2*t.Block(), t, gpu.Merge{Rank: 3, Scale: 0.01, Type: gpu.BF16})
	}
	r.merge(9, 1030, gpu.F32, gpu.Merge{Rank: 5, Scale: 3e4, Type: gpu.F16}) // some become infinite
}

func (r *rig) merge(rows, dim int, t gpu.Type, m gpu.Merge) {
	r.t.Helper()
	r.at("(%d, %d) of %v, %+v", rows, dim, t, m)
	w, b, a := r.weights(t, rows*dim), r.trained(rows*m.Rank), r.trained(m.Rank*dim)
	var out [2][]byte
	var sums [2]gpu.Merged
	for i, d := range r.dev {
		out[i] = make([]byte, m.Type.Bytes(rows*dim))
		sums[i] = d.Merge(out[i], w[i == 1], b[i == 1], a[i == 1], dim, m)
	}
	got, want := sums[0], sums[1]
	if !bytes.Equal(out[0], out[1]) {
		r.t.Errorf("%s: other bytes", r.shape)
	}
	if got.Weights != want.Weights || got.Changed != want.Changed || got.Broken != want.Broken {
		r.t.Errorf("%s: %+v, want %+v", r.shape, got, want)
	}
	if want.Broken >= 0 {
		return // and no sum is finite
	}
	for _, x := range [][2]float64{{got.Dot, want.Dot}, {got.Delta, want.Delta}, {got.Lost, want.Lost}} {
		if !(math.Abs(x[0]-x[1]) <= 1e-12*want.Delta) {
			r.t.Errorf("%s: %+v, want %+v", r.shape, got, want)
		}
	}
}
