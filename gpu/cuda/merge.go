//go:build cuda && linux && amd64

package cuda

import (
	"encoding/binary"
	"math"

	"starbook/gpu"
)

// sumsSize is the bytes of Sums in merge.cu: three float64, two int64.
const sumsSize = 40

// Merge folds scale·B·A into w.
func (d *device) Merge(out []byte, w, b, a gpu.Buf, dim int, m gpu.Merge) gpu.Merged {
	sum := gpu.Merged{Weights: w.Len, Broken: -1}
	if w.Len == 0 {
		return sum
	}
	rows, twice := w.Len/dim, 0
	if m.Twice {
		twice = 1
	}
	x := w
	if w.Type != gpu.F32 {
		x = d.raw(gpu.F32, w.Len)
		defer d.Free(x)
		d.Copy(x, w)
	}
	merged := d.raw(m.Type, w.Len)
	defer d.Free(merged)
	g := grid{[3]int{(rows + 3) / 4, (dim + 1023) / 1024, 1}, [3]int{128, 1, 1}}
	blocks := g.blocks[0] * g.blocks[1]
	if !d.grow(&d.parts, gpu.F32, (blocks+1)*sumsSize/4) {
		return sum
	}
	total, parts := d.parts.Slice(0, sumsSize/4), d.parts.Slice(sumsSize/4, d.parts.Len)
	d.launch("merge", bufs{merged}, g, merged, x, b, a, parts, rows, dim, m.Rank, float64(m.Scale), twice)
	d.launch("merge_sums", nil, rowsOf(1, 128), total, parts, blocks)
	d.receive(merged.Ptr, len(out), func(piece []byte, from int) { copy(out[from:], piece) })
	d.receive(total.Ptr, sumsSize, func(s []byte, _ int) {
		word := func(i int) uint64 { return binary.LittleEndian.Uint64(s[8*i:]) }
		sum.Dot, sum.Delta, sum.Lost = math.Float64frombits(word(0)), math.Float64frombits(word(1)), math.Float64frombits(word(2))
		sum.Changed = int(word(3))
		if broken := int(word(4)); broken < w.Len {
			sum.Broken = broken
		}
	})
	return sum
}
