//go:build cuda && linux && amd64

package libs

import (
	"regexp"
	"strconv"
	"testing"

	"starbook/gpu/cuda/kernels"
)

// used finds what ptxas says of a kernel: its name, then spills, then registers.
var used = regexp.MustCompile(`Function properties for (\w+)\s+ptxas[ .]*(\d+) bytes stack frame, (\d+) bytes spill stores[\s\S]*?Used (\d+) registers`)

// Every kernel compiles to machine code without a GPU, inline assembly included,
// if an NVRTC is found: nvrtc.sh fetches one.
func TestCompile(t *testing.T) {
	rtc, err := OpenNVRTC(99000)
	if err != nil {
		t.Skip(err)
	}
	t.Logf("NVRTC %d.%d, %s", rtc.Major, rtc.Minor, rtc.Path)
	var headers []File
	for _, h := range kernels.Headers() {
		headers = append(headers, File{h.Name, h.Source})
	}
	for _, u := range kernels.Units() {
		for _, sm := range []int{80, 90} {
			t.Run(u.Name+"/"+strconv.Itoa(sm), func(t *testing.T) {
				t.Parallel()
				arch, ptx := rtc.Target(sm)
				if ptx {
					t.Skipf("NVRTC %d.%d does not know sm_%d", rtc.Major, rtc.Minor, sm)
				}
				_, log, err := rtc.Compile(File{u.Name, u.Source}, headers, arch, false)
				if err != nil {
					t.Fatal(err)
				}
				found := used.FindAllStringSubmatch(log, -1)
				if len(found) != len(u.Kernels) {
					t.Fatalf("ptxas speaks of %d kernels, and %d are listed:\n%s", len(found), len(u.Kernels), log)
				}
				for _, m := range found {
					if m[3] != "0" {
						t.Errorf("%s: %s bytes of registers spilled, %s registers used", m[1], m[3], m[4])
					}
				}
			})
		}
	}
}
