package model

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// Open reads the Hugging Face model directory dir: config.json, and the
// weights in model.safetensors or in shards beside their index. Weights stay
// as they are stored, F32 or BF16, and on the CPU where they are mapped, so
// the files must not change before Close.
func Open(dev gpu.Device, dir string) (*Transformer, error) {
	cfg, err := ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, err
	}
	files, err := safetensors.OpenSet(dir)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m, err := load(dev, cfg, files)
	if err != nil {
		files.Close()
		return nil, fmt.Errorf("model: %s: %w", dir, err)
	}
	m.files = files
	return m, nil
}

// source is where load finds tensors: a safetensors.Set or File.
type source interface {
	Names() []string
	Tensor(name string) (safetensors.Tensor, bool)
}

func load(dev gpu.Device, cfg Config, src source) (*Transformer, error) {
	m := lay(dev, cfg)
	want := make([]Tensor, len(m.weights))
	for i, w := range m.weights {
		want[i] = Tensor{Name: w.name, Shape: w.shape()}
	}
	if err := match(want, src, m.ignored); err != nil {
		return nil, err
	}
	for _, w := range m.weights {
		t, _ := src.Tensor(w.name)
		var err error
		if w.w, err = place(dev, t); err != nil {
			return nil, err
		}
	}
	return m, dev.Sync()
}

// ignored reports whether a file may hold a tensor that the model does not
// use: the copy of a tied table, and tables that old files carry along.
func (m *Transformer) ignored(name string) bool {
	return m.Config.Tied && name == "lm_head.weight" || strings.HasSuffix(name, ".rotary_emb.inv_freq")
}

// match compares what is wanted with what is there, in names and shapes, and
// returns one error that lists all differences.
func match(want []Tensor, src source, ignored func(string) bool) error {
	var missing, unexpected, misshapen []string
	known := make(map[string]bool, len(want))
	for _, w := range want {
		known[w.Name] = true
		t, ok := src.Tensor(w.Name)
		switch {
		case !ok:
			missing = append(missing, w.Name)
		case !slices.Equal(t.Shape, w.Shape):
			misshapen = append(misshapen, fmt.Sprintf("%s is %v, not %v", w.Name, t.Shape, w.Shape))
		}
	}
	for _, name := range src.Names() {
		if !known[name] && !ignored(name) {
			unexpected = append(unexpected, name)
		}
	}
	for i, name := range missing {
		if near := nearest(name, unexpected); near != "" {
			missing[i] += " (but there is " + near + ")"
		}
	}
	if len(missing)+len(unexpected)+len(misshapen) == 0 {
		return nil
	}
	return fmt.Errorf("tensors do not fit the configuration: %s", strings.Join(slices.Concat(
		some("missing", missing), some("unexpected", unexpected), some("of another shape", misshapen)), "; "))
}

// nearest returns the name that begins and ends most like the given one, if
// what differs is less than half of it.
func nearest(name string, others []string) string {
	best, found := len(name)/2, ""
	for _, o := range others {
		head := 0
		for head < min(len(name), len(o)) && name[head] == o[head] {
			head++
		}
		tail := 0
		for tail < min(len(name), len(o))-head && name[len(name)-1-tail] == o[len(o)-1-tail] {
			tail++
		}
		if head+tail > best {
			best, found = head+tail, o
		}
	}
	return found
}

// some says how many names there are and shows the first ones.
func some(what string, names []string) []string {
	const shown = 6
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names[:min(len(names), shown)], ", ")
	if len(names) > shown {
		list += ", …"
	}
	return []string{fmt.Sprintf("%d %s: %s", len(names), what, list)}
}

// place brings one tensor to the device as it is stored. F16, which no device
// computes with, becomes F32.
func place(dev gpu.Device, t safetensors.Tensor) (gpu.Buf, error) {
	switch t.DType {
	case "F32":
		return dev.Load(gpu.F32, aligned(t.Data, 4)), nil
	case "BF16":
		return dev.Load(gpu.BF16, aligned(t.Data, 2)), nil
	case "F16":
		values, err := t.F32()
		if err != nil {
			return gpu.Buf{}, err
		}
		b := dev.Alloc(gpu.F32, len(values))
		dev.Upload(b, values)
		return b, nil
	}
	return gpu.Buf{}, fmt.Errorf("tensor %s is of type %s: F32, BF16 and F16 are read", t.Name, t.DType)
}

// aligned returns data, or a copy if it does not begin at a multiple of size,
// which the format permits.
func aligned(data []byte, size uintptr) []byte {
	if len(data) > 0 && uintptr(unsafe.Pointer(&data[0]))%size != 0 {
		return slices.Clone(data)
	}
	return data
}
