package builtins

import (
	"context"
	"fmt"
	"path/filepath"

	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/train"
	"starbook/runtime"
)

// quantised says to which type a base is rounded when it is loaded, F32: to none.
func quantised(name string) (gpu.Type, error) {
	switch name {
	case "":
		return gpu.F32, nil
	case "int8":
		return gpu.Q8_0, nil
	case "nf4":
		return gpu.NF4, nil
	}
	return gpu.F32, fmt.Errorf("quantise: got %q, want int8, nf4 or nothing", name)
}

// roundedFor returns what an adapter's base was rounded to while it was trained.
func roundedFor(adapter Handle) string {
	facts, err := decodeObject(adapter.Summary)
	if err != nil {
		return ""
	}
	name, _ := facts["quantise"].(string)
	return name
}

// mindBase warns of an adapter that was trained on the base in another form.
func mindBase(s *runtime.Step, adapter Handle, now string) {
	form := func(name string) string {
		if name == "" {
			return "as it is stored"
		}
		return "rounded to " + name
	}
	if was := roundedFor(adapter); !adapter.Digest.IsZero() && was != now {
		s.Warn(fmt.Sprintf("the adapter was trained on the base %s, and is used on the base %s", form(was), form(now)))
	}
}

// planned reads the rows of a training and chooses how many tokens are computed at a
// time, and what is computed again, so that it fits the device, before any weights are
// read. Where nobody counts memory, o is as it was.
func (h *Host) planned(ctx context.Context, s *runtime.Step, base Handle, quantise gpu.Type, begin func(*model.Transformer) (*model.Adapter, error), data Handle, a trainArgs, o train.Options) (train.Options, *learnable, error) {
	dir, remove, err := lay(s.Store(), base)
	if err != nil {
		return o, nil, err
	}
	defer remove()
	cfg, err := model.ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return o, nil, err
	}
	rows, err := a.rows(ctx, s, base, data, cfg.MaxPositions)
	if err != nil {
		return o, nil, err
	}
	dev, err := h.Device()
	if err != nil {
		return o, nil, err
	}
	rehearsal := dev.Rehearse()
	if rehearsal == nil {
		return o, rows, nil
	}
	if err := rehearsal.Close(); err != nil {
		return o, nil, err
	}
	opener := func(quantise gpu.Type) train.Opener {
		return func(dev gpu.Device) (*model.Transformer, *model.Adapter, error) {
			t, err := model.Outline(dev, dir, quantise)
			if err != nil {
				return nil, nil, err
			}
			adapter, err := begin(t)
			return t, adapter, err
		}
	}
	var cheaper []train.Cheaper
	if quantise == gpu.F32 {
		cheaper = []train.Cheaper{
			{Change: `quantise = "int8"`, Open: opener(gpu.Q8_0)},
			{Change: `quantise = "nf4"`, Open: opener(gpu.NF4)},
		}
	}
	p, err := train.Plan(dev, opener(quantise), rows.examples, rows.held, o, cheaper...)
	if err != nil {
		return o, nil, err
	}
	if p.Copies == 0 || 2*p.All() > p.Room { // the host's memory is worth a word where it is scarce
		s.Log(p.String())
	}
	o.MicroTokens, o.Recompute = p.Rows, p.Recompute
	return o, rows, nil
}
