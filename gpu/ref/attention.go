package ref

import (
	"math"

	"starbook/gpu"
)

// Attention: causal softmax attention over packed sequences.
func (device[T]) Attention(out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	o, l, qs, ks, vs := elems[T](out), elems[T](lse), elems[T](q), elems[T](k), elems[T](v)
	kv := s.KVHeads * s.Dim
	eachRow(s, func(i, first int) {
		for h := range s.Heads {
			g := h / (s.Heads / s.KVHeads)
			at := (i*s.Heads + h) * s.Dim
			l[i*s.Heads+h] = T(attend(o[at:at+s.Dim], qs[at:at+s.Dim],
				ks[first*kv+g*s.Dim:], vs[first*kv+g*s.Dim:], i-first+1, kv, float64(s.Scale)))
		}
	})
}

// eachRow calls f with every row and the first row that it sees.
func eachRow(s gpu.Seqs, f func(row, first int)) {
	for n := 0; n+1 < len(s.Starts); n++ {
		for i := s.Starts[n]; i < s.Starts[n+1]; i++ {
			f(int(i), seen(int(s.Starts[n]), int(i), s.Window))
		}
	}
}

// seen returns the first position that position i of a sequence starting at
// start sees through the window.
func seen(start, i, window int) int {
	if window > 0 {
		return max(start, i-window+1)
	}
	return start
}

// attend writes to out the attention of the query q over n keys and values
// that lie stride elements apart, and returns the log of the sum of exponentials.
func attend[T float](out, q, k, v []T, n, stride int, scale float64) float64 {
	score, top := make([]float64, n), math.Inf(-1)
	for j := range n {
		score[j] = scale * dot(q, k[j*stride:])
		top = max(top, score[j])
	}
	var sum float64
	for j := range n {
		score[j] = math.Exp(score[j] - top)
		sum += score[j]
	}
	for e := range out {
		var x float64
		for j := range n {
			x += score[j] / sum * float64(v[j*stride+e])
		}
		out[e] = T(x)
	}
	return top + math.Log(sum)
}

// dot returns the inner product of a with the first len(a) elements of b.
func dot[T float](a, b []T) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// AttentionBack: with p the weights of Attention and dp = dout·v, the scores'
// gradient is p·(dp - dout·out).
func (device[T]) AttentionBack(dq, dk, dv, dout, out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	do, o, l, qs, ks, vs := elems[T](dout), elems[T](out), elems[T](lse), elems[T](q), elems[T](k), elems[T](v)
	gq, gk, gv := make([]float64, len(qs)), make([]float64, len(ks)), make([]float64, len(vs))
	scale := float64(s.Scale)
	eachRow(s, func(i, first int) {
		for h := range s.Heads {
			x := (i*s.Heads + h) * s.Dim
			row := do[x : x+s.Dim]
			delta := dot(row, o[x:])
			for j := first; j <= i; j++ {
				y := (j*s.KVHeads + h/(s.Heads/s.KVHeads)) * s.Dim
				p := math.Exp(scale*dot(qs[x:x+s.Dim], ks[y:]) - float64(l[i*s.Heads+h]))
				ds := p * (dot(row, vs[y:]) - delta) * scale
				for e := range s.Dim {
					gq[x+e] += ds * float64(ks[y+e])
					gk[y+e] += ds * float64(qs[x+e])
					gv[y+e] += p * float64(row[e])
				}
			}
		}
	})
	store(dq, gq)
	store(dk, gk)
	store(dv, gv)
}

func store(b gpu.Buf, x []float64) {
	for i := range b.Len {
		Set(b, i, x[i])
	}
}

// CacheWrite: cache[slot[i], pos[i]] = rows[i].
func (device[T]) CacheWrite(cache, rows gpu.Buf, slot, pos []int32, context, dim int) {
	for i := range slot {
		for j := range dim {
			Set(cache, (int(slot[i])*context+int(pos[i]))*dim+j, At(rows, i*dim+j))
		}
	}
}

// AttentionCached: attention of new rows over caches of keys and values.
func (device[T]) AttentionCached(out, q, keys, values gpu.Buf, c gpu.Cached) {
	o, qs, ks, vs := elems[T](out), elems[T](q), elems[T](keys), elems[T](values)
	kv := c.KVHeads * c.Dim
	for i := range c.Slot {
		n := int(c.Len[i])
		first := seen(0, n-1, c.Window)
		for h := range c.Heads {
			x := (i*c.Heads + h) * c.Dim
			y := (int(c.Slot[i])*c.Context+first)*kv + h/(c.Heads/c.KVHeads)*c.Dim
			attend(o[x:x+c.Dim], qs[x:x+c.Dim], ks[y:], vs[y:], n-first, kv, float64(c.Scale))
		}
	}
}
