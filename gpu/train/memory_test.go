package train

import (
	"maps"
	"strings"
	"testing"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/ref"
)

// small is a device with little room that counts what it gives.
type small struct {
	gpu.Device
	room      int // beside what is given; 0: in a rehearsal
	now, peak int
	sizes     map[unsafe.Pointer]int
}

func newSmall(room int) *small {
	return &small{Device: ref.New(), room: room, sizes: map[unsafe.Pointer]int{}}
}

func (s *small) Room() int    { return max(0, s.room-s.now) }
func (s *small) Use() gpu.Use { return gpu.Use{Now: s.now, Peak: s.peak} }

func (s *small) Rehearse() gpu.Device {
	return &small{Device: s.Device, now: s.now, peak: s.now, sizes: maps.Clone(s.sizes)}
}

func (s *small) Alloc(t gpu.Type, n int) gpu.Buf {
	b := s.Device.Alloc(t, n)
	if b.Len > 0 {
		s.sizes[b.Ptr] = b.Type.Bytes(n)
		s.now += s.sizes[b.Ptr]
		s.peak = max(s.peak, s.now)
	}
	return b
}

func (s *small) Free(b gpu.Buf) {
	s.now -= s.sizes[b.Ptr]
	delete(s.sizes, b.Ptr)
}

// openTiny opens a model of so many layers with an adapter, or unfrozen.
func openTiny(layers int, full bool) Opener {
	return func(dev gpu.Device) (*model.Transformer, *model.Adapter, error) {
		cfg := tiny()
		cfg.Layers = layers
		m, err := model.New(dev, cfg, 1)
		if err != nil {
			return nil, nil, err
		}
		if full {
			_, err = m.Unfreeze()
			return m, nil, err
		}
		a, err := model.NewAdapter(m, model.LoRA{Rank: 4, Alpha: 8, Targets: []string{"all-linear"}})
		return m, a, err
	}
}

// used returns what a training as planned takes of dev.
func used(t *testing.T, dev gpu.Device, open Opener, p Memory, train, eval []Example, o Options) int {
	t.Helper()
	before := dev.Use().Peak
	m, a, err := open(dev)
	if err != nil {
		t.Fatal(err)
	}
	o.MicroTokens, o.Recompute = p.Rows, p.Recompute
	tr, err := New(m, a, train, eval, o)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, tr)
	peak := dev.Use().Peak - before
	tr.Close()
	if a != nil {
		a.Close()
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	return peak
}

// A training takes what was planned. The less room there is, the more is
// computed again and the fewer rows at a time, until nothing fits.
func TestMemoryIsPlanned(t *testing.T) {
	data, eval := examples(14, 1), examples(5, 2)
	o := options()
	o.Epochs = 1
	for _, full := range []bool{false, true} {
		open := openTiny(4, full)
		all, err := Plan(newSmall(1<<30), open, data, eval, o)
		if err != nil || all.Recompute != model.RecomputeNone || all.Rows != 39 {
			t.Fatalf("with all the room: %v, %v", all, err)
		}
		level, refused := 0, false
		for room := all.Peak; room > all.Peak/3; room -= all.Peak / 50 {
			dev := newSmall(room)
			p, err := Plan(dev, open, data, eval, o)
			if refused = err != nil; refused {
				break
			}
			if p.Recompute < level || p.Peak > room || p.Weights+p.Adapter+p.Moments+p.Activations+p.Scratch != p.Peak {
				t.Errorf("of %d bytes: %+v, and with more it was level %d", room, p, level)
			}
			level = p.Recompute
			if got := used(t, dev, open, p, data, eval, o); got != p.Peak {
				t.Errorf("of %d bytes: %d taken, and planned was %v", room, got, p)
			}
		}
		if level != model.RecomputeBlocks || !refused {
			t.Errorf("full %v: it ended at level %d, refused: %v", full, level, refused)
		}
	}
}

// What does not fit is refused with the cheapest change that helps.
func TestPlanNamesTheCheapestChange(t *testing.T) {
	data := examples(14, 1)
	least := func(open Opener, rows, level int) int {
		p := planner{rehearse: newSmall(1).Rehearse, open: open, o: options()}
		m, err := p.try(rows, level)
		if err != nil {
			t.Fatal(err)
		}
		return m.Peak
	}
	open, longest := openTiny(4, false), 9
	given := options()
	given.Recompute = model.RecomputeNone
	for _, c := range []struct {
		room    int
		o       Options
		cheaper []Cheaper
		want    string
	}{
		{least(open, longest, model.RecomputeBlocks), given, nil, "choose recompute = 2, with"},
		{least(open, longest, model.RecomputeBlocks) - 1, options(), []Cheaper{{"less", openTiny(3, false)}}, "choose less, with"},
		{least(open, 5, model.RecomputeBlocks), options(), nil, "max_tokens = 5,"},
		{least(open, 1, model.RecomputeBlocks) - 1, options(), nil, "smaller model, or a smaller r"},
	} {
		_, err := Plan(newSmall(c.room), open, data, nil, c.o, c.cheaper...)
		if !strings.Contains(errorText(err), c.want) {
			t.Errorf("of %d bytes: %v, want %q", c.room, err, c.want)
		}
	}
}
