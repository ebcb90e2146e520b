//go:build !linux

package grade

import "time"

// processorTime returns the time of the clock: the other systems' processor time of a
// child is known only after its end.
func (c *child) processorTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
