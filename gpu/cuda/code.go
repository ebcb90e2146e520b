//go:build cuda && linux && amd64

package cuda

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"starbook/gpu/cuda/internal/driver"
	"starbook/gpu/cuda/internal/libs"
	"starbook/gpu/cuda/kernels"
)

// loadKernels compiles all kernels for the device, or finds what an earlier
// run compiled, and returns them by name. It runs inside of ctx.Do.
func loadKernels(ctx *driver.Context, rtc *libs.NVRTC, cache string) (map[string]driver.Function, error) {
	units := kernels.Units()
	images, err := compile(rtc, units, ctx.SM, cache)
	if err != nil {
		return nil, err
	}
	all := make(map[string]driver.Function)
	for i, u := range units {
		m, err := ctx.LoadModule(images[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u.Name, err)
		}
		for _, name := range u.Kernels {
			if all[name], err = m.Function(name); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// compile returns the code of each unit, in parallel.
func compile(rtc *libs.NVRTC, units []kernels.Unit, sm int, cache string) ([][]byte, error) {
	var headers []libs.File
	for _, h := range kernels.Headers() {
		headers = append(headers, libs.File{Name: h.Name, Text: h.Source})
	}
	arch, ptx := rtc.Target(sm)
	images := make([][]byte, len(units))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, u := range units {
		group.Go(func() error {
			var err error
			images[i], err = cached(cache, key(rtc, u, headers, arch), func() ([]byte, error) {
				code, _, err := rtc.Compile(libs.File{Name: u.Name, Text: u.Source}, headers, arch, ptx)
				return code, err
			})
			return err
		})
	}
	return images, group.Wait()
}

// key names everything that the code is made of.
func key(rtc *libs.NVRTC, u kernels.Unit, headers []libs.File, arch string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d.%d %s %s", rtc.Path, rtc.Major, rtc.Minor, arch, u.Source)
	for _, f := range headers {
		fmt.Fprintf(h, "\n%s\n%s", f.Name, f.Text)
	}
	return fmt.Sprintf("%s-%s-%x", u.Name, arch, h.Sum(nil)[:12])
}

// cached returns the file of that name in dir, or makes it.
func cached(dir, name string, make func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(dir, name)
	code, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return code, err
	}
	if code, err = make(); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(dir, name+"-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name()) // gone after the rename
	_, err = tmp.Write(code)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, err
	}
	return code, os.Rename(tmp.Name(), path)
}

// cacheFolder returns the folder of compiled kernels, made if need be.
func cacheFolder(dir string) (string, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			user = os.TempDir() // a home is no condition
		}
		dir = filepath.Join(user, "starbook", "kernels")
	}
	return dir, os.MkdirAll(dir, 0o755)
}
