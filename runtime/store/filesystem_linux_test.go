package store

import (
	"strings"
	"testing"
)

func TestNetworkFilesystemsAreRefused(t *testing.T) {
	for kind, want := range map[string]bool{
		"fuse.sshfs": true, "fuse.gcsfuse": true, "fuse.s3fs": true, "fuse.rclone": true, "fuse.glusterfs": true,
		"fuseblk": false, "virtiofs": false, "": false,
	} {
		if _, remote := remoteFUSE(kind); remote != want {
			t.Errorf("%q is remote: %v", kind, remote)
		}
	}
	err := refuseNetwork("dir", networkFilesystems[0x6969], true)
	if err == nil || !strings.Contains(err.Error(), "NFS") || !strings.Contains(err.Error(), "local disk") {
		t.Errorf("on NFS: %v", err)
	}
	if got := mountType("/proc"); got != "proc" {
		t.Errorf("/proc is of type %q", got)
	}
}
