package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
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
	if d := amx(t, 2); d != nil {
		t.Run("amx", func(t *testing.T) { gputest.Conform(t, d, 1e-5, "matmul", "matmul rows") }) // all else is AVX-512's
	}
}

// amx returns a device that multiplies floats by BF16 weights on AMX, or nil.
func amx(t testing.TB, threads int) gpu.Device {
	d, err := New(Options{Threads: threads, ISA: "amx"})
	if err != nil {
		return nil
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Results must not depend on the number of threads.
func TestThreads(t *testing.T) {
	one, many := devices(t, 1), devices(t, 3)
	for isa := range one {
		t.Run(isa, func(t *testing.T) { gputest.Same(t, one[isa], many[isa]) })
	}
	if d := amx(t, 1); d != nil {
		t.Run("amx", func(t *testing.T) { gputest.Same(t, d, amx(t, 3), "matmul") })
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

// AMX cuts floats in three without loss: times one they are what they were.
func TestCutIsExact(t *testing.T) {
	d := amx(t, 2)
	if d == nil {
		t.Skip("this CPU has no AMX")
	}
	const n, rows = 70, 100
	x := make([]float32, rows*n)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range x {
		x[i] = math.Float32frombits(random.Uint32()&0x807fffff | (24+random.Uint32()%231)<<23) // from 2⁻¹⁰³ to the largest
	}
	copy(x, []float32{math.MaxFloat32, -math.MaxFloat32, 0, 1, 1 + 0x1p-23, 0x1.000002p-103})
	one := make([]float32, n*n)
	for i := range n {
		one[i*n+i] = 1
	}
	a, w, c := gpu.M(d.Alloc(gpu.F32, len(x)), rows, n), gpu.M(d.Alloc(gpu.BF16, n*n), n, n), gpu.M(d.Alloc(gpu.F32, len(x)), rows, n)
	d.Upload(a.Buf, x)
	d.Upload(w.Buf, one)
	for _, b := range []gpu.Mat{w, w.Transposed()} {
		d.MatMul(c, a, b, 1, 0)
		got := make([]float32, len(x))
		d.Download(got, c.Buf)
		if !slices.Equal(got, x) {
			t.Errorf("transposed %v: products with the unit matrix differ", b.T)
		}
	}
}

// Long sums of floats by BF16 weights are no worse on AMX than by multiply-adds of floats.
func TestSumsOnAMX(t *testing.T) {
	all := map[string]gpu.Device{"amx": amx(t, 2), "avx512": devices(t, 2)["avx512"]}
	if all["amx"] == nil {
		t.Skip("this CPU has no AMX")
	}
	const m, n, k = 40, 50, 5000
	random := rand.New(rand.NewPCG(5, 6))
	x, y := make([]float32, m*k), make([]float32, k*n)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	for i := range y {
		y[i] = math.Float32frombits(math.Float32bits(float32(random.NormFloat64())) &^ 0xffff)
	}
	sum := map[string]float64{} // of squares of errors
	for isa, d := range all {
		a, b, c := gpu.M(d.Alloc(gpu.F32, m*k), m, k), gpu.M(d.Alloc(gpu.BF16, k*n), k, n), gpu.M(d.Alloc(gpu.F32, m*n), m, n)
		d.Upload(a.Buf, x)
		d.Upload(b.Buf, y)
		d.MatMul(c, a, b, 1, 0)
		got := make([]float32, m*n)
		d.Download(got, c.Buf)
		for i := range m {
			for j := range n {
				want := 0.0
				for s := range k {
					want += float64(x[i*k+s]) * float64(y[s*n+j])
				}
				e := float64(got[i*n+j]) - want
				sum[isa] += e * e
			}
		}
	}
	t.Logf("root of the mean square: AMX %.3g, AVX-512 %.3g", math.Sqrt(sum["amx"]/m/n), math.Sqrt(sum["avx512"]/m/n))
	if sum["amx"] > sum["avx512"] {
		t.Errorf("squares of errors: %g on AMX, %g on AVX-512", sum["amx"], sum["avx512"])
	}
}

// A row of a product has the same bits whichever others share its batch, and
// so which way the product is computed.
func TestRowsOfBF16(t *testing.T) {
	for _, o := range []Options{{ISA: "amx"}, {ISA: "amx", BF16: true}, {ISA: "avx512", BF16: true}, {ISA: "avx2"}} {
		t.Run(fmt.Sprintf("%s/%t", o.ISA, o.BF16), func(t *testing.T) {
			o.Threads = 2
			d, err := New(o)
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
	if want := fmt.Sprintf("cpu (%s, 1 thread)", d.Name()[5:len(d.Name())-11]); d.Name() != want || (d.Kind() != "cpu") != strings.Contains(want, "AMX") {
		t.Errorf("name %q, kind %q", d.Name(), d.Kind())
	}
}
