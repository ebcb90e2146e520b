package cpu

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/gputest"
)

// devices returns a device for every instruction set of this CPU.
func devices(t testing.TB, threads int) map[string]gpu.Device {
	all := map[string]gpu.Device{}
	for _, isa := range []string{"avx512", "avx2", "sse", "neon"} {
		d, err := New(Options{Threads: threads, ISA: isa})
		if err != nil {
			continue
		}
		t.Cleanup(func() { d.Close() })
		all[isa] = d
	}
	return all
}

func TestConform(t *testing.T) {
	for isa, d := range devices(t, 2) {
		t.Run(isa, func(t *testing.T) { gputest.Conform(t, d, 1e-5) })
	}
}

// Results must not depend on the number of threads.
func TestThreads(t *testing.T) {
	one, many := devices(t, 1), devices(t, 3)
	for isa := range one {
		t.Run(isa, func(t *testing.T) { gputest.Same(t, one[isa], many[isa]) })
	}
}

// Products have the same bits on all CPUs with FMA.
func TestProductsSameOnAVX2(t *testing.T) {
	all := devices(t, 2)
	if all["avx512"] == nil || all["avx2"] == nil {
		t.Skip("this CPU has no AVX-512")
	}
	gputest.Same(t, all["avx512"], all["avx2"], "matmul")
}

// With Options.BF16 products with BF16 weights are as good as bfloat16 is, and
// others as good as float.
func TestBF16(t *testing.T) {
	for _, isa := range []string{"amx", "avx512"} {
		t.Run(isa, func(t *testing.T) {
			var d [2]gpu.Device
			for i, threads := range []int{1, 3} {
				var err error
				if d[i], err = New(Options{Threads: threads, ISA: isa, BF16: true}); err != nil {
					t.Skip(err)
				}
				t.Cleanup(func() { d[i].Close() })
			}
			gputest.Conform(t, d[1], 1e-2, "matmul", "matmul blocks", "matmul rows") // the others are those of TestConform
			gputest.Same(t, d[0], d[1], "matmul")
		})
	}
}

// A row of a product has the same bits whichever others share its batch, and
// so which way the product is computed.
func TestRowsOfBF16(t *testing.T) {
	for _, isa := range []string{"amx", "avx512", "avx2"} {
		t.Run(isa, func(t *testing.T) {
			d, err := New(Options{Threads: 2, ISA: isa, BF16: isa != "avx2"})
			if err != nil {
				t.Skip(err)
			}
			defer d.Close()
			for _, k := range []int{16, 33, 64, 800} {
				for _, form := range []form{"nn", "nt"} {
					const n, all = 83, 100
					x, w, y := operands(d, all, n, k, form, gpu.BF16)
					d.MatMul(y, x, w, 0.7, 0)
					want := make([]float32, all*n)
					d.Download(want, y.Buf)
					for _, rows := range []int{1, 7, 16, 17, 33, 64} {
						got := make([]float32, rows*n)
						z := gpu.M(d.Alloc(gpu.F32, len(got)), rows, n)
						d.MatMul(z, gpu.M(x.Buf.Slice(0, rows*k), rows, k), w, 0.7, 0)
						d.Download(got, z.Buf)
						if !slices.Equal(got, want[:len(got)]) {
							t.Errorf("%s, %d steps: %d rows alone differ", form, k, rows)
						}
					}
				}
			}
		})
	}
}

// So has a row of a product with quantised weights.
func TestRowsOfBlocks(t *testing.T) {
	for isa, d := range devices(t, 2) {
		for _, typ := range []gpu.Type{gpu.Q8_0, gpu.Q4_0, gpu.Q4_1, gpu.Q6_K} {
			const n, k, all = 96, 768, 100
			raw := make([]byte, typ.Bytes(n*k))
			for i := range raw {
				raw[i] = byte(i*i*7 + i/5)
				if size := typ.Bytes(typ.Block()); i%size == 1 || i%size == 3 && typ == gpu.Q4_1 || i%size == size-1 && typ == gpu.Q6_K {
					raw[i] = byte(0x28 + i%5) // upper half of a scale: some 0.03
				}
			}
			w := gpu.M(d.Load(typ, raw), n, k).Transposed()
			x, _, y := operands(d, all, n, k, "nt", gpu.F32)
			d.MatMul(y, x, w, 0.7, 0)
			want := make([]float32, all*n)
			d.Download(want, y.Buf)
			for _, rows := range []int{1, 3, 4, 13, 64} {
				got := make([]float32, rows*n)
				z := gpu.M(d.Alloc(gpu.F32, len(got)), rows, n)
				d.MatMul(z, gpu.M(x.Buf.Slice(0, rows*k), rows, k), w, 0.7, 0)
				d.Download(got, z.Buf)
				if !slices.Equal(got, want[:len(got)]) || slices.Max(got) == 0 {
					t.Errorf("%s, %v: %d rows alone differ", isa, typ, rows)
				}
			}
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{ISA: "mmx"}, {Threads: -1}, {ISA: strings.ToLower(base()), BF16: true}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	t.Setenv("STARBOOK_ISA", base())
	if _, err := New(Options{Threads: 1}); err == nil {
		t.Fatal("STARBOOK_ISA is lower case: no error")
	}
	t.Setenv("STARBOOK_ISA", "")
	d, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if want := fmt.Sprintf("cpu (%s, 1 thread)", d.Name()[5:len(d.Name())-11]); d.Name() != want || d.Kind() != "cpu" {
		t.Errorf("name %q, kind %q", d.Name(), d.Kind())
	}
}
