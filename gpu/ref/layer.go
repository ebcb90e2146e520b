package ref

import (
	"math"

	"starbook/gpu"
)

// RMSNorm: x += add, then out = x·inv·w.
func (device[T]) RMSNorm(out, inv, x, add, w gpu.Buf, dim int, eps float32) {
	os, rs, xs, as, ws := elems[T](out), elems[T](inv), elems[T](x), elems[T](add), elems[T](w)
	for i := range as {
		xs[i] += as[i]
	}
	for i := range rs {
		row := xs[i*dim : (i+1)*dim]
		r := 1 / math.Sqrt(dot(row, row)/float64(dim)+float64(eps))
		rs[i] = T(r)
		for j := range row {
			os[i*dim+j] = T(float64(row[j]) * r * float64(ws[j]))
		}
	}
}

// RMSNormBack: with g = dout·w, dx += inv·(g - x·inv²·mean(g·x)) and
// dw += dout·x·inv.
func (device[T]) RMSNormBack(dx, dw, dout, x, w, inv gpu.Buf, starts []int32, dim int) {
	gx := elems[T](dx)
	do, xs, ws, rs := elems[T](dout), elems[T](x), elems[T](w), elems[T](inv)
	for i := range rs {
		at := i * dim
		for j, g := range normBack(doubles(do[at:at+dim]), doubles(xs[at:at+dim]), ws, float64(rs[i])) {
			gx[at+j] += T(g)
		}
	}
	addRows(elems[T](dw), starts, func(i, j int) float64 {
		return float64(do[i*dim+j]) * float64(xs[i*dim+j]) * float64(rs[i])
	})
}

// normBack returns the gradient to x of a row x·r·w whose gradient is dout.
func normBack[T float](dout, x []float64, w []T, r float64) []float64 {
	dx := make([]float64, len(x))
	var mean float64
	for j := range x {
		dx[j] = dout[j] * float64(w[j])
		mean += dx[j] * x[j] / float64(len(x))
	}
	for j := range x {
		dx[j] = r * (dx[j] - x[j]*r*r*mean)
	}
	return dx
}

func doubles[T float](x []T) []float64 {
	y := make([]float64, len(x))
	for i := range x {
		y[i] = float64(x[i])
	}
	return y
}

// addRows adds to each dst[j], sequence by sequence, its sum of term(i, j) over the rows i.
func addRows[T float](dst []T, starts []int32, term func(i, j int) float64) {
	for s := 0; s+1 < len(starts); s++ {
		for j := range dst {
			var sum float64
			for i := starts[s]; i < starts[s+1]; i++ {
				sum += term(int(i), j)
			}
			dst[j] += T(sum)
		}
	}
}

// Rotary: bias, norm and rotation of every head.
func (device[T]) Rotary(out, inv, x, bias, w, cos, sin gpu.Buf, pos []int32, heads, dim int, eps float32) {
	rs, bs, ws := elems[T](inv), elems[T](bias), elems[T](w)
	for i := range pos {
		for h := range heads {
			y := biased(x, bs, i, h, heads, dim)
			if w.Len > 0 {
				r := 1 / math.Sqrt(dot(y, y)/float64(dim)+float64(eps))
				rs[i*heads+h] = T(r)
				for j := range y {
					y[j] *= r * float64(ws[j])
				}
			}
			turn(y, cos, sin, int(pos[i]), 1)
			for j, v := range y {
				Set(out, (i*heads+h)*dim+j, v)
			}
		}
	}
}

// biased returns head h of row i of x plus its bias.
func biased[T float](x gpu.Buf, bias []T, i, h, heads, dim int) []float64 {
	y := make([]float64, dim)
	for j := range y {
		y[j] = At(x, (i*heads+h)*dim+j)
		if bias != nil {
			y[j] += float64(bias[h*dim+j])
		}
	}
	return y
}

// turn rotates each pair (y[j], y[j+dim/2]) by its angle at position pos, or
// back if way is -1.
func turn(y []float64, cos, sin gpu.Buf, pos int, way float64) {
	half := len(y) / 2
	for j := range half {
		if cos.Len == 0 {
			return
		}
		c, s := At(cos, pos*half+j), way*At(sin, pos*half+j)
		a, b := y[j], y[j+half]
		y[j], y[j+half] = a*c-b*s, b*c+a*s
	}
}

// RotaryBack rotates back, then goes back through the norm.
func (device[T]) RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin gpu.Buf, pos, starts []int32, heads, dim int) {
	rs, bs, ws := elems[T](inv), elems[T](bias), elems[T](w)
	dy, dws := make([]float64, dx.Len), make([]float64, len(pos)*dim) // dws summed over the heads of a row
	for i := range pos {
		for h := range heads {
			at := (i*heads + h) * dim
			g := biased[T](dout, nil, i, h, heads, dim)
			turn(g, cos, sin, int(pos[i]), -1)
			if w.Len > 0 {
				y, r := biased(x, bs, i, h, heads, dim), float64(rs[i*heads+h])
				for j := range y {
					dws[i*dim+j] += g[j] * y[j] * r
				}
				g = normBack(g, y, ws, r)
			}
			copy(dy[at:], g)
		}
	}
	addRows(elems[T](dw), starts, func(i, j int) float64 { return dws[i*dim+j] })
	addRows(elems[T](dbias), starts, func(i, j int) float64 { return dy[i*heads*dim+j] })
	for i, g := range dy {
		Set(dx, i, g)
	}
}

// SwiGLU: out = silu(gate)·up.
func (device[T]) SwiGLU(out, gate, up gpu.Buf) {
	os, gs, us := elems[T](out), elems[T](gate), elems[T](up)
	for i := range os {
		g := float64(gs[i])
		os[i] = T(g * sigmoid(g) * float64(us[i]))
	}
}

// SwiGLUBack: silu'(g) = sigmoid(g)·(1 + g·(1 - sigmoid(g))).
func (device[T]) SwiGLUBack(dgate, dup, dout, gate, up gpu.Buf) {
	dg, du, do, gs, us := elems[T](dgate), elems[T](dup), elems[T](dout), elems[T](gate), elems[T](up)
	for i := range do {
		y, g, u := float64(do[i]), float64(gs[i]), float64(us[i])
		s := sigmoid(g)
		dg[i], du[i] = T(y*u*s*(1+g*(1-s))), T(y*g*s)
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Dropout keeps element i of a sequence, scaled by 1/(1-p), unless the hash falls below p.
func (device[T]) Dropout(out, x gpu.Buf, dim int, starts []int32, keys []uint64, p float32) {
	os, xs := elems[T](out), elems[T](x)
	for s, key := range keys {
		from := int(starts[s]) * dim
		for i := from; i < int(starts[s+1])*dim; i++ {
			if hash(key, i-from) < uint64(float64(p)*(1<<24)) {
				os[i] = 0
			} else {
				os[i] = T(float64(xs[i]) / (1 - float64(p)))
			}
		}
	}
}

// hash returns 24 even bits for the i-th element: splitmix64 from the state key.
func hash(key uint64, i int) uint64 {
	z := key + (uint64(i)+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) >> 40
}
