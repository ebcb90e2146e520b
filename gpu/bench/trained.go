package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"starbook/gpu"
)

// heldOut is how many examples are evaluated on to learn how long it takes.
const heldOut = 64

const mib = 1 << 20

// speed is the figures of the measured updates.
func (t *training) speed() []Figure {
	var seconds, rows float64
	each := make([]float64, len(t.seconds))
	for i, s := range t.seconds {
		seconds, rows = seconds+s, rows+t.rows[i]
		each[i] = t.rows[i] / s
	}
	// The arithmetic of a row, from all examples: which of them an update had makes little difference.
	all, _ := sums(t.lengths)
	w := trainWork(t.cfg, t.Rank, t.lengths, t.targets/rows*all)
	perRow := func(name string, flop float64) Figure {
		return computed("work: "+name, "GFLOP/token", flop/all/1e9)
	}
	return []Figure{
		measured("speed", "tok/s", each...).noted("real tokens, no padding, %.0f an update", rows/float64(len(t.rows))),
		measured("speed of all updates", "tok/s", rows/seconds).noted("%.0f tokens in %.4g s", rows, seconds),
		measured("update", "s", t.seconds...),
		busyShare(t.meter, t.busy, seconds),
		measured("arithmetic", "TFLOP/s", scaled(each, func(rate float64) float64 { return rate * w.total() / all / 1e12 })...),
		measured("share of the large GEMM's rate", "%", scaled(each, func(rate float64) float64 {
			return 100 * rate * w.total() / all / 1e12 / t.rates.GEMM.Value
		})...),
		perRow("base", w.Base), perRow("head", w.Head), perRow("attention", w.Attention), perRow("adapter", w.Adapter),
		measured("loss of the first update", "nats/token", t.loss[0]),
		measured("loss of the last update", "nats/token", t.loss[1]),
	}
}

// busyShare is how much of the time the device had work.
func busyShare(meter gpu.Meter, busy, seconds float64) Figure {
	if meter == nil {
		return missing("device busy", "%", "this device has no clock of its own")
	}
	return measured("device busy", "%", 100*busy/seconds).noted("by the device's events around what it is handed")
}

// memory is the plan, part by part, and the bytes that were taken at most.
func (t *training) memory(taken int) []Figure {
	m := t.plan
	if m.Room == 0 {
		return against(0, taken)
	}
	var figures []Figure
	for _, p := range []struct {
		name  string
		bytes int
	}{
		{"weights", m.Weights},
		{"adapter and gradients", m.Adapter},
		{"moments", m.Moments},
		{"activations", m.Activations},
		{"scratch", m.Scratch},
	} {
		if p.bytes > 0 {
			figures = append(figures, computed("memory: "+p.name, "MiB", float64(p.bytes)/mib))
		}
	}
	whole := against(t.held+m.Peak, taken)
	whole[0] = whole[0].noted("%d rows at a time, recompute %d", m.Rows, m.Recompute)
	return append(figures, whole...)
}

// against sets the memory that was to be taken beside what was, in bytes.
func against(plan, taken int) []Figure {
	if plan == 0 {
		const why = "the memory of this device is neither planned nor counted"
		return []Figure{missing("memory planned", "MiB", why), missing("memory at most", "MiB", why)}
	}
	return []Figure{
		computed("memory planned", "MiB", float64(plan)/mib),
		measured("memory at most", "MiB", float64(taken)/mib).noted("%+.2f %% of the plan", 100*(float64(taken)/float64(plan)-1)),
	}
}

// job is the time of a whole training, from what its parts took.
func (t *training) job(ctx context.Context) ([]Figure, error) {
	j := t.Job
	held := int(j.HeldOut * float64(j.Examples))
	updates := (j.Examples - held + t.Batch - 1) / t.Batch * j.Epochs
	evals := updates / j.Every
	start := time.Now()
	if _, err := t.tr.Evaluate(ctx); err != nil {
		return nil, err
	}
	evaluation := time.Since(start).Seconds() * float64(held) / float64(min(len(t.lengths), heldOut))
	checkpoint, err := t.checkpoint()
	if err != nil {
		return nil, err
	}
	var seconds float64
	for _, s := range t.seconds {
		seconds += s
	}
	update := seconds / float64(len(t.seconds)) // the mean: what now and then takes longer counts
	whole := float64(updates)*update + float64(evals)*(evaluation+checkpoint)
	return []Figure{
		measured("evaluation", "s", evaluation).noted("of %d examples, from %d", held, min(len(t.lengths), heldOut)),
		measured("checkpoint", "s", checkpoint).noted("read from the device and written to a file"),
		measured("job", "min", whole/60).noted("extrapolated from %d updates: %d examples × %d epochs, %d updates of %d, %d evaluations and checkpoints",
			len(t.seconds), j.Examples, j.Epochs, updates, t.Batch, evals),
	}, nil
}

// checkpoint returns the seconds that one takes.
func (t *training) checkpoint() (float64, error) {
	dir, err := os.MkdirTemp("", "starbook-bench-")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	s, err := t.tr.State()
	if err == nil {
		err = s.WriteFile(filepath.Join(dir, "state"))
	}
	return time.Since(start).Seconds(), err
}
