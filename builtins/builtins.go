// Package builtins is what a script can say: one file per module. The args
// struct of a built-in is its parser, its fingerprint, its record and its
// manual.
package builtins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	starjson "go.starlark.net/lib/json"
	starmath "go.starlark.net/lib/math"
	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"starbook/gpu"
)

// Host is what built-ins may use of the machine.
type Host struct {
	Dir        string                     // relative paths start here; "" is the working directory
	OpenDevice func() (gpu.Device, error) // called once, by the first step that needs it
	Getenv     func(string) string        // nil: os.Getenv
	// Consent is asked before money is spent, with what it is for and how much. An error is a no, and so is nil.
	Consent func(ctx context.Context, quote string) error
	// BatchPoll is the pause between two looks at a provider's batch; 0: 30 s.
	BatchPoll time.Duration

	device struct {
		once sync.Once
		dev  gpu.Device
		err  error
	}
	closers struct {
		sync.Mutex
		list []func() error
	}
	kinds struct {
		once sync.Once
		byID map[string]KindDoc
	}
}

// Module is a named set of built-ins.
type Module struct {
	Name, Doc string
	Funcs     []Func
}

// Modules is THE list of what a script can say.
func (h *Host) Modules() []Module {
	return []Module{
		dataModule(), distillModule(), pairModule(), modelModule(), loraModule(), evalModule(), gradeModule(), sweepModule(), reportModule(),
	}
}

// Kinds is THE list of artifacts.
func (h *Host) Kinds() []KindDoc {
	return []KindDoc{datasetKind(), modelKind(), tokenizerKind(), tokensKind(), adapterKind(), principalKind(), logitsKind(), answersKind(), scoresKind()}
}

// Globals are the built-ins without a module.
func (h *Host) Globals() []Func { return []Func{paramFunc(), secretFunc(), assertFunc()} }

// CheckSteps says which of these names is no step, as --fresh takes them.
func (h *Host) CheckSteps(names []string) error {
	known := []string{"all"}
	for _, f := range h.Funcs() {
		if f.Step {
			known = append(known, f.Name)
		}
		known = append(known, f.steps...)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no step is called %s%s", name, didYouMean(name, known))
		}
	}
	return nil
}

// Device opens the device on first use. A step that calls it holds the gpu
// slot, for a device serves one at a time.
func (h *Host) Device() (gpu.Device, error) {
	h.device.once.Do(func() {
		if h.OpenDevice == nil {
			h.device.err = errors.New("no device to compute on")
			return
		}
		h.device.dev, h.device.err = h.OpenDevice()
	})
	return h.device.dev, h.device.err
}

// onClose has close called by Close: graders' processes, practice teachers.
func (h *Host) onClose(close func() error) {
	h.closers.Lock()
	defer h.closers.Unlock()
	h.closers.list = append(h.closers.list, close)
}

// Close ends what built-ins started and closes the device.
func (h *Host) Close() error {
	var errs []error
	for _, close := range slices.Backward(h.closers.list) {
		errs = append(errs, close())
	}
	if h.device.dev != nil {
		errs = append(errs, h.device.dev.Close())
	}
	return errors.Join(errs...)
}

// Predeclared returns the names that every notebook starts with.
func (h *Host) Predeclared() starlark.StringDict {
	clockless := maps.Clone(startime.Module.Members)
	delete(clockless, "now") // a step must not depend on when it runs
	out := starlark.StringDict{
		"json":   starjson.Module,
		"math":   starmath.Module,
		"time":   &starlarkstruct.Module{Name: "time", Members: clockless},
		"struct": starlark.NewBuiltin("struct", starlarkstruct.Make),
	}
	for _, m := range h.Modules() {
		members := starlark.StringDict{}
		for _, f := range m.Funcs {
			members[f.method()] = f.value(h)
		}
		out[m.Name] = &starlarkstruct.Module{Name: m.Name, Members: members}
	}
	for _, f := range h.Globals() {
		out[f.Name] = f.value(h)
	}
	out.Freeze()
	return out
}

func (h *Host) kind(name string) (KindDoc, bool) {
	if h == nil {
		return KindDoc{}, false
	}
	h.kinds.once.Do(func() {
		h.kinds.byID = map[string]KindDoc{}
		for _, k := range h.Kinds() {
			h.kinds.byID[k.Name] = k
		}
	})
	k, ok := h.kinds.byID[name]
	return k, ok
}

// env returns a variable of the environment.
func (h *Host) env(name string) string {
	if h.Getenv != nil {
		return h.Getenv(name)
	}
	return os.Getenv(name)
}

// path returns where a script's path lies.
func (h *Host) path(p string) string {
	if filepath.IsAbs(p) || h.Dir == "" {
		return p
	}
	return filepath.Join(h.Dir, p)
}

// root opens the directory outside of which a script writes nothing.
func (h *Host) root() (*os.Root, error) {
	dir := h.Dir
	if dir == "" {
		dir = "."
	}
	return os.OpenRoot(dir)
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// plural writes "1 row", "2 rows".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + strings.TrimSuffix(noun, "s")
	}
	return fmt.Sprintf("%d %s", n, strings.TrimSuffix(noun, "s")+"s")
}
