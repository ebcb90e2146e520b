package gputest

import (
	"testing"

	"starbook/gpu/ref"
)

// The reference in float32 is the reference in float64 but for one rounding.
func TestReference(t *testing.T) { Conform(t, ref.New(), 1e-6) }
