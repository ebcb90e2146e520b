//go:build cuda && linux && amd64

// Package driver is the door to the CUDA driver: gorgonia.org/cu, which it
// keeps from being linked to libcuda, and the few calls that cu lacks. One
// program thus starts on every machine, and says why there is no GPU.
//
// Building needs CGO_CFLAGS=-I with the folder include beside this file, for
// cu's sake, and no CUDA toolkit. Everything that imports cu must be linked with
// this package.
package driver

/*
#cgo CFLAGS: -I${SRCDIR}/include -O2
#cgo LDFLAGS: -L${SRCDIR}/lib -Wl,--as-needed -ldl
#include "load.h"
#include <cuda.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"gorgonia.org/cu"
)

//go:generate go run gen.go

// Err says why no driver can be used, or nil. The first call opens the driver.
func Err() error {
	if C.driver_status() == 0 {
		return nil
	}
	return errors.New(C.GoString(C.driver_why()))
}

// Path returns the file of the driver library.
func Path() string { return C.GoString(C.driver_path()) }

// Version returns the newest CUDA that the driver serves: 12040 is 12.4.
func Version() int { return cu.Version() }

// Missing returns the entry points that the driver lacks. A call of one fails
// with error 801; nothing else happens.
func Missing() []string {
	var list **C.char
	n := int(C.driver_missing(&list))
	names := make([]string, n)
	for i, s := range unsafe.Slice(list, n) {
		names[i] = C.GoString(s)
	}
	return names
}

// Error is a failed call of the driver.
type Error struct {
	Call string
	Code int
}

// OutOfMemory is the Code of an allocation that did not fit.
const OutOfMemory = C.CUDA_ERROR_OUT_OF_MEMORY

// Error returns the call, the driver's words and the number.
func (e *Error) Error() string {
	var s *C.char
	text := "no text"
	if C.cuGetErrorString(C.CUresult(e.Code), &s) == C.CUDA_SUCCESS && s != nil {
		text = C.GoString(s)
	}
	return fmt.Sprintf("%s: %s (error %d)", e.Call, text, e.Code)
}

// failed wraps an error of cu, whose table of texts ends with CUDA 10. cu does
// not export its type, an int.
func failed(call string, err error) error {
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(err); v.CanInt() {
		return &Error{call, int(v.Int())}
	}
	return fmt.Errorf("%s: %w", call, err)
}

// result turns the number that a call returned into an error.
func result(call string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return &Error{call, int(r)}
}
