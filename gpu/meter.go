package gpu

// Meter is what a device can say of its own work. Some have none: see MeterOf.
type Meter interface {
	// Busy returns for how many seconds, by the device's own clock, work was on it
	// since the last call of Busy, and waits for what is under way. The first call
	// begins to measure, which costs two marks for each list of operations.
	Busy() float64
}

// MeterOf returns the Meter of d, whether d is Checked or not, or nil.
func MeterOf(d Device) Meter {
	if c, ok := d.(*checked); ok {
		d = c.Device
	}
	m, _ := d.(Meter)
	return m
}
