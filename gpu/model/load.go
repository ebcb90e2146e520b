package model

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"starbook/gpu"
	"starbook/gpu/gguf"
	"starbook/gpu/safetensors"
)

// Open reads the model directory dir: config.json, and the weights in
// model.safetensors, in shards beside their index, or in model.gguf. Weights
// stay as they are stored, quantised ones too, and on the CPU where they are
// mapped, so the files must not change before Close.
func Open(dev gpu.Device, dir string) (*Transformer, error) { return open(dev, dir, gpu.F32, false) }

// Outline is Open, or OpenQuantised if quantise is such a type, on a rehearsing
// device: it reads no weights, only what they are. Adapters made for it are
// outlines too.
func Outline(dev gpu.Device, dir string, quantise gpu.Type) (*Transformer, error) {
	return open(dev, dir, quantise, true)
}

// open quantises the matrices of the layers to a type for weights only.
func open(dev gpu.Device, dir string, quantise gpu.Type, outline bool) (*Transformer, error) {
	cfg, src, err := openWeights(dir)
	if err != nil {
		return nil, err
	}
	m, err := load(dev, cfg, src, quantise, outline)
	if err != nil {
		src.Close()
		return nil, fmt.Errorf("model: %s: %w", dir, err)
	}
	m.files = src
	if m.Generation, err = readGeneration(dir); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// openWeights opens a model directory.
func openWeights(dir string) (Config, files, error) {
	cfg, err := ReadConfig(filepath.Join(dir, "config.json"))
	if err != nil {
		return cfg, nil, err
	}
	path := filepath.Join(dir, "model.gguf")
	if _, err := os.Stat(path); err == nil {
		f, err := gguf.Open(path)
		if err != nil {
			return cfg, nil, fmt.Errorf("model: %w", err)
		}
		return cfg, ggufSource{f, cfg}, nil
	}
	s, err := safetensors.OpenSet(dir)
	if err != nil {
		return cfg, nil, fmt.Errorf("model: %w", err)
	}
	return cfg, s, nil
}

// source is where load finds tensors: a safetensors.Set or File, or a GGUF file.
type source interface {
	Names() []string
	Tensor(name string) (safetensors.Tensor, bool)
}

// files are the open files of a model.
type files interface {
	source
	Close() error
}

func load(dev gpu.Device, cfg Config, src source, quantise gpu.Type, outline bool) (*Transformer, error) {
	m := lay(dev, cfg)
	m.outline, m.rounded = outline, quantise.WeightsOnly()
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
		if quantise.WeightsOnly() {
			if t, err = m.quantised(w, t, quantise); err != nil {
				return nil, err
			}
		}
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

// typeOf returns the type of that name, as safetensors and GGUF spell it.
func typeOf(name string) (gpu.Type, bool) {
	for _, t := range []gpu.Type{gpu.F32, gpu.BF16, gpu.F16, gpu.Q8_0, gpu.Q4_0, gpu.Q4_1, gpu.Q4_K, gpu.Q6_K, gpu.NF4} {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

// place brings one tensor to the device as it is stored. A type that the
// device does not take becomes F32.
func place(dev gpu.Device, t safetensors.Tensor) (gpu.Buf, error) {
	typ, ok := typeOf(t.DType)
	if !ok {
		return gpu.Buf{}, fmt.Errorf("tensor %s is of type %s: F32, BF16, F16 and GGUF's Q8_0, Q4_0, Q4_1, Q4_K and Q6_K are read", t.Name, t.DType)
	}
	if !typ.WeightsOnly() {
		return dev.Load(typ, aligned(t.Data, uintptr(typ.Bytes(1)))), nil
	}
	if b := dev.Load(typ, t.Data); b.Len > 0 {
		return b, nil
	}
	if err := dev.Sync(); err == nil {
		return gpu.Buf{}, fmt.Errorf("tensor %s: the device took no %s, without a reason", t.Name, t.DType)
	}
	values := typ.Decode(t.Data)
	b := dev.Alloc(gpu.F32, len(values))
	dev.Upload(b, values)
	return b, nil
}

// aligned returns data, or a copy if it does not begin at a multiple of size,
// which the format permits.
func aligned(data []byte, size uintptr) []byte {
	if len(data) > 0 && uintptr(unsafe.Pointer(&data[0]))%size != 0 {
		return slices.Clone(data)
	}
	return data
}
