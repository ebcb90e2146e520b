package cpu

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// available returns the bytes that this process can still take: what the kernel
// calls available, or less where a control group has less left. Pages of files
// count as free: the kernel drops them first.
func available() int { return availableIn(os.DirFS("/")) }

func availableIn(root fs.FS) int {
	info := numbers(root, "proc/meminfo")
	kib, ok := info["MemAvailable:"]
	if !ok {
		return 0
	}
	free := kib << 10
	for _, g := range controlGroups(root) {
		if limit, used, ok := g.memory(root); ok {
			free = min(free, max(1, limit-used))
		}
	}
	return free
}

// controlGroup is a directory that limits memory, of either version.
type controlGroup struct {
	dir              string
	limit, usage     string // files in it
	inactive, active string // lines of memory.stat: pages of files
}

// controlGroups lists the group of this process and those around it. In a
// container the outermost is all that is to be seen, whatever the name says.
func controlGroups(root fs.FS) []controlGroup {
	raw, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var all []controlGroup
	for line := range strings.Lines(string(raw)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 {
			continue
		}
		g := controlGroup{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file"}
		switch part[1] {
		case "":
		case "memory":
			g = controlGroup{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file"}
		default:
			continue
		}
		top := g.dir
		for at := path.Clean("/" + part[2]); ; at = path.Dir(at) {
			g.dir = path.Join(top, at)
			all = append(all, g)
			if at == "/" {
				break
			}
		}
	}
	return all
}

// memory returns a group's limit and what of it is used and no page of a file.
func (g controlGroup) memory(root fs.FS) (limit, used int, ok bool) {
	if limit, ok = number(root, path.Join(g.dir, g.limit)); !ok {
		return 0, 0, false // "max", or not there
	}
	if used, ok = number(root, path.Join(g.dir, g.usage)); !ok {
		return 0, 0, false
	}
	stat := numbers(root, path.Join(g.dir, "memory.stat"))
	return limit, max(0, used-stat[g.inactive]-stat[g.active]), true
}

func number(root fs.FS, name string) (int, bool) {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	return n, err == nil
}

// numbers reads lines of a name and a number.
func numbers(root fs.FS, name string) map[string]int {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	all := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) >= 2 {
			if n, err := strconv.Atoi(f[1]); err == nil {
				all[f[0]] = n
			}
		}
	}
	return all
}
