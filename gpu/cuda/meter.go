//go:build cuda && linux && amd64

package cuda

import "starbook/gpu/cuda/internal/driver"

// meter marks when the stream begins and ends what the queue hands over. Launching
// a graph is inside of its marks, so an idle stream counts as busy for as long.
type meter struct {
	on    bool
	marks []driver.Event // begin, end, begin, …
	used  int            // of them recorded since the last Busy
}

// mark records the present end of the stream.
func (m *meter) mark(ctx *driver.Context) error {
	if !m.on {
		return nil
	}
	if m.used == len(m.marks) {
		e, err := ctx.NewEvent()
		if err != nil {
			return err
		}
		m.marks = append(m.marks, e)
	}
	m.used++
	return ctx.Record(m.marks[m.used-1])
}

func (m *meter) close(ctx *driver.Context) (err error) {
	for _, e := range m.marks {
		if e := ctx.DestroyEvent(e); err == nil {
			err = e
		}
	}
	*m = meter{}
	return err
}

// Busy returns the seconds between the marks since the last call.
func (d *device) Busy() (seconds float64) {
	d.flush()
	d.do(func() error {
		if err := d.ctx.Sync(); err != nil {
			return err
		}
		for i := 0; i+1 < d.meter.used; i += 2 {
			ms, err := d.ctx.Elapsed(d.meter.marks[i], d.meter.marks[i+1])
			if err != nil {
				return err
			}
			seconds += ms / 1000
		}
		return nil
	})
	d.meter.on, d.meter.used = true, 0
	return seconds
}
