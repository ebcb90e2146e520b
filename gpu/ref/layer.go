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
func (device[T]) RMSNormBack(dx, dw, dout, x, w, inv gpu.Buf, dim int) {
	gx, gw := elems[T](dx), elems[T](dw)
	do, xs, ws, rs := elems[T](dout), elems[T](x), elems[T](w), elems[T](inv)
	dws := make([]float64, dim)
	for i := range rs {
		r, row := float64(rs[i]), xs[i*dim:(i+1)*dim]
		var mean float64
		for j := range row {
			mean += float64(do[i*dim+j]) * float64(ws[j]) * float64(row[j]) / float64(dim)
		}
		for j := range row {
			g, x := float64(do[i*dim+j]), float64(row[j])
			gx[i*dim+j] += T(r * (g*float64(ws[j]) - x*r*r*mean))
			dws[j] += g * x * r
		}
	}
	for j := range gw {
		gw[j] += T(dws[j])
	}
}

// RoPE turns each pair (x[j], x[j+dim/2]) of a head by its row's angle j.
func (device[T]) RoPE(x, cos, sin gpu.Buf, pos []int32, heads, dim int, back bool) {
	xs, cs, ss := elems[T](x), elems[T](cos), elems[T](sin)
	half := dim / 2
	for i := range pos {
		for h := range heads {
			head := xs[(i*heads+h)*dim:]
			for j := range half {
				c, s := float64(cs[int(pos[i])*half+j]), float64(ss[int(pos[i])*half+j])
				if back {
					s = -s
				}
				a, b := float64(head[j]), float64(head[j+half])
				head[j], head[j+half] = T(a*c-b*s), T(b*c+a*s)
			}
		}
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

// Dropout keeps element i, scaled by 1/(1-p), unless the hash falls below p.
func (device[T]) Dropout(out, x gpu.Buf, p float32, key uint64) {
	os, xs := elems[T](out), elems[T](x)
	for i := range xs {
		if hash(key, i) < uint64(float64(p)*(1<<24)) {
			os[i] = 0
		} else {
			os[i] = T(float64(xs[i]) / (1 - float64(p)))
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
