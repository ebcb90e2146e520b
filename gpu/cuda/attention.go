//go:build cuda && linux && amd64

package cuda

import (
	"fmt"

	"starbook/gpu"
)

// tile is what a kernel of attention works on at a time: keys, or rows, of a
// tile in shared memory, for heads up to a width. The zero tile stands for the
// kernels in F32, which do without and have a thread for each row and head.
type tile struct{ width, attend, backKV, backQ int }

// tiles are the widths of heads that there are kernels for.
var tiles = []tile{{32, 64, 64, 64}, {64, 64, 64, 64}, {128, 64, 32, 32}, {256, 32, 16, 16}}

// tileFor returns the tile for heads of a width.
func (d *device) tileFor(dim int) (tile, bool) {
	if d.act == gpu.F32 {
		return tile{}, d.err == nil
	}
	for _, t := range tiles {
		if dim <= t.width {
			return t, d.err == nil
		}
	}
	d.fail("attention: heads of %d: %d is the widest", dim, tiles[len(tiles)-1].width)
	return tile{}, false
}

// shared is bytes of shared memory for rows of E+8 numbers in BF16.
func (t tile) shared(rows int) int {
	if t.width == 0 {
		return 0
	}
	return 2 * rows * (t.width + 8)
}

// name completes the name of a kernel.
func (t tile) name(kernel string) string {
	if t.width == 0 {
		return kernel + "_f32"
	}
	return fmt.Sprintf("%s_bf16_%d", kernel, t.width)
}

// grid is blocks of 64 rows, which begin anew with each sequence, for each head.
func (t tile) grid(rows, seqs, heads int) grid {
	if t.width == 0 {
		return rowsOf((rows*heads+127)/128, 128)
	}
	return grid{[3]int{(rows+63)/64 + seqs, heads, 1}, [3]int{128, 1, 1}}
}

// Attention: causal softmax attention over packed sequences.
func (d *device) Attention(out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	t, ok := d.tileFor(s.Dim)
	rows, seqs := q.Len/(s.Heads*s.Dim), len(s.Starts)-1
	if !ok || rows == 0 {
		return
	}
	d.launchShared(t.name("attention"), t.grid(rows, seqs, s.Heads), t.shared(64+4*t.attend),
		out, lse, q, k, v, stageOf(d, s.Starts), seqs, rows, s.Heads, s.KVHeads, s.Dim, s.Window, float64(s.Scale))
}

// AttentionBack writes dk and dv in one pass, over the keys, and dq in another,
// over the rows.
func (d *device) AttentionBack(dq, dk, dv, dout, out, lse, q, k, v gpu.Buf, s gpu.Seqs) {
	t, ok := d.tileFor(s.Dim)
	rows, seqs := q.Len/(s.Heads*s.Dim), len(s.Starts)-1
	if !ok || rows == 0 || !d.grow(&d.parts, gpu.F32, rows*s.Heads) {
		return
	}
	starts, delta := stageOf(d, s.Starts), d.parts
	d.launch("attention_delta", bufs{dout}, rowsOf((rows*s.Heads+3)/4, 128), delta, dout, out, rows*s.Heads, s.Dim)
	d.launchShared(t.name("attention_back_kv"), t.grid(rows, seqs, s.KVHeads), t.shared(128+4*t.backKV)+16*t.backKV,
		dk, dv, dout, lse, delta, q, k, v, starts, seqs, rows, s.Heads, s.KVHeads, s.Dim, s.Window, float64(s.Scale))
	d.launchShared(t.name("attention_back_q"), t.grid(rows, seqs, s.Heads), t.shared(128+4*t.backQ),
		dq, dout, lse, delta, q, k, v, starts, seqs, rows, s.Heads, s.KVHeads, s.Dim, s.Window, float64(s.Scale))
}

// CacheWrite: cache[slot[i], pos[i]] = rows[i].
func (d *device) CacheWrite(cache, rows gpu.Buf, slot, pos []int32, context, dim int) {
	d.launch("cache_write", bufs{cache}, rowsOf(len(slot), 128), cache, rows, stageOf(d, slot), stageOf(d, pos), context, dim)
}

const (
	split      = 256 // positions of a cache that a block attends to
	groupHeads = 16  // heads that share a read of keys and values
)

// AttentionCached attends to the parts of a cache and joins them.
func (d *device) AttentionCached(out, q, keys, values gpu.Buf, c gpu.Cached) {
	t, ok := d.tileFor(c.Dim)
	rows, splits := len(c.Slot), (c.Context+split-1)/split
	if !ok || rows == 0 || !d.grow(&d.parts, gpu.F32, rows*c.Heads*splits*(c.Dim+2)) {
		return
	}
	lens := stageOf(d, c.Len)
	groups := c.KVHeads * ((c.Heads/c.KVHeads + groupHeads - 1) / groupHeads)
	g := grid{[3]int{splits, groups, rows}, [3]int{128, 1, 1}}
	if t.width == 0 {
		g = t.grid(rows, 0, c.Heads)
	}
	d.launchShared(t.name("attention_cached"), g, t.shared(groupHeads+4*64),
		out, d.parts, q, keys, values, stageOf(d, c.Slot), lens, rows, c.Context, c.Heads, c.KVHeads, c.Dim, c.Window, float64(c.Scale))
	if t.width == 0 {
		return
	}
	d.launch("attention_join", bufs{out}, rowsOf((rows*c.Heads+3)/4, 128), out, d.parts, lens, rows, c.Heads, splits, c.Dim, c.Window)
}
