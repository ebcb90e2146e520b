//go:build cuda && linux && amd64

package cuda

import (
	"slices"
	"testing"

	"starbook/gpu"
)

// The same operations with other ids, targets and rates are one graph, which
// reads the new ones.
func TestReplay(t *testing.T) {
	d, err := open(Options{Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const rows, dim = 5, 8
	table, out, guard := d.Alloc(gpu.F32, 9*dim), d.Alloc(gpu.BF16, rows*dim), d.Alloc(gpu.F32, gpu.GuardLen)
	numbers := make([]float32, 9*dim)
	for i := range numbers {
		numbers[i] = float32(i / dim)
	}
	d.Upload(table, numbers)
	w, g, m, v := d.Alloc(gpu.F32, 3), d.Alloc(gpu.F32, 3), d.Alloc(gpu.F32, 3), d.Alloc(gpu.F32, 3)
	d.Upload(g, []float32{1, 1, 1})
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	before := len(d.queue.known)
	weight := float32(0)
	ids := make([]int32, rows) // the same slice each time, with other contents
	for turn := range 6 {
		for i := range ids {
			ids[i] = int32((i + turn) % 9)
		}
		rate := float64(turn + 1)
		d.Embed(out, table, ids, dim)
		d.Zero(m)
		d.Zero(v)
		d.AdamW(w, g, m, v, guard, gpu.AdamW{LR: rate, Beta1: 0.9, Beta2: 0.999, Step: 1, GradScale: 1})
		got, weights := make([]float32, rows*dim), make([]float32, 3)
		d.Download(got, out)
		d.Download(weights, w)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		for i, x := range got {
			if x != float32(ids[i/dim]) {
				t.Fatalf("turn %d: element %d is %v, want %d", turn, i, x, ids[i/dim])
			}
		}
		if weight -= float32(rate); weights[0] < weight-1e-4 || weights[0] > weight+1e-4 { // Adam's first step is the rate
			t.Fatalf("turn %d: the weight is %v, want %v", turn, weights[0], weight)
		}
	}
	if found := len(d.queue.known) - before; found != 1 || d.queue.known[0].graph == nil {
		t.Errorf("%d sequences of operations are known instead of one, captured: %v", found, d.queue.known[0].graph != nil)
	}
}

// What is staged in a queue that is too long for the area goes in several.
func TestStagingOverflows(t *testing.T) {
	d, err := open(Options{Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const times, rows, dim = 20, 4, 8
	starts := make([]int32, areaSize/4/10) // many sequences, all but the first empty
	for i := range starts[1:] {
		starts[1+i] = rows
	}
	x, out := d.Alloc(gpu.F32, times*rows*dim), d.Alloc(gpu.F32, times*rows*dim)
	want := make([]float32, x.Len)
	for i := range want {
		want[i] = float32(i)
	}
	d.Upload(x, want)
	for i := range times {
		from, to := i*rows*dim, (i+1)*rows*dim
		d.Dropout(out.Slice(from, to), x.Slice(from, to), dim, starts, make([]uint64, len(starts)-1), 0)
	}
	got := make([]float32, x.Len)
	d.Download(got, out)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	d.Embed(out, x, make([]int32, areaSize/4+1), 1)
	if d.Sync() == nil {
		t.Error("a list longer than the staging area was taken")
	}
}
