package model

import "math"

// frequencies returns the angle per position of each of the E/2 pairs of a
// head, in float32 as transformers computes them.
func (r Rope) frequencies(headDim int) []float32 {
	inv := make([]float32, headDim/2)
	for i := range inv {
		exponent := float32(2*i) / float32(headDim)
		f := 1 / float32(math.Pow(r.Theta, float64(exponent)))
		switch r.Kind {
		case "linear":
			f /= float32(r.Factor)
		case "llama3":
			f = r.llama3(f)
		}
		inv[i] = f
	}
	return inv
}

// llama3 slows the low frequencies down by Factor, keeps the high ones, and
// goes smoothly from one to the other (transformers, _compute_llama3_parameters).
func (r Rope) llama3(f float32) float32 {
	old := float64(r.Old)
	wavelength := float64(float32(2*math.Pi) / f)
	switch {
	case wavelength < old/r.High:
		return f
	case wavelength > old/r.Low:
		return f / float32(r.Factor)
	}
	smooth := float32((old/wavelength - r.Low) / (r.High - r.Low))
	return (1-smooth)*(f/float32(r.Factor)) + smooth*f
}

// table returns the cosines and sines of positions 0 to n-1, each (n, E/2).
func (r Rope) table(n, headDim int) (cos, sin []float32) {
	inv := r.frequencies(headDim)
	cos = make([]float32, 0, n*len(inv))
	sin = make([]float32, 0, n*len(inv))
	for p := range n {
		for _, f := range inv {
			s, c := math.Sincos(float64(float32(p) * f))
			cos = append(cos, float32(c))
			sin = append(sin, float32(s))
		}
	}
	return cos, sin
}
