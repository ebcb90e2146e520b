package model

import "starbook/gpu"

// cache is the keys and values of unfinished sequences, each in a slot.
type cache struct {
	keys, values []gpu.Buf // by layer: (slots, context, K·E)
	context      int       // positions of a slot
	width        int       // K·E
}

func newCache(m *Transformer, slots, context int) *cache {
	c := &cache{context: context, width: m.Config.KVHeads * m.Config.HeadDim}
	for range m.layers {
		c.keys = append(c.keys, m.dev.Alloc(m.dev.Activations(), slots*context*c.width))
		c.values = append(c.values, m.dev.Alloc(m.dev.Activations(), slots*context*c.width))
	}
	return c
}

func (c *cache) write(d gpu.Device, l int, k, v gpu.Buf, slots, pos []int32) {
	d.CacheWrite(c.keys[l], k, slots, pos, c.context, c.width)
	d.CacheWrite(c.values[l], v, slots, pos, c.context, c.width)
}

func (c *cache) free(d gpu.Device) {
	for l := range c.keys {
		d.Free(c.keys[l])
		d.Free(c.values[l])
	}
}
