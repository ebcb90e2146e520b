//go:build !(cuda && linux && amd64)

package cuda

import (
	"errors"

	"starbook/gpu"
)

var errOff = errors.New("cuda: this program was built without CUDA: build it with gpu/cuda/build.sh, on Linux for amd64")

// Open returns an error: the program was built without CUDA.
func Open(Options) (gpu.Device, error) { return nil, errOff }

// Find returns an error: the program was built without CUDA.
func Find() (Found, error) { return Found{}, errOff }
