// Package sim builds a libcuda, a libcublasLt and a libnvrtc that compute on
// the CPU, so that everything of gpu/cuda but the tensor cores themselves can be
// tested where there is no GPU. Only tests and gpu/cuda/build.sh use it.
package sim

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"starbook/gpu/cuda/kernels"
)

//go:embed cxx
var sources embed.FS

// The files of a build. They are one library under the names that it is sought by.
const (
	Driver = "libcuda.so.1"
	lt     = "libcublasLt.so.12"
	nvrtc  = "libnvrtc.so.12"
)

// Use points this process to the fake driver and libraries in dir.
func Use(dir string) error {
	if err := os.Setenv("STARBOOK_LIBCUDA", filepath.Join(dir, Driver)); err != nil {
		return err
	}
	return os.Setenv("STARBOOK_CUDA_LIB", dir)
}

// Build compiles the fake libraries with all kernels and returns their folder,
// which is kept for the next call with the same sources.
func Build() (string, error) {
	files, err := texts()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, sanitize)
	for _, f := range files {
		fmt.Fprintf(hash, "%s %d\n%s", f.Name, len(f.Source), f.Source)
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("starbook-sim-%d-%x", os.Getuid(), hash.Sum(nil)[:8]))
	if _, err := os.Stat(filepath.Join(dir, nvrtc)); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp("", "starbook-sim-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // gone after the rename
	if err := build(tmp, files); err != nil {
		return "", fmt.Errorf("sim: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, nvrtc)); there != nil { // else another test was faster
			return "", err
		}
	}
	return dir, nil
}

// texts returns all files of a build: ours, the kernels, and for each file of
// kernels one that puts them into the driver's table.
func texts() ([]kernels.Unit, error) {
	entries, err := sources.ReadDir("cxx")
	if err != nil {
		return nil, err
	}
	var files []kernels.Unit
	for _, e := range entries {
		b, err := sources.ReadFile("cxx/" + e.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, kernels.Unit{Name: e.Name(), Source: string(b)})
	}
	files = append(files, kernels.Headers()...)
	for _, u := range kernels.Units() {
		var table strings.Builder
		fmt.Fprintf(&table, "#include \"sim.h\"\n#include %q\n", u.Name)
		for _, k := range u.Kernels {
			fmt.Fprintf(&table, "static sim::Entry entry_%s(%q, %s);\n", k, k, k)
		}
		files = append(files, u, kernels.Unit{Name: u.Name + ".cpp", Source: table.String()})
	}
	return files, nil
}

func build(dir string, files []kernels.Unit) error {
	var group errgroup.Group
	group.SetLimit(2)
	objects := []string{"-shared", "-o", filepath.Join(dir, Driver)}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), []byte(f.Source), 0o644); err != nil {
			return err
		}
	}
	for _, f := range files {
		if filepath.Ext(f.Name) != ".cpp" {
			continue
		}
		object := filepath.Join(dir, f.Name+".o")
		objects = append(objects, object)
		group.Go(func() error {
			return compile("-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-Wall", "-Wno-unknown-pragmas",
				"-Wno-parentheses", "-Wno-unused", "-I", dir, "-c", filepath.Join(dir, f.Name), "-o", object)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := compile(objects...); err != nil {
		return err
	}
	for _, name := range []string{lt, nvrtc} {
		if err := os.Symlink(Driver, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func compile(args ...string) error {
	out, err := exec.Command("g++", append(args, sanitize...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("g++ %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
