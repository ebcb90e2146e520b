//go:build cuda && linux && amd64

// Package libs opens the two libraries of CUDA that are used, cuBLASLt for
// products of matrices and NVRTC for compiling kernels, wherever a toolkit, a
// distribution or pip put them. Nothing is linked.
package libs

// #cgo CFLAGS: -O2
// #cgo LDFLAGS: -ldl
// #include <stdlib.h>
// #include "dl.h"
import "C"

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"
)

// library is where one library may be found.
type library struct {
	which  C.int
	name   string
	wheel  string // folder of the wheels that pip installs for CUDA 11 and 12
	majors map[int]string
}

// NVRTC of 11.2 to 11.8 is all called 11.2.
var (
	rtc = library{C.lib_nvrtc, "libnvrtc.so", "cuda_nvrtc", map[int]string{11: "11.2"}}
	lt  = library{C.lib_lt, "libcublasLt.so", "cublas", nil}
)

const oldest = 11 // CUDA, whose libraries are taken

func (l library) soname(major int) string {
	version, ok := l.majors[major]
	if !ok {
		version = fmt.Sprint(major)
	}
	return l.name + "." + version
}

// open opens the newest version that a driver of the given version serves, and
// returns the file.
func (l library) open(driver int) (string, error) {
	var tried []string
	for major := driver / 1000; major >= oldest; major-- {
		for _, dir := range l.folders(major) {
			file := filepath.Join(dir, l.soname(major))
			if dir != "" {
				if _, err := os.Stat(file); err != nil {
					continue
				}
				l.companions(dir)
			}
			path, err := dlopen(l.which, file)
			if err == nil {
				return path, nil
			}
			tried = append(tried, err.Error())
		}
	}
	return "", fmt.Errorf("%s was not found in a version from %d to %d: install it (pip install nvidia-cublas nvidia-cuda-nvrtc, or a CUDA toolkit), or name its folder in STARBOOK_CUDA_LIB; tried: %s",
		l.name, oldest, driver/1000, strings.Join(tried, "; "))
}

// folders lists where to look, the most wanted first; "" is the dynamic
// linker's own search.
func (l library) folders(major int) []string {
	list := filepath.SplitList(os.Getenv("STARBOOK_CUDA_LIB"))
	list = append(list, "")
	toolkit := func(root string) {
		if root != "" {
			list = append(list, filepath.Join(root, "lib64"), filepath.Join(root, "targets/x86_64-linux/lib"), filepath.Join(root, "lib"))
		}
	}
	for _, name := range []string{"CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"} {
		toolkit(os.Getenv(name))
	}
	toolkit("/usr/local/cuda")
	versions, _ := filepath.Glob(fmt.Sprintf("/usr/local/cuda-%d*", major)) // the pattern is well formed
	slices.Sort(versions)
	for _, root := range slices.Backward(versions) {
		toolkit(root)
	}
	toolkit("/opt/cuda")
	for _, prefix := range pythons() {
		for _, wheel := range []string{fmt.Sprintf("cu%d", major), l.wheel} {
			found, _ := filepath.Glob(filepath.Join(prefix, "lib*/python3*/*-packages/nvidia", wheel, "lib"))
			list = append(list, found...)
		}
	}
	return list
}

// pythons lists the prefixes of Python installations that pip may have filled.
func pythons() []string {
	var list []string
	if v := os.Getenv("VIRTUAL_ENV"); v != "" {
		list = append(list, v)
	}
	if p, err := exec.LookPath("python3"); err == nil {
		list = append(list, filepath.Dir(filepath.Dir(p)))
		if p, err = filepath.EvalSymlinks(p); err == nil {
			list = append(list, filepath.Dir(filepath.Dir(p)))
		}
	}
	return append(list, "/usr/local", "/usr")
}

// companions opens the library that NVRTC itself looks for by its bare name at
// the first compilation, so that it is found in a folder that the dynamic linker
// does not know.
func (l library) companions(dir string) {
	if l.which != C.lib_nvrtc {
		return
	}
	found, _ := filepath.Glob(filepath.Join(dir, "libnvrtc-builtins.so.*"))
	for _, file := range found {
		_, _ = dlopen(C.lib_companion, file) // without it NVRTC says itself what it misses
	}
}

func dlopen(which C.int, file string) (string, error) {
	const room = 1024
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	text := (*C.char)(C.malloc(2 * room))
	defer C.free(unsafe.Pointer(text))
	path := (*C.char)(unsafe.Add(unsafe.Pointer(text), room))
	switch C.open_lib(which, name, text, path, room) {
	case 0:
		return C.GoString(path), nil
	case C.no_symbol:
		return "", fmt.Errorf("%s lacks entry points: it is too old", file)
	}
	return "", fmt.Errorf("%s", C.GoString(text))
}
