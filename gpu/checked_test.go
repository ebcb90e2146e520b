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
		"upload":          func() { d.Upload(f(2), []float32{1}) },
		"copy":            func() { d.Copy(f(2), f(3)) },
		"embed: id 3":     func() { d.Embed(f(4), f(6), []int32{0, 3}, 2) },
		"matmul: (2, 2)":  func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(6), 2, 3), gpu.M(f(4), 2, 2), 1, 0) },
		"reaches over":    func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(3), 2, 2), gpu.M(f(4), 2, 2), 1, 0) },
		"beta is 2":       func() { d.MatMul(gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), gpu.M(f(4), 2, 2), 1, 2) },
		"rmsnorm: w":      func() { d.RMSNorm(f(4), f(2), f(4), gpu.Buf{}, f(3), 2, 0) },
		"no halves":       func() { d.RoPE(f(3), f(1), f(1), []int32{0}, 1, 3, false) },
		"rope: position":  func() { d.RoPE(f(2), f(1), f(1), []int32{1}, 1, 2, false) },
		"lse has 2":       func() { d.Attention(f(8), f(2), f(8), f(4), f(4), seqs) },
		"slot 1 of row 0": func() { d.CacheWrite(f(4), f(2), []int32{1}, []int32{0}, 2, 2) },
		"target 2":        func() { d.CrossEntropy(f(1), f(2), []int32{2}, 2, 0) },
		"p is 1":          func() { d.Dropout(f(1), f(1), 1, 0) },
		"adamw: clipping": func() { d.AdamW(f(1), f(1), f(1), f(1), gpu.Buf{}, gpu.AdamW{Step: 1, MaxNorm: 1}) },
		"adamw: step 0":   func() { d.AdamW(f(1), f(1), f(1), f(1), f(1), gpu.AdamW{}) },
		"argmax: logits":  func() { d.Argmax(make([]int32, 2), make([]float32, 2), f(3), 2) },
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
