package gpu_test

import (
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// Every wrong argument is an error that names the operation, and never reaches
// the device.
func TestWrongArguments(t *testing.T) {
	d := ref.New()
	f := func(n int) gpu.Buf { return d.Alloc(gpu.F32, n) }
	seqs := gpu.Seqs{Starts: []int32{0, 2}, Heads: 2, KVHeads: 1, Dim: 2, Scale: 1}
	for want, call := range map[string]func(){
		"upload":           func() { d.Upload(f(2), []float32{1}) },
		"copy":             func() { d.Copy(f(2), f(3)) },
		"embed: id 3":      func() { d.Embed(f(4), f(6), []int32{0, 3}, 2) },
		"matmul: (2, 2)":   func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(6), 2, 3), gpu.M(f(4), 2, 2), 1, 0) },
		"reaches over":     func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(3), 2, 2), gpu.M(f(4), 2, 2), 1, 0) },
		"beta is 2":        func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), 1, 2) },
		"rmsnorm: w":       func() { d.RMSNorm(f(4), f(2), f(4), gpu.Buf{}, f(3), 2, 0) },
		"no halves":        func() { rotary(d, 3, gpu.Buf{}, gpu.Buf{}, f(1), 0) },
		"rotary: position": func() { rotary(d, 2, gpu.Buf{}, gpu.Buf{}, f(1), 1) },
		"rotary: bias has": func() { rotary(d, 2, f(1), gpu.Buf{}, f(1), 0) },
		"rotary: w has":    func() { rotary(d, 2, gpu.Buf{}, f(2), f(1), 0) },
		"end at row 1 of":  func() { d.MatMulRows(gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), []int32{0, 1}, 1) },
		"end at row 2 of":  func() { d.RMSNormBack(f(6), f(2), f(6), f(6), f(2), f(3), []int32{0, 2}, 2) },
		"whole blocks":     func() { d.Embed(f(16), gpu.Buf{Len: 32, Type: gpu.Q8_0}, []int32{0}, 16) },
		"nothing is quant": func() { d.Copy(gpu.Buf{Len: 32, Type: gpu.Q8_0}, f(32)) },
		"lse has 2":        func() { d.Attention(f(8), f(2), f(8), f(4), f(4), seqs) },
		"slot 1 of row 0":  func() { d.CacheWrite(f(4), f(2), []int32{1}, []int32{0}, 2, 2) },
		"target 2":         func() { d.CrossEntropy(f(1), f(2), []int32{2}, 2, 0) },
		"p is 1":           func() { d.Dropout(f(1), f(1), 1, []int32{0, 1}, []uint64{0}, 1) },
		"0 keys for 1":     func() { d.Dropout(f(1), f(1), 1, []int32{0, 1}, nil, 0) },
		"and clipping nee": func() { d.AdamW(f(1), f(1), f(1), f(1), gpu.Buf{}, gpu.AdamW{Step: 1, MaxNorm: 1}) },
		"adamw: step 0":    func() { d.AdamW(f(1), f(1), f(1), f(1), gpu.Buf{}, gpu.AdamW{}) },
		"adamw: the guard": func() { d.AdamW(f(1), f(1), f(1), f(1), f(1), gpu.AdamW{Step: 1}) },
		"guard: guard has": func() { d.Guard(f(2)) },
		"merge: b has 1":   func() { d.Merge(make([]byte, 8), f(2), f(1), f(2), 1, gpu.Merge{Rank: 2}) },
		"merge: out has":   func() { d.Merge(make([]byte, 8), f(2), f(2), f(1), 1, gpu.Merge{Rank: 1, Type: gpu.BF16}) },
		"merge: into Q8_0": func() { d.Merge(nil, f(2), f(2), f(1), 1, gpu.Merge{Rank: 1, Type: gpu.Q8_0}) },
		"0 random numbers": func() { d.Sample(make([]int32, 1), make([]float32, 1), f(2), 2, nil, gpu.Sampling{Temperature: 1}) },
		"temperature is a": func() {
			d.Sample(make([]int32, 1), make([]float32, 1), f(2), 2, make([]uint64, 1), gpu.Sampling{})
		},
		"argmax: logits": func() { d.Argmax(make([]int32, 2), make([]float32, 2), f(3), 2) },
		"length 3 of row": func() {
			d.AttentionCached(f(4), f(4), f(4), f(4), gpu.Cached{Slot: []int32{0}, Len: []int32{3}, Context: 2, Heads: 2, KVHeads: 1, Dim: 2})
		},
		"starts at row 1":  func() { s := seqs; s.Starts = []int32{1, 2}; d.Attention(f(8), f(4), f(8), f(4), f(4), s) },
		"3 heads over 2":   func() { s := seqs; s.Heads, s.KVHeads = 3, 2; d.Attention(f(12), f(6), f(12), f(8), f(8), s) },
		"swiglu: up has 1": func() { d.SwiGLU(f(2), f(2), f(1)) },
	} {
		call()
		if err := d.Sync(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := d.Sync(); err != nil {
			t.Errorf("the failure came back: %v", err)
		}
	}
}

// rotary calls Rotary for one head of one row.
func rotary(d gpu.Device, dim int, bias, w, angles gpu.Buf, pos int32) {
	x := d.Alloc(gpu.F32, dim)
	d.Rotary(x, gpu.Buf{}, x, bias, w, angles, angles, []int32{pos}, 1, dim, 0)
}

// An empty part of a Buf has no pointer: it would be one behind the end.
func TestSliceOfNothing(t *testing.T) {
	b := ref.New().Alloc(gpu.F32, 2)
	if s := b.Slice(2, 2); s.Ptr != nil || s.Len != 0 || s.Type != gpu.F32 {
		t.Errorf("%+v", s)
	}
}

// After a failure nothing happens until Sync has been asked.
func TestFailureSticks(t *testing.T) {
	d := ref.New()
	x := d.Alloc(gpu.F32, 2)
	d.Upload(x, []float32{1})
	d.Upload(x, []float32{1, 2})
	if d.Sync(); ref.At(x, 1) != 0 {
		t.Error("a call after a failure did something")
	}
	d.Upload(x, []float32{1, 2})
	if err := d.Sync(); err != nil || ref.At(x, 1) != 2 {
		t.Errorf("after Sync a call must work again: %v", err)
	}
}
