package model

import (
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/ref"
)

// onDevices runs a test on the reference device, its arguments checked, and on
// the CPU.
func onDevices(t *testing.T, test func(t *testing.T, dev gpu.Device)) {
	t.Run("ref", func(t *testing.T) { test(t, gpu.Checked(ref.New())) })
	t.Run("cpu", func(t *testing.T) {
		dev, err := cpu.New(cpu.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := dev.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, dev)
	})
}
