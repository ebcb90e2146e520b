package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/cuda"
)

// deviceEnv names the device to compute on: cpu, cuda or cuda:1. Without it
// that is the first GPU, or the CPU if there is none. With cpu:bf16 products
// with BF16 weights are of bfloat16 on both sides: faster, where the CPU has
// instructions for it, and less exact. Results are recorded as of that kind;
// those of a CPU with AMX as of cpu:amx.
const deviceEnv = "STARBOOK_DEVICE"

// memoryEnv is how much of the host's memory tensors may take, such as 8GB, in place of
// what is free.
const memoryEnv = "STARBOOK_MEMORY"

// openDevice opens the device to compute on.
func openDevice() (gpu.Device, error) {
	want := os.Getenv(deviceEnv)
	switch kind, number, _ := strings.Cut(want, ":"); {
	case want == "":
		d, err := cuda.Open(cuda.Options{})
		if err == nil {
			return d, nil
		}
		fmt.Fprintf(os.Stderr, "starbook: computing on the CPU: %v\n", err)
		return openCPU(cpu.Options{})
	case want == "cpu":
		return openCPU(cpu.Options{})
	case want == "cpu:bf16":
		return openCPU(cpu.Options{BF16: true})
	case kind == "cuda":
		var o cuda.Options
		if number != "" {
			var err error
			if o.GPU, err = strconv.Atoi(number); err != nil {
				break
			}
		}
		return cuda.Open(o)
	}
	return nil, fmt.Errorf("%s is %q: it may be cpu, cpu:bf16, cuda or cuda:N", deviceEnv, want)
}

func openCPU(o cpu.Options) (gpu.Device, error) {
	if limit := os.Getenv(memoryEnv); limit != "" {
		n, err := parseBytes(limit)
		if err != nil {
			return nil, fmt.Errorf("%s is %q: %w", memoryEnv, limit, err)
		}
		o.Memory = int(n)
	}
	d, err := cpu.New(o)
	if err != nil {
		return nil, err
	}
	return d, nil
}
