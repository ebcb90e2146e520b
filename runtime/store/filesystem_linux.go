package store

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// networkFilesystems are the magic numbers (statfs(2), linux/magic.h) of file systems on
// which neither the shared memory of WAL nor flock can be trusted.
var networkFilesystems = map[int64]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x19830326: "BeeGFS",
	0x00c36400: "Ceph",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x564c:     "NCP",
	0x73757245: "Coda",
}

const fuseMagic = 0x65735546

// checkFilesystem refuses directories that other machines may write to at the same time.
func checkFilesystem(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("store: statfs %s: %w", dir, err)
	}
	kind := int64(st.Type) & 0xffffffff
	name, remote := networkFilesystems[kind]
	if kind == fuseMagic {
		name, remote = remoteFUSE(mountType(dir))
	}
	return refuseNetwork(dir, name, remote)
}

// remoteFUSE tells the FUSE file systems of one machine from those of many by the type in
// the table of mounts: a disk in user space, or a virtual machine's share of its host.
func remoteFUSE(kind string) (name string, remote bool) {
	switch kind {
	case "", "fuseblk", "virtiofs", "fuse.lxcfs", "fuse.fuse-overlayfs", "fuse.grpcfuse":
		return kind, false
	}
	return kind, true
}

// mountType returns the type of the file system that dir is mounted from, "" if unknown.
// See proc_pid_mountinfo(5) for the columns.
func mountType(dir string) string {
	path, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return ""
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	var best, kind string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		columns, types := strings.Fields(before), strings.Fields(after)
		if !ok || len(columns) < 5 || len(types) == 0 {
			continue
		}
		point := columns[4]
		inside := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
		if inside && len(point) >= len(best) {
			best, kind = point, types[0]
		}
	}
	return kind
}
