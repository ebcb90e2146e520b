package cpu

import (
	"testing"

	"starbook/gpu"
)

// A rehearsal counts what the device comes to use, with what was there before,
// and a tensor that is lent twice counts once.
func TestRehearsalCountsAsTheDevice(t *testing.T) {
	d, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before := d.Alloc(gpu.F32, 100)
	defer d.Free(before)
	lent := make([]byte, 4096)
	use := func(d gpu.Device) gpu.Use {
		a, b := d.Alloc(gpu.F32, 3), d.Alloc(gpu.BF16, 5<<20)
		one, two := d.Load(gpu.F32, lent), d.Load(gpu.BF16, lent)
		d.Free(two)
		d.Free(b)
		c := d.Alloc(gpu.F32, 1000)
		now := d.Use()
		for _, b := range []gpu.Buf{a, c, one} {
			d.Free(b)
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		return now
	}
	r := d.Rehearse()
	if r == nil {
		t.Skip("the system gives no addresses")
	}
	defer r.Close()
	planned := use(r)
	if got := use(d); got != planned || got.Now <= 4096 || got.Peak < 10<<20 {
		t.Errorf("it took %+v, and in the rehearsal %+v", got, planned)
	}
	if got := d.Use().Now; got != 448 {
		t.Errorf("%d bytes are left in use, want the 400 from before, on lines of 64", got)
	}
}

// Room is what an option leaves of it.
func TestRoomIsWhatIsAllowed(t *testing.T) {
	d, err := New(Options{Threads: 1, Memory: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := d.Room(); got != 1<<30-spare {
		t.Errorf("%d bytes", got)
	}
	b := d.Alloc(gpu.F32, 16<<20)
	if got := d.Room(); got != 1<<30-64<<20-spare {
		t.Errorf("%d bytes beside 64 MiB", got)
	}
	d.Free(b)
}
