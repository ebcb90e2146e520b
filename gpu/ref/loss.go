package ref

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"starbook/gpu"
)

// CrossEntropy: loss[i] = -log softmax(logits[i])[targets[i]], and its gradient.
func (device[T]) CrossEntropy(loss, logits gpu.Buf, targets []int32, vocab int, scale float32) {
	ls, xs := elems[T](loss), elems[T](logits)
	for i, target := range targets {
		row := xs[i*vocab : (i+1)*vocab]
		if target < 0 {
			ls[i] = 0
			if scale != 0 {
				clear(row)
			}
			continue
		}
		lse := logSumExp(row)
		ls[i] = T(lse - float64(row[target]))
		if scale == 0 {
			continue
		}
		for j := range row {
			p := math.Exp(float64(row[j]) - lse)
			if j == int(target) {
				p--
			}
			row[j] = T(float64(scale) * p)
		}
	}
}

func logSumExp[T float](x []T) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// Argmax finds the first of the largest logits of each row and its log-probability.
func (device[T]) Argmax(ids []int32, logp []float32, logits gpu.Buf, vocab int) {
	xs := elems[T](logits)
	for i := range ids {
		row := xs[i*vocab : (i+1)*vocab]
		best := 0
		for j := range row {
			if row[j] > row[best] {
				best = j
			}
		}
		ids[i] = int32(best)
		logp[i] = float32(float64(row[best]) - logSumExp(row))
	}
}

// Sample draws from the likeliest tokens, sorted.
func (device[T]) Sample(ids []int32, logp []float32, logits gpu.Buf, vocab int, random []uint64, s gpu.Sampling) {
	xs := elems[T](logits)
	for i := range ids {
		row, kept := xs[i*vocab:(i+1)*vocab], make([]int, vocab)
		for j := range kept {
			kept[j] = j
		}
		slices.SortStableFunc(kept, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		top := float32(row[kept[0]])
		weights := func(tokens []int) (sum uint64) {
			for _, j := range tokens {
				sum += s.Weight(float32(row[j]), top)
			}
			return sum
		}
		if s.TopK > 0 {
			kept = kept[:min(s.TopK, vocab)]
		}
		if s.TopP > 0 && s.TopP < 1 {
			need, n := max(1, uint64(s.TopP*float64(weights(kept)))), 1
			for n < len(kept) && weights(kept[:n]) < need {
				n++
			}
			kept = kept[:n]
		}
		slices.Sort(kept)
		left, _ := bits.Mul64(random[i], weights(kept))
		for _, j := range kept {
			w := weights([]int{j})
			if ids[i] = int32(j); left < w {
				break
			}
			left -= w
		}
		logp[i] = float32(float64(row[ids[i]]) - logSumExp(row))
	}
}

// Sum: out[0] += Σx.
func (device[T]) Sum(out, x gpu.Buf) {
	sum := At(out, 0)
	for _, v := range elems[T](x) {
		sum += float64(v)
	}
	Set(out, 0, sum)
}

// Guard counts a skip unless both sums are finite.
func (device[T]) Guard(guard gpu.Buf) {
	if !sound(guard) {
		Set(guard, gpu.GuardSkips, At(guard, gpu.GuardSkips)+1)
	}
}

// sound reports whether both sums of a guard are finite.
func sound(guard gpu.Buf) bool {
	sum := At(guard, gpu.GuardSquares) + At(guard, gpu.GuardLoss)
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// SumSquares: out[0] = Σx².
func (device[T]) SumSquares(out, x gpu.Buf) {
	xs := elems[T](x)
	Set(out, 0, dot(xs, xs))
}

// AdamW is torch's: decay first, then the moments, then the step with eps
// outside the bias-corrected root.
func (device[T]) AdamW(w, g, m, v, guard gpu.Buf, o gpu.AdamW) {
	factor, t := o.GradScale, float64(o.Step)
	if guard.Len > 0 {
		if !sound(guard) {
			return
		}
		t -= At(guard, gpu.GuardSkips)
	}
	if o.MaxNorm > 0 {
		factor *= min(1, o.MaxNorm/(math.Sqrt(At(guard, gpu.GuardSquares))*o.GradScale+1e-6))
	}
	c1 := 1 - math.Pow(o.Beta1, t)
	c2 := 1 - math.Pow(o.Beta2, t)
	ws, gs, ms, vs := elems[T](w), elems[T](g), elems[T](m), elems[T](v)
	for i := range ws {
		grad := float64(gs[i]) * factor
		m1 := float64(ms[i]) + (grad-float64(ms[i]))*(1-o.Beta1)
		v1 := o.Beta2*float64(vs[i]) + (1-o.Beta2)*grad*grad
		step := o.LR / c1 * m1 / (math.Sqrt(v1)/math.Sqrt(c2) + o.Eps)
		ws[i], ms[i], vs[i] = T(float64(ws[i])*(1-o.LR*o.WeightDecay)-step), T(m1), T(v1)
	}
}
