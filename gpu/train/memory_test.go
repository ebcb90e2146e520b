package train

import (
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/ref"
)

// small is a device that has little room, and counts what it gives.
type small struct {
	gpu.Device
	room, given int
}

func (s *small) Room() int { return s.room - s.given }

func (s *small) Alloc(t gpu.Type, n int) gpu.Buf {
	s.given += t.Bytes(n)
	return s.Device.Alloc(t, n)
}

// A training takes what was planned, computes fewer rows at a time if they do
// not fit, and is refused with advice if nothing fits.
func TestMemoryIsPlanned(t *testing.T) {
	dev := &small{Device: ref.New(), room: 1 << 30}
	m, err := model.New(dev, tiny(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a, err := model.NewAdapter(m, model.LoRA{Rank: 4, Alpha: 8, Targets: []string{"all-linear"}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func(room int) (*Trainer, error) {
		dev.room = dev.given + room
		return New(m, a, examples(14, 1), nil, options())
	}
	tr, err := begin(1 << 30)
	if err != nil {
		t.Fatal(err)
	}
	all := tr.Memory()
	full := all.Activations + all.Moments
	for _, room := range []int{full, full - 1, full * 3 / 4, full / 2} {
		before := dev.given
		tr, err := begin(room)
		if err != nil {
			t.Fatal(err)
		}
		p, taken := tr.Memory(), dev.given-before
		if fits := p.Rows == all.Rows; fits != (room >= full) || taken > room || taken < p.Activations+p.Moments {
			t.Errorf("of %d bytes: %s, %d taken; all rows are %d and need %d", room, p, taken, all.Rows, full)
		}
		tr.Close()
	}
	one, five := model.TrainingBytes(m, a, 1, 1), model.TrainingBytes(m, a, 5, 1)
	for room, advice := range map[int]string{all.Moments + five: "max_tokens = 5,", all.Moments + one - 1: "smaller r", one - 1: "quantised"} {
		if _, err := begin(room); err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("of %d bytes: %v, want advice with %q", room, err, advice)
		}
	}
}
