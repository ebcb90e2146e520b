package train

import (
	"fmt"
	"sort"

	"starbook/gpu"
	"starbook/gpu/model"
)

// Memory is what a training takes of a device, beside the model and the
// adapter, which are there already. It is planned before anything is allocated:
// a training that begins does not run out of memory.
type Memory struct {
	Rows        int // computed at a time: the micro-batch
	Activations int // bytes, for so many rows
	Moments     int // bytes of AdamW's, and of the guard
	Room        int // bytes that the device had left; 0: not known
}

// String says what takes how much.
func (m Memory) String() string {
	s := fmt.Sprintf("%d rows at a time: activations %s, moments %s", m.Rows, mib(m.Activations), mib(m.Moments))
	if m.Room > 0 {
		s += " of " + mib(m.Room) + " that are left"
	}
	return s
}

func mib(bytes int) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }

// memoryFor plans the training of a, or of all of m if a is nil.
func memoryFor(m *model.Transformer, a *model.Adapter, train, eval []Example, o Options) (Memory, error) {
	params := m.Params()
	if a != nil {
		params = a.Params
	}
	if params == nil {
		return Memory{}, fmt.Errorf("the weights are frozen: train an adapter, or unfreeze them first")
	}
	longest, want := roomFor(train, eval, o)
	return plan(m, a, params.Len(), longest, want)
}

// plan chooses how many rows are computed at a time: want, or as many as fit,
// but no fewer than the longest example has.
func plan(m *model.Transformer, a *model.Adapter, params, longest, want int) (Memory, error) {
	p := Memory{Rows: want, Moments: gpu.F32.Bytes(2*params + gpu.GuardLen), Room: m.Device().Room()}
	need := func(rows int) int { return p.Moments + model.TrainingBytes(m, a, rows, model.RecomputeCheap) }
	if p.Room > 0 && need(want) > p.Room {
		p.Rows = sort.Search(want, func(rows int) bool { return need(rows+1) > p.Room }) // the most that fit
	}
	if p.Rows < longest {
		return p, fmt.Errorf("the longest example has %d tokens, which need %s (moments of %s included), and %s are left: %s",
			longest, mib(need(longest)), mib(p.Moments), mib(p.Room), p.change(need(1)))
	}
	p.Activations = need(p.Rows) - p.Moments
	return p, nil
}

// change names the cheapest change that lets a training fit.
func (m Memory) change(least int) string {
	if m.Rows > 0 {
		return fmt.Sprintf("leave longer examples out with max_tokens = %d, or cut them", m.Rows)
	}
	if least-m.Moments <= m.Room {
		return "choose a smaller r, or fewer targets"
	}
	return "choose a smaller model, or one with quantised weights"
}
