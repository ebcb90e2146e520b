package model

// mersenne is the generator behind torch's CPU random numbers, so that an
// adapter's start is the one PEFT makes of the same seed, bit for bit
// (Matsumoto and Nishimura's MT19937; torch, ATen/core/MT19937RNGEngine.h).
type mersenne struct {
	state [624]uint32
	next  int
}

// newMersenne returns the generator as torch.manual_seed(seed) leaves it.
func newMersenne(seed uint64) *mersenne {
	g := &mersenne{next: 624}
	g.state[0] = uint32(seed)
	for i := 1; i < len(g.state); i++ {
		x := g.state[i-1]
		g.state[i] = 1812433253*(x^x>>30) + uint32(i)
	}
	return g
}

func (g *mersenne) uint32() uint32 {
	if g.next == len(g.state) {
		g.twist()
	}
	x := g.state[g.next]
	g.next++
	x ^= x >> 11
	x ^= x << 7 & 0x9d2c5680
	x ^= x << 15 & 0xefc60000
	return x ^ x>>18
}

func (g *mersenne) twist() {
	const n, m = 624, 397
	for i := range n {
		y := g.state[i]&0x80000000 | g.state[(i+1)%n]&0x7fffffff
		x := g.state[(i+m)%n] ^ y>>1
		if y&1 != 0 {
			x ^= 0x9908b0df
		}
		g.state[i] = x
	}
	g.next = 0
}

// uniform fills dst as Tensor.uniform_(-bound, bound) does: 24 bits a number.
// torch's kernel multiplies and adds with one rounding; float64 holds both
// results exactly, so the rounding here is that one.
func (g *mersenne) uniform(dst []float32, bound float32) {
	width := float64(bound - -bound)
	for i := range dst {
		x := float64(g.uint32()&(1<<24-1)) / (1 << 24)
		dst[i] = float32(x*width - float64(bound))
	}
}

// skip draws n numbers and forgets them.
func (g *mersenne) skip(n int) {
	for range n {
		g.uint32()
	}
}
