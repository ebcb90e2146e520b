package cpu

import (
	"testing"
	"testing/fstest"
)

// What is free is the least of what the kernel and the groups of either version
// say, where pages of files count as free.
func TestAvailable(t *testing.T) {
	const meminfo = "MemTotal:  16000 kB\nMemAvailable:    8000 kB\nHugePages_Total: 0\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
	}{
		{"nothing known", nil, 0},
		{"no groups", map[string]string{"proc/meminfo": meminfo}, 8000 << 10},
		{"version 2, the outer group is the narrower", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "1\n",
			"sys/fs/cgroup/a/memory.max": "5000000\n", "sys/fs/cgroup/a/memory.current": "3000000\n",
			"sys/fs/cgroup/a/memory.stat": "anon 2000000\ninactive_file 600000\nactive_file 400000\n",
		}, 3000000},
		{"version 2 in a container", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../host/name\n",
			"sys/fs/cgroup/memory.max": "5000000\n", "sys/fs/cgroup/memory.current": "1000000\n",
		}, 4000000},
		{"version 1, whose root has no limit to speak of", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:cpu:/x\n4:memory:/job\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "9\n",
			"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "7000000\n", "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "3000000\n",
			"sys/fs/cgroup/memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 1000000\ntotal_active_file 500000\n",
		}, 5500000},
		{"nothing left", map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "5000000\n", "sys/fs/cgroup/memory.current": "5000000\n",
		}, 1},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := availableIn(root); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if available() <= 0 {
		t.Error("nothing is free here")
	}
}
