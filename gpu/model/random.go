package model

import (
	"fmt"
	"math/rand/v2"

	"starbook/gpu"
)

// tableLen is how many random numbers Random draws: 2²⁰, and 7 more so that the
// rows of a matrix do not repeat.
const tableLen = 1<<20 + 7

// Random returns a Transformer of the size of a real one whose predictions are
// noise, for measuring. Its matrices repeat one table of numbers from a normal
// distribution of deviation 0.02, which is copied on the device; norms are one
// and biases zero. Weights are of type t, F32 or BF16. Equal seeds give equal weights.
func Random(dev gpu.Device, cfg Config, t gpu.Type, seed uint64) (*Transformer, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m := lay(dev, cfg)
	random := rand.New(rand.NewPCG(seed, 0))
	values := make([]float32, tableLen)
	for i := range values {
		values[i] = float32(0.02 * random.NormFloat64())
	}
	table := dev.Alloc(t, tableLen)
	dev.Upload(table, values)
	for _, w := range m.weights {
		w.w = dev.Alloc(t, w.len())
		switch {
		case !w.vector:
			repeat(dev, w.w, table, random.IntN(tableLen))
		case !w.bias():
			ones := make([]float32, w.len())
			for i := range ones {
				ones[i] = 1
			}
			dev.Upload(w.w, ones)
		}
	}
	dev.Free(table)
	if err := dev.Sync(); err != nil {
		m.Close()
		return nil, fmt.Errorf("model: random weights, %d MiB: %w", m.Bytes()>>20, err)
	}
	return m, nil
}

// repeat fills dst with table, over and over, from its element at on.
func repeat(dev gpu.Device, dst, table gpu.Buf, at int) {
	n := min(table.Len-at, dst.Len)
	dev.Copy(dst.Slice(0, n), table.Slice(at, at+n))
	if n < dst.Len {
		m := min(at, dst.Len-n)
		dev.Copy(dst.Slice(n, n+m), table.Slice(0, m))
		n += m
	}
	for n < dst.Len { // what is there has whole periods: copy it behind itself
		m := min(n, dst.Len-n)
		dev.Copy(dst.Slice(n, n+m), dst.Slice(0, m))
		n += m
	}
}

// Bytes returns what the weights take of the device's memory.
func (m *Transformer) Bytes() int {
	n := 0
	for _, w := range m.weights {
		n += w.w.Type.Bytes(w.w.Len)
	}
	return n
}
