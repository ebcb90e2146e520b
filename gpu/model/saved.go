package model

import (
	"fmt"
	"slices"
	"strings"

	"starbook/gpu"
)

// saved is a weight that an adapter brings along whole, in place of the
// base's: of a module to save, or the copy of the base's own lm_head that PEFT
// adds to the file where lm_head is a target.
type saved struct {
	Tensor // as the adapter's file names it
	weight *weight
}

// inside is what PEFT puts before the names of a model's tensors.
const inside = "base_model.model."

// savedIn returns the saved weights that an adapter's file holds. A tensor
// that is no weight of such a model is not among them.
func savedIn(cfg Config, l LoRA, modules []module, src source) ([]saved, error) {
	all := lay(nil, cfg).weights
	if cfg.Tied {
		all = append(all, &weight{name: "lm_head.weight", out: cfg.Vocab, in: cfg.Hidden})
	}
	var found []saved
	for _, w := range all {
		owner, kind := w.name[:strings.LastIndex(w.name, ".")], w.name[strings.LastIndex(w.name, "."):]
		name := inside + w.name
		targeted := slices.ContainsFunc(modules, func(m module) bool { return m.name == owner })
		if targeted {
			name = inside + owner + ".base_layer" + kind
		}
		_, there := src.Tensor(name)
		switch {
		case targeted && !there, !targeted && !l.saves(owner):
			continue
		case !there:
			return nil, fmt.Errorf("modules_to_save: %s is missing in %s", name, adapterWeights)
		}
		found = append(found, saved{Tensor{name, w.shape(), 0}, &weight{name: w.name, out: w.out, in: w.in, vector: w.vector}})
	}
	for _, s := range l.Save {
		one := LoRA{Save: []string{s}}
		if !slices.ContainsFunc(all, func(w *weight) bool { return one.saves(w.name[:strings.LastIndex(w.name, ".")]) }) {
			return nil, fmt.Errorf("modules_to_save: %q names no module of this model", s)
		}
	}
	return found, nil
}

// read places s on a device.
func (s saved) read(dev gpu.Device, src source) error {
	t, _ := src.Tensor(s.Name)
	values, err := t.F32()
	if err != nil {
		return err
	}
	s.weight.w = dev.Alloc(gpu.F32, len(values))
	dev.Upload(s.weight.w, values)
	return nil
}

// with returns m with some weights replaced. It shares everything else with m,
// and must not be closed.
func (m *Transformer) with(all []saved) *Transformer {
	if len(all) == 0 {
		return m
	}
	c := *m
	c.layers = slices.Clone(m.layers)
	for _, s := range all {
		places := []**weight{&c.embed, &c.norm}
		for i := range c.layers {
			l := &c.layers[i]
			places = append(places, &l.norm1, &l.norm2)
			for j := range l.proj {
				places = append(places, &l.proj[j])
			}
			for j := range l.bias {
				places = append(places, &l.bias[j])
			}
			for j := range l.norms {
				places = append(places, &l.norms[j])
			}
		}
		for _, at := range places {
			if *at != nil && (*at).name == s.weight.name {
				*at = s.weight
			}
		}
		if s.weight.name == "lm_head.weight" {
			c.heads[0] = s.weight
		}
	}
	return &c
}
