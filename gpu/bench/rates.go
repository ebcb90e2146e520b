package bench

import (
	"context"
	"fmt"
	"time"

	"starbook/gpu"
)

// Best says how the machine's best rates are measured. Zeros stand for what
// suits the device.
type Best struct {
	Side int `json:"gemm_side"` // of the square matrices of a product
	MiB  int `json:"copy_mib"`  // that a copy copies
	N    int `json:"n"`         // measurements of each
}

// Rates are what the device does at best, by measurement in the same run.
type Rates struct {
	GEMM Figure // of a product of large matrices, TFLOP/s
	Copy Figure // read and written, GB/s
}

// figures returns both.
func (r Rates) figures() []Figure { return []Figure{r.GEMM, r.Copy} }

// measure measures the rates of a device.
func (o Best) measure(ctx context.Context, dev gpu.Device) (Rates, error) {
	if o.Side == 0 {
		o.Side = 1024
		if dev.Kind() == "cuda" {
			o.Side = 8192
		}
	}
	if o.MiB == 0 {
		o.MiB = 256
	}
	if o.N == 0 {
		o.N = 9
	}
	t, side := dev.Activations(), o.Side
	a, b, c := noise(dev, t, side*side), noise(dev, t, side*side), dev.Alloc(t, side*side)
	seconds, err := clock(ctx, dev, o.N, func() {
		dev.MatMul(gpu.M(c, side, side), gpu.M(a, side, side), gpu.M(b, side, side).Transposed(), 1, 0)
	})
	free(dev, a, b, c)
	if err != nil {
		return Rates{}, fmt.Errorf("bench: a product of %d: %w", side, err)
	}
	flop := 2 * float64(side) * float64(side) * float64(side)
	r := Rates{GEMM: measured("large GEMM", "TFLOP/s", scaled(seconds, func(s float64) float64 { return flop / s / 1e12 })...).
		noted("%d³, %v", side, t)}
	n := o.MiB << 20 / t.Bytes(1)
	from, to := noise(dev, t, n), dev.Alloc(t, n)
	seconds, err = clock(ctx, dev, o.N, func() { dev.Copy(to, from) })
	free(dev, from, to)
	if err != nil {
		return Rates{}, fmt.Errorf("bench: a copy of %d MiB: %w", o.MiB, err)
	}
	bytes := 2 * float64(t.Bytes(n))
	r.Copy = measured("copy", "GB/s", scaled(seconds, func(s float64) float64 { return bytes / s / 1e9 })...).
		noted("%d MiB read and written", o.MiB)
	return r, nil
}

// noise returns n elements that are not all alike: a GPU is faster on zeros.
func noise(dev gpu.Device, t gpu.Type, n int) gpu.Buf {
	const table = 1<<16 + 1
	values := make([]float32, min(n, table))
	x := uint32(1)
	for i := range values {
		x = x*1664525 + 1013904223 // Numerical Recipes
		values[i] = float32(int32(x)) / (1 << 31)
	}
	b := dev.Alloc(t, n)
	if b.Len < n { // the device has failed, and Sync will say so
		return b
	}
	dev.Upload(b.Slice(0, len(values)), values)
	for at := len(values); at < n; {
		m := min(at, n-at)
		dev.Copy(b.Slice(at, at+m), b.Slice(0, m))
		at += m
	}
	return b
}

func free(dev gpu.Device, bufs ...gpu.Buf) {
	for _, b := range bufs {
		dev.Free(b)
	}
}

// calls is how long the calls that are waited for together take at least: what
// waiting costs does not count then.
const calls = 10 * time.Millisecond

// clock returns the seconds that a call of f took, n times over: each time the
// mean of as many calls as fill a while. It is called before, until the device has made a
// graph of these calls.
func clock(ctx context.Context, dev gpu.Device, n int, f func()) ([]float64, error) {
	together := 1
	run := func() (time.Duration, error) {
		start := time.Now()
		for range together {
			f()
		}
		if err := dev.Sync(); err != nil {
			return 0, err
		}
		return time.Since(start), ctx.Err()
	}
	var once time.Duration
	for range 3 {
		var err error
		if once, err = run(); err != nil {
			return nil, err
		}
	}
	if together = min(int(calls/max(once, 1))+1, 100); together > 1 {
		for range 2 {
			if _, err := run(); err != nil {
				return nil, err
			}
		}
	}
	var seconds []float64
	for range n {
		took, err := run()
		if err != nil {
			return nil, err
		}
		seconds = append(seconds, took.Seconds()/float64(together))
	}
	return seconds, nil
}
