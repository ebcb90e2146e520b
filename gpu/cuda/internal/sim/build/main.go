// Build prints the folder of the fake driver and libraries, and makes it if
// need be. Tests of other packages run against them with STARBOOK_LIBCUDA and
// STARBOOK_CUDA_LIB set.
package main

import (
	"fmt"
	"log"

	"starbook/gpu/cuda/internal/sim"
)

func main() {
	log.SetFlags(0)
	dir, err := sim.Build()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dir)
}
