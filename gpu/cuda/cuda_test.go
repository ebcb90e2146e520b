//go:build cuda && linux && amd64

package cuda

import (
	"fmt"
	"os"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cuda/internal/sim"
	"starbook/gpu/gputest"
)

// The tests run on a GPU if STARBOOK_TEST_GPU is set, and otherwise against the
// fake driver, which has its place in all processes that they start.
func TestMain(m *testing.M) {
	if os.Getenv("STARBOOK_TEST_GPU") == "" && os.Getenv("STARBOOK_LIBCUDA") == "" {
		dir, err := sim.Build()
		if err == nil {
			err = sim.Use(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func opened(t testing.TB) gpu.Device { return openedWith(t, Options{}) }

func openedWith(t testing.TB, o Options) gpu.Device {
	t.Helper()
	o.Cache = t.TempDir()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestConform(t *testing.T) { gputest.Conform(t, opened(t), 0.02) }

// What BF16's rounding hides shows in F32.
func TestConformF32(t *testing.T) { gputest.Conform(t, openedWith(t, Options{F32: true}), 1e-5) }

// What Room promises is there, and comes back when it is freed.
func TestRoom(t *testing.T) {
	d := opened(t)
	room := d.Room()
	for range 3 {
		b := d.Alloc(gpu.F32, room/4)
		if err := d.Sync(); err != nil {
			t.Fatalf("of %d bytes: %v", room, err)
		}
		d.Free(b)
		if again := d.Room(); again != room {
			t.Fatalf("room for %d bytes, and after an Alloc and a Free for %d", room, again)
		}
	}
	d.Alloc(gpu.F32, room/4+spare/4+1)
	if err := d.Sync(); err == nil {
		t.Error("more than there is was given")
	}
	if err := d.Sync(); err != nil {
		t.Errorf("the failure stuck: %v", err)
	}
}
