package model

import (
	"fmt"

	"starbook/gpu"
)

// Params is everything that training changes, in one flat buffer, so that an
// optimiser step is one or two calls whatever the number of tensors.
type Params struct {
	Tensors []Tensor
	W, G    gpu.Buf // weights and their gradients, float32, equally long

	// Split divides W in two groups that an optimiser may treat differently.
	// An adapter's A matrices lie before it and its B matrices behind; a full
	// model's matrices before it and its norms, which do not decay, behind.
	Split int

	dev   gpu.Device
	order []*weight // of a full model, as in Tensors

	// A tied table gets gradients from two uses. Those of its rows as they are
	// looked up are summed apart and added last, so that the order of the sum does
	// not depend on how an update is cut into batches. Without one, there is none.
	apart, tied gpu.Buf // (V, D), and the table's part of G
}

// Tensor is one named part of Params.
type Tensor struct {
	Name  string
	Shape []int
	From  int // its first element in W
}

// Len returns the number of the tensor's elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// newParams lays out the weights of a full model: matrices, then vectors.
func newParams(dev gpu.Device, weights []*weight) *Params {
	p := &Params{dev: dev}
	n := 0
	for _, vectors := range []bool{false, true} {
		if vectors {
			p.Split = n
		}
		for _, w := range weights {
			if w.vector == vectors {
				p.Tensors = append(p.Tensors, Tensor{w.name, w.shape(), n})
				p.order = append(p.order, w)
				n += w.len()
			}
		}
	}
	p.alloc(n)
	return p
}

func (p *Params) alloc(n int) {
	p.W, p.G = p.dev.Alloc(gpu.F32, n), p.dev.Alloc(gpu.F32, n)
}

func (p *Params) free() {
	p.dev.Free(p.W)
	p.dev.Free(p.G)
	p.dev.Free(p.apart)
}

// Bytes returns what the weights and their gradients take.
func (p *Params) Bytes() int { return gpu.F32.Bytes(p.W.Len + p.G.Len + p.apart.Len) }

// Clear makes the gradients zero.
func (p *Params) Clear() {
	p.dev.Zero(p.G)
	if p.apart.Len > 0 {
		p.dev.Zero(p.apart)
	}
}

// Join completes G after the last batch of an update.
func (p *Params) Join() {
	if p.apart.Len > 0 {
		p.dev.Axpy(p.tied, p.apart, 1)
		p.dev.Zero(p.apart)
	}
}

// Len returns the number of trained elements.
func (p *Params) Len() int { return p.W.Len }

// Read copies the weights to the host, in the order of Tensors.
func (p *Params) Read() ([]float32, error) {
	values := make([]float32, p.W.Len)
	p.dev.Download(values, p.W)
	if err := p.dev.Sync(); err != nil {
		return nil, fmt.Errorf("model: read parameters: %w", err)
	}
	return values, nil
}

// Write replaces the weights by values, as Read returned them.
func (p *Params) Write(values []float32) error {
	if len(values) != p.W.Len {
		return fmt.Errorf("model: write parameters: %d values for %d parameters", len(values), p.W.Len)
	}
	p.dev.Upload(p.W, values)
	if err := p.dev.Sync(); err != nil {
		return fmt.Errorf("model: write parameters: %w", err)
	}
	return nil
}
