//go:build cuda && linux && amd64

package cuda

import "starbook/gpu"

// Attention: causal softmax attention over packed sequences.
func (d *device) Attention(out, lse, q, k, v gpu.Buf, s gpu.Seqs) { d.fail("attention: no kernel yet") }

// AttentionBack writes dq, dk and dv.
func (d *device) AttentionBack(dq, dk, dv, dout, out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	d.fail("attention back: no kernel yet")
}

// CacheWrite: cache[slot[i], pos[i]] = rows[i].
func (d *device) CacheWrite(cache, rows gpu.Buf, slot, pos []int32, context, dim int) {
	d.fail("cache write: no kernel yet")
}

// AttentionCached: attention of new rows over caches of keys and values.
func (d *device) AttentionCached(out, q, keys, values gpu.Buf, c gpu.Cached) {
	d.fail("cached attention: no kernel yet")
}
