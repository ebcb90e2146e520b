package cpu

// #include "kernels.h"
import "C"

import "starbook/gpu"

// Attention computes every head of every sequence by itself.
func (d *device) Attention(out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	if !d.floats("attention", out, lse, q, k, v) {
		return
	}
	d.eachHead(s, s.Heads, func(q1 *C.Seq, head C.long, w int) {
		C.attention(d.isa, f(out), f(lse), f(q), f(k), f(v), q1, head, f(d.scratch[w]))
	})
}

// AttentionBack computes every query head of every sequence by itself, then adds
// up what those that share a key/value head have to say to it.
func (d *device) AttentionBack(dq, dk, dv, dout, out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	if !d.floats("attention back", dq, dk, dv, dout, out, lse, q, k, v) {
		return
	}
	width, group := s.Heads*s.Dim, s.Heads/s.KVHeads
	n := q.Len / width // rows
	shares := [2]gpu.Buf{dk, dv}
	if group > 1 {
		if !d.grow(&d.panels, 2*n*width) {
			return
		}
		shares = [2]gpu.Buf{d.panels.Slice(0, n*width), d.panels.Slice(n*width, 2*n*width)}
	}
	d.eachHead(s, s.Heads, func(q1 *C.Seq, head C.long, w int) {
		C.attention_back(d.isa, f(dq), f(shares[0]), f(shares[1]), f(dout), f(out), f(lse), f(q), f(k), f(v), q1, head, f(d.scratch[w]))
	})
	if group == 1 {
		return
	}
	for i, sum := range [2]gpu.Buf{dk, dv} {
		d.pool.each(n, rows(width), func(r, to, _ int) {
			C.sum_groups(d.isa, from(sum, r*s.KVHeads*s.Dim), from(shares[i], r*width), C.long((to-r)*s.Heads), C.long(group), C.long(s.Dim))
		})
	}
}

// eachHead calls work with each sequence and each of its heads.
func (d *device) eachHead(s gpu.Seqs, heads int, work func(q *C.Seq, head C.long, worker int)) {
	seqs := make([]C.Seq, 0, len(s.Starts))
	longest := 0
	for i := 0; i+1 < len(s.Starts); i++ {
		first, n := int(s.Starts[i]), int(s.Starts[i+1]-s.Starts[i])
		if n == 0 {
			continue
		}
		longest = max(longest, n)
		seqs = append(seqs, C.Seq{
			first: C.long(first), len: C.long(n), heads: C.long(s.Heads), kv: C.long(s.KVHeads),
			dim: C.long(s.Dim), window: C.long(s.Window), scale: C.float(s.Scale),
		})
	}
	if !d.spaces(int(C.attention_size(d.isa, C.long(longest), C.long(s.Dim)))) {
		return
	}
	d.pool.each(len(seqs)*heads, 1, func(i, to, w int) {
		for ; i < to; i++ {
			work(&seqs[i/heads], C.long(i%heads), w)
		}
	})
}

// CacheWrite: cache[slot[i], pos[i]] = rows[i].
func (d *device) CacheWrite(cache, rows gpu.Buf, slot, pos []int32, context, dim int) {
	if !d.floats("cache write", cache, rows) {
		return
	}
	for i := range slot {
		at := (int(slot[i])*context + int(pos[i])) * dim
		copy(bytes(cache.Slice(at, at+dim)), bytes(rows.Slice(i*dim, (i+1)*dim)))
	}
}

// AttentionCached computes every row and key/value head by itself.
func (d *device) AttentionCached(out, q, keys, values gpu.Buf, c gpu.Cached) {
	if !d.floats("cached attention", out, q, keys, values) {
		return
	}
	if !d.spaces(c.Context * c.Heads / c.KVHeads) {
		return
	}
	d.pool.each(len(c.Slot)*c.KVHeads, 1, func(i, to, w int) {
		for ; i < to; i++ {
			row, group := i/c.KVHeads, i%c.KVHeads
			at, slot := row*c.Heads*c.Dim, int(c.Slot[row])*c.Context*c.KVHeads*c.Dim
			n, first := int(c.Len[row]), 0
			if c.Window > 0 {
				first = max(0, n-c.Window)
			}
			C.attention_cached(d.isa, from(out, at), from(q, at), from(keys, slot), from(values, slot),
				C.long(first), C.long(n), C.long(c.Heads), C.long(c.KVHeads), C.long(c.Dim), C.long(group),
				C.float(c.Scale), f(d.scratch[w]))
		}
	})
}
