package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"starbook/gpu"
)

// A product by strips has the bits that the same rows have before there are strips
// and in a large batch, also where a block of steps ends within a group.
func TestStrips(t *testing.T) {
	for _, o := range []Options{{ISA: "amx"}, {ISA: "amx", BF16: true}, {ISA: "avx512"}, {ISA: "avx2"}, {ISA: "sse"}, {ISA: "neon"}} {
		o.Threads = 3
		d, err := newDevice(o)
		if err != nil {
			continue
		}
		t.Cleanup(func() { d.Close() })
		for typ := range stripTypes {
			if o.ISA == "amx" && typ != gpu.BF16 {
				continue // as AVX-512
			}
			for _, shape := range [][2]int{{96, 768}, {100, 32}, {70, 896}, {320, 576}} {
				t.Run(fmt.Sprintf("%s/%t/%v/%dx%d", o.ISA, o.BF16, typ, shape[0], shape[1]), func(t *testing.T) {
					compareStrips(t, d, typ, shape[0], shape[1])
				})
			}
		}
	}
}

func compareStrips(t *testing.T, d *device, typ gpu.Type, n, k int) {
	const all = 100
	w := gpu.M(d.Load(typ, weights(typ, n*k)), n, k).Transposed()
	x, _, y := operands(d, all, n, k, "nt", gpu.F32)
	var want [2][]float32
	for beta := range want {
		d.MatMul(y, x, w, 0.7, float32(beta))
		want[beta] = slices.Clone(floats(y.Buf))
	}
	most := stripRows
	if typ == gpu.BF16 && d.gemm != d.isa {
		most = tileRows
	}
	for use := range stripUses + stripRows {
		rows := 1 + use*7%most
		z := gpu.M(d.Alloc(gpu.F32, rows*n), rows, n)
		for beta := range want {
			d.MatMul(z, gpu.M(x.Buf.Slice(0, rows*k), rows, k), w, 0.7, float32(beta))
			if got := floats(z.Buf); !slices.Equal(got, want[beta][:len(got)]) || slices.Min(got) == slices.Max(got) {
				t.Errorf("use %d: %d rows, %d·c: the bits differ", use, rows, beta)
			}
		}
	}
	if d.lent[w.Buf.Ptr].strips.Len == 0 {
		t.Error("there are no strips")
	}
	before := len(d.owned)
	if d.Free(w.Buf); len(d.owned) != before-1 {
		t.Error("the strips were not freed with the weights")
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// So it has on AMX where products are subnormal numbers, which AMX takes for zeros.
func TestStripsOfTinyNumbers(t *testing.T) {
	d, err := newDevice(Options{Threads: 1, ISA: "amx"})
	if err != nil {
		t.Skip(err)
	}
	defer d.Close()
	const n, k, all = 64, 64, 100
	w := gpu.M(d.Load(gpu.BF16, weights(gpu.BF16, n*k)), n, k).Transposed()
	x, _, y := operands(d, all, n, k, "nt", gpu.F32)
	for i, v := range floats(x.Buf) {
		floats(x.Buf)[i] = v * float32(math.Exp2(float64(-130+i%40)))
	}
	d.MatMul(y, x, w, 1, 0)
	for use := range stripUses + 2 {
		z := gpu.M(d.Alloc(gpu.F32, n), 1, n)
		d.MatMul(z, gpu.M(x.Buf.Slice(use*k, (use+1)*k), 1, k), w, 1, 0)
		if !slices.Equal(floats(z.Buf), floats(y.Buf)[use*n:][:n]) {
			t.Errorf("use %d: the bits differ", use)
		}
	}
	if d.lent[w.Buf.Ptr].strips.Len == 0 || slices.Max(floats(y.Buf)) == 0 {
		t.Error("there are no strips, or all is zero")
	}
}

// weights returns n random weights of a type, none of them large.
func weights(t gpu.Type, n int) []byte {
	raw, size := make([]byte, t.Bytes(n)), t.Bytes(t.Block())
	for i := range raw {
		raw[i] = byte(i*i*7 + i/5)
		if at := i % size; at == 1 || at == 3 && t == gpu.Q4_1 { // the upper half of a half, of some 0.03
			raw[i] = byte(0x28+i/size%5) | byte(i/size%3&1)<<7
		}
		if at := i % size; at == size-1 && (t == gpu.F32 || t == gpu.BF16) {
			raw[i] = byte(0x3c+i/size%3) | byte(i/size%5&1)<<7
		}
	}
	return raw
}
