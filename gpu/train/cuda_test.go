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
	d, err := cuda.Open(cuda.Options{})
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
