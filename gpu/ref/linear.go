package ref

import "starbook/gpu"

// Embed: out[i] = table[ids[i]].
func (d *device[T]) Embed(out, table gpu.Buf, ids []int32, dim int) {
	if d.err != nil {
		return
	}
	for i, id := range ids {
		for j := range dim {
			Set(out, i*dim+j, At(table, int(id)*dim+j))
		}
	}
}

// EmbedBack: dtable[ids[i]] += dout[i].
func (d *device[T]) EmbedBack(dtable, dout gpu.Buf, ids []int32, dim int) {
	if d.err != nil {
		return
	}
	dt, do := elems[T](dtable), elems[T](dout)
	for i, id := range ids {
		for j := range dim {
			dt[int(id)*dim+j] += do[i*dim+j]
		}
	}
}

// MatMul: c = alpha·a·b + beta·c.
func (d *device[T]) MatMul(c, a, b gpu.Mat, alpha, beta float32) {
	if d.wrong(a.Cols != b.Rows || c.Rows != a.Rows || c.Cols != b.Cols || c.T,
		"matmul: (%d,%d) = (%d,%d)·(%d,%d)", c.Rows, c.Cols, a.Rows, a.Cols, b.Rows, b.Cols) {
		return
	}
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

// at returns where element (i, j) of m lies.
func at(m gpu.Mat, i, j int) int {
	if m.T {
		i, j = j, i
	}
	return i*m.Stride + j
}

// Axpy: y += alpha·x.
func (d *device[T]) Axpy(y, x gpu.Buf, alpha float32) {
	if d.wrong(y.Len != x.Len, "axpy: %d elements and %d", y.Len, x.Len) {
		return
	}
	for i := range y.Len {
		Set(y, i, At(y, i)+float64(alpha)*At(x, i))
	}
}
