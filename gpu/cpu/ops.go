package cpu

// #include "kernels.h"
import "C"

import (
	"math"
	"slices"
	"unsafe"

	"starbook/gpu"
)

// grain is the elements in a range of work: enough that the call is nothing
// beside it, few enough to share out. It is a multiple of every vector.
const grain = 1 << 14

// rows returns how many rows of the given width make a range of work.
func rows(width int) int { return max(1, grain/max(width, 1)) }

// Copy copies src to dst, converting between types.
func (d *device) Copy(dst, src gpu.Buf) {
	if d.err != nil {
		return
	}
	if src.Type.WeightsOnly() {
		d.dequantise(dst, src)
		return
	}
	d.pool.each(src.Len, 4*grain, func(from, to, _ int) {
		y, x := dst.Slice(from, to), src.Slice(from, to)
		if y.Type == x.Type {
			copy(bytes(y), bytes(x))
			return
		}
		C.convert(d.isa, y.Ptr, bf16(y), x.Ptr, bf16(x), C.long(x.Len))
	})
}

// bytes returns b's memory.
func bytes(b gpu.Buf) []byte { return unsafe.Slice((*byte)(b.Ptr), b.Type.Bytes(b.Len)) }

// Axpy: y += alpha·x.
func (d *device) Axpy(y, x gpu.Buf, alpha float32) {
	if !d.plain("axpy", y, x) {
		return
	}
	d.pool.each(x.Len, grain, func(from, to, _ int) {
		y, x := y.Slice(from, to), x.Slice(from, to)
		C.axpy(d.isa, y.Ptr, bf16(y), x.Ptr, bf16(x), C.float(alpha), C.long(x.Len))
	})
}

// Embed: out[i] = table[ids[i]].
func (d *device) Embed(out, table gpu.Buf, ids []int32, dim int) {
	if !d.floats("embed", out) {
		return
	}
	if table.Type.WeightsOnly() {
		d.embedBlocks(out, table, ids, dim)
		return
	}
	d.pool.each(len(ids), rows(dim), func(from, to, _ int) {
		C.embed(d.isa, f(out), table.Ptr, bf16(table), ints(ids), C.long(from), C.long(to), C.long(dim))
	})
}

// EmbedBack: dtable[ids[i]] += dout[i]. Each worker has columns of its own, so
// that the order is that of i.
func (d *device) EmbedBack(dtable, dout gpu.Buf, ids []int32, dim int) {
	if !d.floats("embed back", dtable, dout) {
		return
	}
	d.pool.each(dim, columns(len(ids)), func(from, to, _ int) {
		C.embed_back(d.isa, f(dtable), f(dout), ints(ids), C.long(len(ids)), C.long(dim), C.long(from), C.long(to))
	})
}

// columns returns how many columns of the given height make a range of work.
func columns(height int) int { return max(64, rows(height)/64*64) }

// RMSNorm: x += add, then out = x·inv·w.
func (d *device) RMSNorm(out, inv, x, add, w gpu.Buf, dim int, eps float32) {
	if !d.floats("rmsnorm", out, inv, x, add) {
		return
	}
	w = d.widened(w)
	d.pool.each(inv.Len, rows(dim), func(i, to, _ int) {
		a := f(add)
		if a != nil {
			a = from(add, i*dim)
		}
		C.rmsnorm(d.isa, from(out, i*dim), from(inv, i), from(x, i*dim), a, f(w), C.long(to-i), C.long(dim), C.float(eps))
	})
}

// widened returns w in F32: itself, or a copy that lasts until the next call.
func (d *device) widened(w gpu.Buf) gpu.Buf {
	if w.Type == gpu.F32 || !d.grow(&d.panels, w.Len) {
		return w
	}
	b := d.panels.Slice(0, w.Len)
	d.Copy(b, w)
	return b
}

// RMSNormBack: dx += gradient to x, dw += gradient to w, row by row.
func (d *device) RMSNormBack(dx, dw, dout, x, w, inv gpu.Buf, _ []int32, dim int) {
	if !d.floats("rmsnorm back", dx, dw, dout, x, inv) {
		return
	}
	w = d.widened(w)
	d.pool.each(inv.Len, rows(dim), func(i, to, _ int) {
		C.rmsnorm_back(d.isa, from(dx, i*dim), from(dout, i*dim), from(x, i*dim), f(w), from(inv, i), C.long(to-i), C.long(dim))
	})
	if dw.Len > 0 {
		d.pool.each(dim, columns(inv.Len), func(from, to, _ int) {
			C.rmsnorm_back_w(d.isa, f(dw), f(dout), f(x), f(inv), C.long(inv.Len), C.long(dim), C.long(from), C.long(to))
		})
	}
}

// Dropout zeroes elements with probability p and scales the others.
func (d *device) Dropout(out, x gpu.Buf, dim int, starts []int32, keys []uint64, p float32) {
	if !d.floats("dropout", out, x) {
		return
	}
	d.pool.each(x.Len/dim, rows(dim), func(row, to, _ int) {
		s, _ := slices.BinarySearch(starts, int32(row+1)) // behind the sequence of this row
		for s--; s < len(keys) && int(starts[s]) < to; s++ {
			first := int(starts[s])
			lo, hi := max(row, first)-first, min(to, int(starts[s+1]))-first
			if lo < hi {
				at := first * dim
				C.dropout(d.isa, from(out, at), from(x, at), C.long(lo*dim), C.long(hi*dim), C.float(p), C.uint64_t(keys[s]))
			}
		}
	})
}

// SwiGLU: out = silu(gate)·up.
func (d *device) SwiGLU(out, gate, up gpu.Buf) {
	if !d.floats("swiglu", out, gate, up) {
		return
	}
	d.pool.each(out.Len, grain, func(i, to, _ int) {
		C.swiglu(d.isa, from(out, i), from(gate, i), from(up, i), C.long(to-i))
	})
}

// SwiGLUBack writes dgate and dup.
func (d *device) SwiGLUBack(dgate, dup, dout, gate, up gpu.Buf) {
	if !d.floats("swiglu back", dgate, dup, dout, gate, up) {
		return
	}
	d.pool.each(dout.Len, grain, func(i, to, _ int) {
		C.swiglu_back(d.isa, from(dgate, i), from(dup, i), from(dout, i), from(gate, i), from(up, i), C.long(to-i))
	})
}

// CrossEntropy writes the loss of each row and, if scale is not 0, its gradient.
func (d *device) CrossEntropy(loss, logits gpu.Buf, targets []int32, vocab int, scale float32) {
	if !d.floats("cross-entropy", loss, logits) {
		return
	}
	d.pool.each(len(targets), rows(vocab), func(i, to, _ int) {
		C.cross_entropy(d.isa, from(loss, i), from(logits, i*vocab), ints(targets[i:]), C.long(to-i), C.long(vocab), C.float(scale))
	})
}

// Argmax finds the largest logit of each row.
func (d *device) Argmax(ids []int32, logp []float32, logits gpu.Buf, vocab int) {
	if !d.floats("argmax", logits) {
		return
	}
	d.pool.each(len(ids), rows(vocab), func(i, to, _ int) {
		C.argmax(d.isa, ints(ids[i:]), (*C.float)(&logp[i]), from(logits, i*vocab), C.long(to-i), C.long(vocab))
	})
}

// Sample draws a token of each row.
func (d *device) Sample(ids []int32, logp []float32, logits gpu.Buf, vocab int, random []uint64, s gpu.Sampling) {
	d.Argmax(ids, logp, logits, vocab)
	if d.err != nil {
		return
	}
	d.pool.each(len(ids), 1, func(i, to, _ int) {
		for ; i < to; i++ {
			row := floats(logits.Slice(i*vocab, (i+1)*vocab))
			drawn := s.Draw(row, random[i])
			logp[i] += row[drawn] - row[ids[i]]
			ids[i] = int32(drawn)
		}
	})
}

// Sum: out[0] += Σx.
func (d *device) Sum(out, x gpu.Buf) {
	if !d.floats("sum", out, x) {
		return
	}
	sum := float64(floats(out)[0])
	for _, v := range floats(x) {
		sum += float64(v)
	}
	floats(out)[0] = float32(sum)
}

// Guard counts a skip unless both sums are finite.
func (d *device) Guard(guard gpu.Buf) {
	if d.floats("guard", guard) && !sound(floats(guard)) {
		floats(guard)[gpu.GuardSkips]++
	}
}

// sound reports whether both sums of a guard are finite.
func sound(guard []float32) bool {
	sum := float64(guard[gpu.GuardSquares]) + float64(guard[gpu.GuardLoss])
	return !math.IsNaN(sum) && !math.IsInf(sum, 0)
}

// floats returns the elements of b, which is F32.
func floats(b gpu.Buf) []float32 { return unsafe.Slice((*float32)(b.Ptr), b.Len) }

// SumSquares: out[0] = Σx², in ranges that do not depend on the workers.
func (d *device) SumSquares(out, x gpu.Buf) {
	if !d.floats("sum of squares", out, x) {
		return
	}
	parts := make([]float64, (x.Len+grain-1)/grain)
	d.pool.each(len(parts), 1, func(p, to, _ int) {
		for ; p < to; p++ {
			i := p * grain
			parts[p] = float64(C.sum_squares(d.isa, from(x, i), C.long(min(grain, x.Len-i))))
		}
	})
	var sum float64
	for _, p := range parts {
		sum += p
	}
	*(*float32)(out.Ptr) = float32(sum)
}

// AdamW updates w, m and v. The scalars are computed in float64.
func (d *device) AdamW(w, g, m, v, guard gpu.Buf, o gpu.AdamW) {
	if !d.floats("adamw", w, g, m, v, guard) {
		return
	}
	grad, t := o.GradScale, float64(o.Step)
	if guard.Len > 0 {
		if !sound(floats(guard)) {
			return
		}
		t -= float64(floats(guard)[gpu.GuardSkips])
	}
	if o.MaxNorm > 0 {
		norm := math.Sqrt(float64(floats(guard)[gpu.GuardSquares])) * o.GradScale
		grad *= min(1, o.MaxNorm/(norm+1e-6))
	}
	step := o.LR / (1 - math.Pow(o.Beta1, t))
	root := 1 / math.Sqrt(1-math.Pow(o.Beta2, t))
	d.pool.each(w.Len, grain, func(i, to, _ int) {
		C.adamw(d.isa, from(w, i), from(g, i), from(m, i), from(v, i), C.long(to-i), C.float(grad),
			C.float(1-o.LR*o.WeightDecay), C.float(1-o.Beta1), C.float(1-o.Beta2), C.float(step), C.float(root), C.float(o.Eps))
	})
}
