package cpu

// #include "kernels.h"
import "C"

import "starbook/gpu"

// Rotary: bias, norm and rotation of every head.
func (d *device) Rotary(out, inv, x, bias, w, cos, sin gpu.Buf, pos []int32, heads, dim int, eps float32) {
	if !d.floats("rotary", out, inv, x, cos, sin) {
		return
	}
	h := d.head(bias, w)
	d.pool.each(len(pos), rows(heads*dim), func(i, to, _ int) {
		at, n, y := i*heads*dim, C.long(to-i), x
		if bias.Len+w.Len > 0 || cos.Len == 0 {
			C.head_norm(d.isa, from(out, at), maybe(inv, i*heads), from(x, at), f(h.bias), f(h.w), n, C.long(heads), C.long(dim), C.float(eps))
			y = out
		}
		if cos.Len > 0 {
			C.rotate(d.isa, from(out, at), from(y, at), f(cos), f(sin), ints(pos[i:]), n, C.long(heads), C.long(dim), 1)
		}
	})
}

// RotaryBack goes the same way back; sums over rows are made row by row.
func (d *device) RotaryBack(dx, dbias, dw, dout, x, bias, w, inv, cos, sin gpu.Buf, pos, _ []int32, heads, dim int) {
	if !d.floats("rotary back", dx, dbias, dw, dout, x, inv, cos, sin) {
		return
	}
	h := d.head(bias, w)
	n, hs, e := C.long(len(pos)), C.long(heads), C.long(dim)
	if cos.Len > 0 {
		d.pool.each(len(pos), rows(heads*dim), func(i, to, _ int) {
			at := i * heads * dim
			C.rotate(d.isa, from(dx, at), from(dout, at), f(cos), f(sin), ints(pos[i:]), C.long(to-i), hs, e, -1)
		})
	} else if dx.Ptr != dout.Ptr {
		d.Copy(dx, dout)
	}
	if dw.Len > 0 {
		d.pool.each(dim, columns(len(pos)*heads), func(from, to, _ int) {
			C.head_norm_back_w(d.isa, f(dw), f(dx), f(x), f(h.bias), f(inv), n, hs, e, C.long(from), C.long(to))
		})
	}
	if w.Len > 0 {
		d.pool.each(len(pos), rows(heads*dim), func(i, to, _ int) {
			at := i * heads * dim
			C.head_norm_back(d.isa, from(dx, at), from(x, at), f(h.bias), f(h.w), from(inv, i*heads), C.long(to-i), hs, e)
		})
	}
	if dbias.Len > 0 {
		d.pool.each(heads*dim, columns(len(pos)), func(from, to, _ int) {
			C.sum_rows(d.isa, f(dbias), f(dx), n, hs*e, C.long(from), C.long(to))
		})
	}
}

// head is the weights of Rotary in F32.
type head struct{ bias, w gpu.Buf }

// head returns bias and w in F32, which last until the next call.
func (d *device) head(bias, w gpu.Buf) head {
	if bias.Type == gpu.F32 && w.Type == gpu.F32 || !d.grow(&d.panels, bias.Len+w.Len) {
		return head{bias, w}
	}
	h := head{d.panels.Slice(0, bias.Len), d.panels.Slice(bias.Len, bias.Len+w.Len)}
	d.Copy(h.bias, bias)
	d.Copy(h.w, w)
	return h
}

// maybe is from, or none of none.
func maybe(b gpu.Buf, i int) *C.float {
	if b.Len == 0 {
		return nil
	}
	return from(b, i)
}
