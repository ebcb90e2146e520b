package model

import (
	"fmt"
	"math"

	"starbook/gpu"
)

// Fidelity says how much of an adapter survived the rounding of a merge to the
// base's type. Bfloat16 has 8 bits: a change of a weight below 1/512 of it is
// lost, and a low learning rate makes many such.
type Fidelity struct {
	Name     string  // of the tensor; "" for all together
	Retained float64 // <W'-W, Δ> / <Δ, Δ>: 1 if the change points where it should and is as long
	Error    float64 // |W'-W-Δ| / |Δ|: 0 if nothing was lost; above 0.3, better serve the adapter unmerged
	Changed  float64 // share of the weights that are other numbers now
}

// Merged is the report of a merge.
type Merged struct {
	Total   Fidelity
	Tensors []Fidelity // in the order of the files
}

// Worst returns the tensor that lost most.
func (m Merged) Worst() Fidelity {
	var worst Fidelity
	for _, f := range m.Tensors {
		if worst.Name == "" || f.Error > worst.Error {
			worst = f
		}
	}
	return worst
}

// tooMuch is the Error from which on a merge is advised against: the noise of
// rounding is then a third of the change.
const tooMuch = 0.3

// Advice says what to do if the merge lost too much, most advisable first; ""
// if it did not. dtype is the type that the weights were written in.
func (m Merged) Advice(dtype string) string {
	if m.Total.Error <= tooMuch {
		return ""
	}
	said := fmt.Sprintf("the merge kept %.0f %% of the change, with an error of %.2f of its size (worst: %s, %.2f)",
		100*m.Total.Retained, m.Total.Error, m.Worst().Name, m.Worst().Error)
	if dtype == "F16" {
		return said + ": use the adapter unmerged, or merge into float32"
	}
	return said + ": use the adapter unmerged, merge into float16 (8 times as precise, up to 65504), or into float32"
}

// fidelity says what the sums over a tensor's weights come to.
func fidelity(name string, s gpu.Merged) Fidelity {
	f := Fidelity{Name: name, Retained: 1}
	if s.Weights > 0 {
		f.Changed = float64(s.Changed) / float64(s.Weights)
	}
	if s.Delta > 0 {
		f.Retained, f.Error = s.Dot/s.Delta, math.Sqrt(s.Lost/s.Delta)
	}
	return f
}
