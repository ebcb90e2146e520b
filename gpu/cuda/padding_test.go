//go:build cuda && linux && amd64

package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"starbook/gpu"
)

// A step is captured once for a number of rows and of sequences, and replayed
// with fewer: empty sequences at the end and rows behind them change nothing,
// and what such rows get is zeros.
func TestPadding(t *testing.T) {
	d, err := open(Options{Cache: t.TempDir()}) // unchecked
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const n, padded, dim = 75, 150, 32
	short, long := []int32{0, 5, 70, n}, []int32{0, 5, 70, n, n, n}
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(typ gpu.Type, rows int) gpu.Buf {
		x := make([]float32, rows*dim)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		b := d.Alloc(typ, len(x))
		d.Upload(b, x)
		return b
	}
	bits := func(b gpu.Buf) []uint32 {
		x := make([]float32, b.Len)
		d.Download(x, b)
		out := make([]uint32, len(x))
		for i, v := range x {
			out[i] = math.Float32bits(v)
		}
		return out
	}
	// compare checks what the same op left with and without padding.
	compare := func(op string, width int, with, without gpu.Buf) {
		t.Helper()
		all, want := bits(with), bits(without)
		if !slices.Equal(all[:n*width], want) {
			t.Errorf("%s: rows depend on the padding", op)
		}
		for i, v := range all[n*width:] {
			if v != 0 {
				t.Errorf("%s: element %d of the padding is %v", op, i, math.Float32frombits(v))
				break
			}
		}
	}
	act := d.Activations()
	q, k, v, dout := random(act, padded), random(act, padded), random(act, padded), random(act, padded)
	run := func(starts []int32, rows int) (out [6]gpu.Buf) {
		for i := range out {
			out[i] = random(act, rows)
		}
		lse := random(gpu.F32, rows).Slice(0, rows)
		part := func(b gpu.Buf) gpu.Buf { return b.Slice(0, rows*dim) }
		s := gpu.Seqs{Starts: starts, Heads: 1, KVHeads: 1, Dim: dim, Scale: 0.2}
		d.Attention(out[0], lse, part(q), part(k), part(v), s)
		d.AttentionBack(out[1], out[2], out[3], part(dout), out[0], lse, part(q), part(k), part(v), s)
		d.Dropout(out[4], part(q), dim, starts, make([]uint64, len(starts)-1), 0.3)
		sum := d.Alloc(gpu.F32, dim*dim)
		d.MatMulRows(gpu.M(sum, dim, dim), gpu.M(part(q), rows, dim), gpu.M(part(k), rows, dim), starts, 1)
		out[5] = sum
		return out
	}
	with, without := run(long, padded), run(short, n)
	for i, op := range []string{"attention", "dq", "dk", "dv"} {
		compare(op, dim, with[i], without[i])
	}
	if !slices.Equal(bits(with[4])[:n*dim], bits(without[4])) {
		t.Error("dropout: rows depend on the padding")
	}
	if !slices.Equal(bits(with[5]), bits(without[5])) {
		t.Error("matmul rows: the sum depends on the padding")
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}
