//go:build cuda && linux && amd64

package kernels_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"starbook/gpu/cuda/internal/libs"
	"starbook/gpu/cuda/kernels"
)

// anyDriver is a version of CUDA above all that there are: the newest NVRTC on
// this machine will do, since nothing is run.
const anyDriver = 99_000

// Every kernel compiles for the architectures that matter, and none keeps a
// register in memory. -v prints the table.
func TestCompile(t *testing.T) {
	rtc, err := libs.OpenNVRTC(anyDriver)
	if err != nil {
		t.Skip("there is no NVRTC here; gpu/cuda/nvrtc.sh unpacks one, whose folder STARBOOK_CUDA_LIB then names: ", err)
	}
	if !slices.Contains(rtc.Archs, 90) {
		t.Skipf("%s does not know sm_90; the one of internal/sim compiles nothing", rtc.Path)
	}
	var headers []libs.File
	for _, h := range kernels.Headers() {
		headers = append(headers, libs.File{Name: h.Name, Text: h.Source})
	}
	for _, arch := range []string{"sm_80", "sm_90"} {
		for _, u := range kernels.Units() {
			t.Run(arch+"/"+u.Name, func(t *testing.T) {
				t.Parallel()
				_, log, err := rtc.Compile(libs.File{Name: u.Name, Text: u.Source}, headers, arch, false)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(log, "warning") {
					t.Errorf("warnings:\n%s", log)
				}
				costs := read(t, log)
				if len(costs) != len(u.Kernels) {
					t.Errorf("Units names %d kernels, ptxas %d:\n%s", len(u.Kernels), len(costs), log)
				}
				for _, name := range u.Kernels {
					c, ok := costs[name]
					switch {
					case !ok:
						t.Errorf("%s is not an entry point", name)
					case c.spilled > 0:
						t.Errorf("%s: %d registers, %d bytes spilled", name, c.registers, c.spilled)
					}
				}
				t.Log(table(rtc, costs))
			})
		}
	}
}

// cost is what ptxas says of a kernel.
type cost struct{ registers, spilled, shared int }

var (
	entryLine    = regexp.MustCompile(`Compiling entry function '(\w+)'`)
	spillLine    = regexp.MustCompile(`(\d+) bytes spill stores, (\d+) bytes spill loads`)
	registerLine = regexp.MustCompile(`Used (\d+) registers(?:.* (\d+) bytes smem)?`)
)

// read returns the cost of each kernel in a log of ptxas.
func read(t *testing.T, log string) map[string]cost {
	t.Helper()
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil && s != "" {
			t.Fatal(err)
		}
		return n
	}
	costs, name := make(map[string]cost), ""
	for line := range strings.Lines(log) {
		if m := entryLine.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		c := costs[name]
		if m := spillLine.FindStringSubmatch(line); m != nil {
			c.spilled = number(m[1]) + number(m[2])
		}
		if m := registerLine.FindStringSubmatch(line); m != nil {
			c.registers, c.shared = number(m[1]), number(m[2])
			costs[name] = c
		} else if name != "" {
			costs[name] = c
		}
	}
	return costs
}

func table(rtc *libs.NVRTC, costs map[string]cost) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NVRTC %d.%d\n", rtc.Major, rtc.Minor)
	for _, name := range slices.Sorted(maps.Keys(costs)) {
		c := costs[name]
		fmt.Fprintf(&b, "%-28s %3d registers %4d bytes spilled %5d bytes of static shared memory\n", name, c.registers, c.spilled, c.shared)
	}
	return b.String()
}
