package ref

import "starbook/gpu"

// Embed: out[i] = table[ids[i]].
func (device[T]) Embed(out, table gpu.Buf, ids []int32, dim int) {
	for i, id := range ids {
		for j := range dim {
			Set(out, i*dim+j, At(table, int(id)*dim+j))
		}
	}
}

// EmbedBack: dtable[ids[i]] += dout[i].
func (device[T]) EmbedBack(dtable, dout gpu.Buf, ids []int32, dim int) {
	dt, do := elems[T](dtable), elems[T](dout)
	for i, id := range ids {
		for j := range dim {
			dt[int(id)*dim+j] += do[i*dim+j]
		}
	}
}

// MatMul: c = alpha·a·b + beta·c.
//
//go:norace
func (device[T]) MatMul(c, a, b gpu.Mat, alpha, beta float32) {
	cv, av, bv := elems[T](c.Buf), elems[T](a.Buf), elems[T](b.Buf)
	for i := range c.Rows {
		for j := range c.Cols {
			var sum float64
			for k := range a.Cols {
				sum += float64(av[at(a, i, k)]) * float64(bv[at(b, k, j)])
			}
			sum *= float64(alpha)
			if beta != 0 { // what is there may be NaN otherwise
				sum += float64(beta) * float64(cv[at(c, i, j)])
			}
			cv[at(c, i, j)] = T(sum)
		}
	}
}

// MatMulRows: c += alpha·Σ aᵀ·b, sequence by sequence.
func (d device[T]) MatMulRows(c, a, b gpu.Mat, starts []int32, alpha float32) {
	for i := range len(starts) - 1 {
		from, to := int(starts[i]), int(starts[i+1])
		d.MatMul(c, part(a, from, to).Transposed(), part(b, from, to), alpha, 1)
	}
}

// part returns the rows from up to to of m.
func part(m gpu.Mat, from, to int) gpu.Mat {
	m.Buf, m.Rows = m.Buf.Slice(min(from*m.Stride, m.Buf.Len), m.Buf.Len), to-from
	return m
}

// at returns where element (i, j) of m lies.
func at(m gpu.Mat, i, j int) int {
	if m.T {
		i, j = j, i
	}
	return i*m.Stride + j
}

// Axpy: y += alpha·x.
func (device[T]) Axpy(y, x gpu.Buf, alpha float32) {
	for i := range y.Len {
		Set(y, i, At(y, i)+float64(alpha)*At(x, i))
	}
}
