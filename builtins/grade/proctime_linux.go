package grade

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// processorTime returns what the child has used of the processors, in user and kernel
// mode (proc(5): utime and stime, in ticks of 1/100 s). 0 if it is gone.
func (c *child) processorTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // behind the name, which may hold spaces
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(string(fields[11]), 10, 64)
	system, _ := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
