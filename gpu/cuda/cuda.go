// Package cuda is the device for NVIDIA GPUs: weights and activations in BF16,
// sums in float32, what is trained in float32. Products of matrices are
// cuBLASLt's; everything else is the kernels in kernels/, which NVRTC compiles
// on the machine where they run.
//
// It is built with -tags cuda on Linux for amd64 (see build.sh); a program
// without the tag says so when it is asked for the device. No CUDA toolkit is
// needed to build, and the program starts on machines without a driver.
package cuda

import "fmt"

// Options says which GPU to use and how.
type Options struct {
	GPU   int    // its number
	Cache string // folder of compiled kernels; "": starbook in the user's cache folder
	Piece int    // bytes that the driver is asked for at a time at least; 0: 64 MiB
	F32   bool   // keep activations in float32, without tensor cores: for checks
}

// Found is what there is of CUDA on this machine.
type Found struct {
	Driver        string // the driver's file
	DriverVersion int    // the newest CUDA that it serves: 12040 is 12.4
	Missing       []string
	GPUs          []GPU
	CuBLAS, NVRTC Library
}

// GPU is one device.
type GPU struct {
	Name   string
	SM     int // 80 for compute capability 8.0
	Memory int // bytes
}

// Library is one of CUDA's libraries.
type Library struct {
	Path, Version string
	Err           error // why it cannot be used, or nil
}

// version writes 12040 as 12.4.
func version(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// DriverCUDA returns the newest CUDA that the driver serves, as "12.4".
func (f Found) DriverCUDA() string { return version(f.DriverVersion) }
