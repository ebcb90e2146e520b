package model

import (
	"fmt"
	"math"
	"runtime"
	"sync"

	"starbook/gpu"
	"starbook/gpu/gguf"
	"starbook/gpu/safetensors"
)

// OpenQuantised is Open with the matrices of the layers rounded to t, NF4 or
// Q8_0, as a base that takes a quarter or half of the memory. What bitsandbytes
// leaves alone is left alone: embeddings, head, norms, biases; also matrices
// whose rows are not whole blocks of t, and those that the file has quantised.
func OpenQuantised(dev gpu.Device, dir string, t gpu.Type) (*Transformer, error) {
	if t != gpu.NF4 && t != gpu.Q8_0 {
		return nil, fmt.Errorf("model: a base is quantised to NF4 or Q8_0, not to %v", t)
	}
	return open(dev, dir, t, false)
}

// quantised returns w's tensor in blocks of type t, or as it is.
func (m *Transformer) quantised(w *weight, from safetensors.Tensor, t gpu.Type) (safetensors.Tensor, error) {
	if !m.projects(w) || w.in%t.Block() != 0 {
		return from, nil
	}
	if typ, ok := typeOf(from.DType); !ok || typ.WeightsOnly() && typ != gpu.F16 {
		return from, nil
	}
	if m.outline {
		return safetensors.Tensor{Name: w.name, DType: t.String(), Shape: from.Shape, Data: make([]byte, t.Bytes(w.len()))}, nil
	}
	values := make([]float32, w.len())
	if err := from.ReadF32(values, 0); err != nil {
		return from, err
	}
	raw, err := encode(t, values)
	if err != nil {
		return from, fmt.Errorf("tensor %s: %w", w.name, err)
	}
	return safetensors.Tensor{Name: w.name, DType: t.String(), Shape: from.Shape, Data: raw}, nil
}

// projects reports whether w is a matrix of a layer.
func (m *Transformer) projects(w *weight) bool {
	for i := range m.layers {
		for _, p := range m.layers[i].proj {
			if p == w {
				return true
			}
		}
	}
	return false
}

// encode rounds values to t, on all processors: a 7B model has 26 million blocks.
func encode(t gpu.Type, values []float32) ([]byte, error) {
	for i, v := range values {
		if v != v || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("element %d is %v", i, v)
		}
	}
	if t != gpu.NF4 {
		return gguf.Encode(t, values)
	}
	raw := make([]byte, t.Bytes(len(values)))
	block, size := t.Block(), t.Bytes(t.Block())
	blocks, workers := len(values)/block, runtime.GOMAXPROCS(0)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w * blocks / workers; i < (w+1)*blocks/workers; i++ {
				encodeNF4(raw[i*size:(i+1)*size], values[i*block:(i+1)*block])
			}
		})
	}
	group.Wait()
	return raw, nil
}

// encodeNF4 rounds 256 values to a block: see gpu.NF4.
func encodeNF4(out []byte, x []float32) {
	const group = 64
	var tops [4]float32
	for i, v := range x {
		tops[i/group] = max(tops[i/group], float32(math.Abs(float64(v))))
	}
	h := safetensors.ToF16(max(tops[0], tops[1], tops[2], tops[3]) / 255)
	d := safetensors.FromF16(h)
	out[0], out[1] = byte(h), byte(h>>8)
	for g, top := range tops {
		s := float32(0)
		if d > 0 && top > 0 {
			s = float32(min(max(math.Round(float64(top/d)), 1), 255))
		}
		out[2+g] = byte(s)
		inverse := float32(0) // then all codes stand for 0
		if s > 0 {
			inverse = 1 / (d * s)
		}
		codes := out[6+g*group/2:][:group/2]
		for i := range codes {
			j := g*group + 2*i
			codes[i] = nearest4(x[j]*inverse) | nearest4(x[j+1]*inverse)<<4
		}
	}
}

// nearest4 returns the code of the NormalFloat4 nearest to x.
func nearest4(x float32) (code byte) {
	for step := byte(8); step > 0; step /= 2 {
		if x > (gpu.NormalFloat4[code+step-1]+gpu.NormalFloat4[code+step])/2 {
			code += step
		}
	}
	return code
}
