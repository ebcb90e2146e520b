package cpu

// #include "kernels.h"
import "C"

import (
	"unsafe"

	"starbook/gpu"
)

// mergedTypes are the types that Merge writes, as C counts them.
var mergedTypes = map[gpu.Type]C.int{gpu.F32: C.TYPE_F32, gpu.BF16: C.TYPE_BF16, gpu.F16: C.TYPE_F16}

// Merge folds scale·B·A into w, a few rows at a time, whose sums are added up in
// their order.
func (d *device) Merge(out []byte, w, b, a gpu.Buf, dim int, m gpu.Merge) gpu.Merged {
	sum := gpu.Merged{Broken: -1}
	if w.Len == 0 || !d.floats("merge", b, a) || !d.spaces(C.MERGE_ROWS*dim) {
		return sum
	}
	few := C.MERGE_ROWS * dim
	parts := make([]C.Merged, (w.Len+few-1)/few)
	d.pool.each(len(parts), 1, func(p, to, worker int) {
		for ; p < to; p++ {
			part := w.Slice(p*few, min((p+1)*few, w.Len))
			var x *C.float
			if w.Type == gpu.F32 {
				x = f(part)
			} else {
				x = f(d.scratch[worker])
				d.unpack(x, part)
			}
			var rows *C.float
			if m.Rank > 0 {
				rows = from(b, p*C.MERGE_ROWS*m.Rank)
			}
			parts[p].broken = -1
			C.merge(d.isa, unsafe.Pointer(&out[m.Type.Bytes(p*few)]), mergedTypes[m.Type], x, rows, f(a),
				C.long(part.Len/dim), C.long(dim), C.long(m.Rank), C.float(m.Scale), flag(m.Twice), &parts[p])
		}
	})
	for p, part := range parts {
		sum.Add(gpu.Merged{
			Weights: min(few, w.Len-p*few), Dot: float64(part.dot), Delta: float64(part.delta), Lost: float64(part.lost),
			Changed: int(part.changed), Broken: int(part.broken),
		})
	}
	return sum
}

// unpack writes the elements of src, which are no floats, to y.
func (d *device) unpack(y *C.float, src gpu.Buf) {
	if src.Type == gpu.BF16 {
		C.convert(d.isa, unsafe.Pointer(y), 0, src.Ptr, 1, C.long(src.Len))
		return
	}
	d.decode(y, src)
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
