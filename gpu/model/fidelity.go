package model

import (
	"fmt"
	"math"

	"starbook/gpu/safetensors"
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

// sums is what Fidelity is computed from.
type sums struct {
	dot, delta, lost float64 // <W'-W, Δ>, |Δ|², |W'-W-Δ|²
	changed, n       int
}

// compare adds up two tensors, of which the second should be delta more.
func (s *sums) compare(was, now safetensors.Tensor, delta []float32) error {
	const block = 4096
	var a, b [block]float32
	for from := 0; from < len(delta); from += block {
		n := min(block, len(delta)-from)
		if err := was.ReadF32(a[:n], from); err != nil {
			return err
		}
		if err := now.ReadF32(b[:n], from); err != nil {
			return err
		}
		for i := range n {
			if x := float64(b[i]); math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("weight %d becomes %g: the adapter is broken, or too large for %s", from+i, x, was.DType)
			}
			got, want := float64(b[i])-float64(a[i]), float64(delta[from+i])
			s.dot += got * want
			s.delta += want * want
			s.lost += (got - want) * (got - want)
			if got != 0 {
				s.changed++
			}
		}
		s.n += n
	}
	return nil
}

func (s sums) fidelity(name string) Fidelity {
	f := Fidelity{Name: name, Retained: 1}
	if s.n > 0 {
		f.Changed = float64(s.changed) / float64(s.n)
	}
	if s.delta > 0 {
		f.Retained, f.Error = s.dot/s.delta, math.Sqrt(s.lost/s.delta)
	}
	return f
}
