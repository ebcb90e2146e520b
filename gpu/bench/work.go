package bench

import "starbook/gpu/model"

// work is the arithmetic of an update of an adapter in FLOP, by part: what the
// mathematics asks for, without anything computed twice.
type work struct{ Base, Head, Attention, Adapter float64 }

func (w work) total() float64 { return w.Base + w.Head + w.Attention + w.Adapter }

// trainWork: a row meets every matrix forward, and on the way back to the inputs,
// which the lowest layer's q, k and v need not; the frozen base has no gradients. The
// head sees the targets alone. Causal attention is two products forward and five
// backward over T(T+1)/2 pairs. Adapters, of a rank on all seven linears, have gradients as well.
func trainWork(c model.Config, rank int, lengths []int, targets float64) work {
	rows, pairs := sums(lengths)
	lowest := c.Hidden * (c.Heads + 2*c.KVHeads) * c.HeadDim
	return work{
		Base:      2 * rows * float64(2*matrices(c)-lowest),
		Head:      2 * 2 * targets * float64(c.Vocab*c.Hidden),
		Attention: 7 * 2 * pairs * float64(c.Heads*c.HeadDim*c.Layers),
		Adapter:   2 * rows * float64(3*adapterSize(c, rank)-3*rank*c.Hidden),
	}
}

// sums returns the rows of some sequences and the pairs of them that attend.
func sums(lengths []int) (rows, pairs float64) {
	for _, n := range lengths {
		rows += float64(n)
		pairs += float64(n) * float64(n+1) / 2
	}
	return rows, pairs
}

// matrices returns the weights of the layers' linears.
func matrices(c model.Config) int {
	att, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return c.Layers * c.Hidden * (2*att + 2*kv + 3*c.FeedForward)
}

// adapterSize returns the parameters of an adapter on all layers' linears.
func adapterSize(c model.Config, rank int) int {
	att, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return c.Layers * rank * (2*(c.Hidden+att) + 2*(c.Hidden+kv) + 3*(c.Hidden+c.FeedForward))
}
