package ref

import (
	"math"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// Merge folds scale·B·A into w, weight by weight.
func (device[T]) Merge(out []byte, w, b, a gpu.Buf, dim int, m gpu.Merge) gpu.Merged {
	sum := gpu.Merged{Weights: w.Len, Broken: -1}
	for i := range w.Len {
		var product float64
		for r := range m.Rank {
			product += At(b, i/dim*m.Rank+r) * At(a, r*dim+i%dim)
		}
		was, delta := float32(At(w, i)), float32(float64(m.Scale)*product)
		add := delta
		if m.Twice {
			add, _ = rounded(add, m.Type)
		}
		now, raw := rounded(was+add, m.Type)
		copy(out[m.Type.Bytes(i):], raw)
		if x := float64(now); sum.Broken < 0 && (math.IsNaN(x) || math.IsInf(x, 0)) {
			sum.Broken = i
		}
		got, want := float64(now)-float64(was), float64(delta)
		sum.Dot += got * want
		sum.Delta += want * want
		sum.Lost += (got - want) * (got - want)
		if got != 0 {
			sum.Changed++
		}
	}
	return sum
}

// rounded returns x as a t holds it, and its bytes.
func rounded(x float32, t gpu.Type) (float32, []byte) {
	raw, err := safetensors.AppendF32(nil, t.String(), []float32{x})
	if err != nil {
		panic(err) // gpu.Checked lets no other type through
	}
	return t.Decode(raw)[0], raw
}
