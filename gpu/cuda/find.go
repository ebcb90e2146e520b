//go:build cuda && linux && amd64

package cuda

import (
	"fmt"

	"starbook/gpu/cuda/internal/driver"
	"starbook/gpu/cuda/internal/libs"
)

// Find looks for a driver, GPUs and CUDA's libraries. The error says why no GPU
// can be used.
func Find() (Found, error) {
	var f Found
	if err := driver.Err(); err != nil {
		return f, fmt.Errorf("cuda: %w", err)
	}
	f.Driver, f.DriverVersion, f.Missing = driver.Path(), driver.Version(), driver.Missing()
	list, err := driver.Devices()
	if err != nil {
		return f, fmt.Errorf("cuda: %w", err)
	}
	for _, d := range list {
		f.GPUs = append(f.GPUs, GPU{d.Name, d.SM, d.Memory})
	}
	if lt, err := libs.OpenLt(f.DriverVersion); err != nil {
		f.CuBLAS.Err = err
	} else {
		f.CuBLAS.Path, f.CuBLAS.Version = lt.Path, fmt.Sprintf("%d.%d.%d", lt.Version/10000, lt.Version/100%100, lt.Version%100)
	}
	if rtc, err := libs.OpenNVRTC(f.DriverVersion); err != nil {
		f.NVRTC.Err = err
	} else {
		f.NVRTC.Path, f.NVRTC.Version = rtc.Path, fmt.Sprintf("%d.%d", rtc.Major, rtc.Minor)
	}
	if len(list) == 0 {
		return f, fmt.Errorf("cuda: the driver %s shows no GPU", f.Driver)
	}
	return f, nil
}
