//go:build cuda

package train

import (
	"testing"

	"starbook/gpu"
	"starbook/gpu/cuda"
)

// onCUDA runs a test on the GPU, or on the fake driver that STARBOOK_LIBCUDA names.
func onCUDA(t *testing.T, test func(t *testing.T, dev gpu.Device)) {
	t.Helper()
	onCUDAWith(t, cuda.Options{}, test)
}

func onCUDAWith(t *testing.T, o cuda.Options, test func(t *testing.T, dev gpu.Device)) {
	t.Helper()
	d, err := cuda.Open(o)
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	test(t, d)
}

func TestTrainingLearnsOnCUDA(t *testing.T)   { onCUDA(t, trainingLearns) }
func TestResumeIsBitExactOnCUDA(t *testing.T) { onCUDA(t, resumeIsBitExact) }
func TestCurveOnCUDA(t *testing.T)            { onCUDA(t, curveIsTheTrainers) }

func TestInterruptedEvaluationOnCUDA(t *testing.T) { onCUDA(t, interruptedEvaluationIsMadeUp) }
func TestUpdatesAreReadLateOnCUDA(t *testing.T)    { onCUDA(t, updatesAreReadLate) }
func TestMicroBatchesOnCUDA(t *testing.T)          { onCUDA(t, updatesDoNotDependOnMicroBatches) }

// The arena of a GPU takes what was planned, to the byte, whatever the size of
// the pieces that the driver is asked for, and however little room is left.
func TestPlanIsTheArenasOnCUDA(t *testing.T) {
	data, eval := examples(14, 1), examples(5, 2)
	o := options()
	o.MaxSteps, o.EvalSteps = 2, 2
	for _, c := range []struct {
		piece int
		full  bool
	}{{4 << 10, false}, {64 << 10, true}, {64 << 20, false}} {
		open, levels, all := openTiny(4, c.full), map[int]bool{}, 0
		for part := 12; part >= 4; part -= 2 { // twelfths of what it takes with all the room
			onCUDAWith(t, cuda.Options{Piece: c.piece}, func(t *testing.T, dev gpu.Device) {
				room := all * part / 12
				if all > 0 {
					dev.Alloc(gpu.F32, (dev.Room()-room)/4)
				}
				p, err := Plan(dev, open, data, eval, o)
				if all == 0 {
					all = p.Peak
				} else if err != nil && c.piece < 64<<20 && part > 6 {
					t.Error(err)
				}
				if err != nil {
					return
				}
				levels[p.Recompute] = true
				if got := used(t, dev, open, p, data, eval, o); got != p.Peak || p.Peak > p.Room {
					t.Errorf("pieces of %d, full %v: %d bytes taken, and planned were %d: %v", c.piece, c.full, got, p.Peak, p)
				}
			})
		}
		if c.piece == 4<<10 && len(levels) < 2 {
			t.Errorf("only levels %v were needed", levels)
		}
	}
}
