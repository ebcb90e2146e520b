//go:build cuda && linux && amd64

package libs

// #include <stdlib.h>
// #include "dl.h"
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"
)

// NVRTC compiles CUDA C++.
type NVRTC struct {
	Path         string
	Major, Minor int
	Archs        []int // 80 for sm_80
}

var openedRTC = struct {
	sync.Mutex
	*NVRTC
}{}

// OpenNVRTC opens the compiler for a driver of the given version. It stays open
// until the process ends.
func OpenNVRTC(driver int) (*NVRTC, error) {
	openedRTC.Lock()
	defer openedRTC.Unlock()
	if openedRTC.NVRTC != nil {
		return openedRTC.NVRTC, nil
	}
	path, err := rtc.open(driver)
	if err != nil {
		return nil, err
	}
	n := &NVRTC{Path: path}
	var major, minor, archs C.int
	var list [128]C.int
	if r := C.rtc_version(&major, &minor); r != 0 {
		return nil, fmt.Errorf("nvrtcVersion: status %d", r)
	}
	if r := C.rtc_archs(&list[0], C.int(len(list)), &archs); r != 0 {
		return nil, fmt.Errorf("nvrtcGetSupportedArchs: status %d", r)
	}
	n.Major, n.Minor = int(major), int(minor)
	for _, a := range list[:archs] {
		n.Archs = append(n.Archs, int(a))
	}
	openedRTC.NVRTC = n
	return n, nil
}

// Target returns the architecture to compile for and whether the code is PTX:
// the device's own, or, if the device is newer than the compiler, the newest
// that the compiler knows, as PTX for the driver to translate.
func (n *NVRTC) Target(sm int) (arch string, ptx bool) {
	newest := 0
	for _, a := range n.Archs {
		if a == sm {
			return fmt.Sprintf("sm_%d", sm), false
		}
		if a < sm {
			newest = max(newest, a)
		}
	}
	return fmt.Sprintf("compute_%d", newest), true
}

// File is a source or header with the name that messages and #include give it.
type File struct{ Name, Text string }

// Compile compiles a source for arch. The log holds warnings, and what ptxas
// says of registers.
func (n *NVRTC) Compile(source File, headers []File, arch string, ptx bool) (code []byte, log string, err error) {
	var c cstrings
	defer c.free()
	var texts, names []string
	for _, h := range headers {
		texts, names = append(texts, h.Text), append(names, h.Name)
	}
	options := []string{"--std=c++17", "--gpu-architecture=" + arch, "--ptxas-options=-v"}
	var prog unsafe.Pointer
	if r := C.rtc_create(&prog, c.one(source.Text), c.one(source.Name), C.int(len(headers)), c.list(texts), c.list(names)); r != 0 {
		return nil, "", fmt.Errorf("nvrtcCreateProgram: status %d", r)
	}
	defer C.rtc_destroy(prog)
	r := C.rtc_compile(prog, C.int(len(options)), c.list(options))
	raw, logErr := output("nvrtcGetProgramLog",
		func(size *C.size_t) C.int { return C.rtc_log_size(prog, size) },
		func(out *C.char) C.int { return C.rtc_log(prog, out) })
	if logErr != nil {
		return nil, "", logErr
	}
	log = strings.TrimRight(string(raw), "\x00\n")
	if r != 0 {
		return nil, log, fmt.Errorf("nvrtc: %s for %s: status %d\n%s", source.Name, arch, r, log)
	}
	kind := C.int(0)
	if ptx {
		kind = 1
	}
	code, err = output("nvrtcGetCUBIN",
		func(size *C.size_t) C.int { return C.rtc_code_size(prog, kind, size) },
		func(out *C.char) C.int { return C.rtc_code(prog, kind, out) })
	return code, log, err
}

// output reads a result of NVRTC's, which it writes to memory of the caller's.
func output(call string, size func(*C.size_t) C.int, data func(*C.char) C.int) ([]byte, error) {
	var n C.size_t
	if r := size(&n); r != 0 || n == 0 {
		return nil, fmt.Errorf("%sSize: status %d, %d bytes", call, r, n)
	}
	b := make([]byte, n)
	if r := data((*C.char)(unsafe.Pointer(&b[0]))); r != 0 {
		return nil, fmt.Errorf("%s: status %d", call, r)
	}
	return b, nil
}

// cstrings is memory of C's that is freed together.
type cstrings []unsafe.Pointer

func (c *cstrings) one(s string) *C.char {
	p := C.CString(s)
	*c = append(*c, unsafe.Pointer(p))
	return p
}

func (c *cstrings) list(s []string) **C.char {
	p := C.malloc(C.size_t(unsafe.Sizeof(uintptr(0))) * C.size_t(len(s)+1))
	*c = append(*c, p)
	for i, v := range s {
		*(**C.char)(unsafe.Add(p, i*int(unsafe.Sizeof(uintptr(0))))) = c.one(v)
	}
	return (**C.char)(p)
}

func (c *cstrings) free() {
	for _, p := range *c {
		C.free(p)
	}
}
