// Package kernels holds the CUDA C++ sources of gpu/cuda. They include no CUDA
// header, so NVRTC compiles them wherever it is found, and g++ compiles them
// for the tests (gpu/cuda/internal/sim).
package kernels

import (
	"embed"
	"path"
	"regexp"
)

//go:embed *.cu *.cuh
var files embed.FS

// Unit is a source file that is compiled by itself.
type Unit struct {
	Name    string // "norm.cu"
	Source  string
	Kernels []string // its entry points
}

// entry finds the entry points of a source: KERNEL(threads) name(...), or the
// use of a macro that makes one and takes the name first.
var entry = regexp.MustCompile(`(?m)^(?:KERNEL\([\d, ]+\) |[A-Z][A-Z0-9_]*\()([a-z][a-z0-9_]*)[,(]`)

// Units returns the sources, in the order of their names.
func Units() []Unit {
	var units []Unit
	for _, f := range read(".cu") {
		for _, m := range entry.FindAllStringSubmatch(f.Source, -1) {
			f.Kernels = append(f.Kernels, m[1])
		}
		units = append(units, f)
	}
	return units
}

// Headers returns what the sources include, in the order of the names.
func Headers() []Unit { return read(".cuh") }

func read(ext string) []Unit {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // embedded: it is there
	}
	var units []Unit
	for _, e := range entries {
		if path.Ext(e.Name()) != ext {
			continue
		}
		b, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		units = append(units, Unit{Name: e.Name(), Source: string(b)})
	}
	return units
}
