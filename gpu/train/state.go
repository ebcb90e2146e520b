package train

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// State is a training at rest. A Trainer of the same model, examples and
// Options that is given it goes on as if it had never stopped, bit for bit.
type State struct {
	header
	w, m, v []float32 // masters and moments
	best    []float32 // masters at the best evaluation, or nil
}

// header is the State without its tensors.
type header struct {
	Options Options  `json:"options"`
	Data    string   `json:"data"`  // digest of the examples
	Total   int      `json:"total"` // updates that the options ask for
	At      progress `json:"at"`
}

// Step returns the number of updates done.
func (s *State) Step() int { return s.At.Step }

// State returns a copy of where t is, an update under way included.
func (t *Trainer) State() (*State, error) {
	if err := t.settle(); err != nil {
		return nil, err
	}
	s := &State{header: header{t.o, t.data, t.total, t.at}, best: t.best}
	s.At.Evals = slices.Clone(t.at.Evals)
	n := t.params.Len()
	s.w, s.m, s.v = make([]float32, n), make([]float32, n), make([]float32, n)
	t.dev.Download(s.w, t.params.W)
	t.dev.Download(s.m, t.m)
	t.dev.Download(s.v, t.v)
	if err := t.dev.Sync(); err != nil {
		return nil, fmt.Errorf("train: read state: %w", err)
	}
	return s, nil
}

// Restore puts t where s was taken. MicroTokens and Recompute alone may have changed since.
func (t *Trainer) Restore(s *State) error {
	n, then := t.params.Len(), s.Options
	then.MicroTokens, then.Recompute = t.o.MicroTokens, t.o.Recompute
	switch {
	case then != t.o:
		return fmt.Errorf("train: the state is of a training with other options: %+v, not %+v", s.Options, t.o)
	case s.Data != t.data:
		return fmt.Errorf("train: the state is of a training on other examples")
	case len(s.w) != n || len(s.m) != n || len(s.v) != n || s.best != nil && len(s.best) != n:
		return fmt.Errorf("train: the state has %d parameters, and there are %d to train", len(s.w), n)
	}
	t.dev.Upload(t.params.W, s.w)
	t.dev.Upload(t.m, s.m)
	t.dev.Upload(t.v, s.v)
	t.dev.Upload(t.guard, []float32{gpu.GuardSkips: float32(s.At.Step - s.At.Applied)})
	t.flight = nil
	if err := t.dev.Sync(); err != nil {
		return fmt.Errorf("train: restore state: %w", err)
	}
	t.at, t.best = s.At, slices.Clone(s.best)
	t.at.Evals = slices.Clone(s.At.Evals)
	return nil
}

// Past is how far the training came that a State is of.
type Past struct {
	Step  int    // updates done
	Evals []Eval // all evaluations so far
	Done  bool   // there is nothing left to do
}

// ReadPast reads from the file that WriteFile wrote what it says of the past, without its
// tensors.
func ReadPast(path string) (Past, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return Past{}, fmt.Errorf("train: %w", err)
	}
	defer file.Close()
	var h header
	if err := json.Unmarshal([]byte(file.Metadata()["state"]), &h); err != nil {
		return Past{}, fmt.Errorf("train: %s: no state in it: %w", path, err)
	}
	return Past{h.At.Step, h.At.Evals, h.At.Pending == nil && h.At.Step >= h.Total}, nil
}

// WriteFile writes s to path, whole or not at all, as a safetensors file whose metadata
// holds as JSON what is no tensor.
func (s *State) WriteFile(path string) error {
	f, err := s.file()
	if err != nil {
		return err
	}
	return safetensors.WriteFile(path, f.tensors, f.metadata, f.data)
}

// stateFile is a State as a safetensors file has it.
type stateFile struct {
	tensors  []safetensors.Tensor
	metadata map[string]string
	data     func(safetensors.Tensor) ([]byte, error) // of one tensor, until the next call
}

func (s *State) file() (stateFile, error) {
	text, err := json.Marshal(s.header)
	if err != nil {
		return stateFile{}, fmt.Errorf("train: write state: %w", err)
	}
	values := map[string][]float32{"m": s.m, "v": s.v, "w": s.w}
	if s.best != nil {
		values["best"] = s.best
	}
	f := stateFile{metadata: map[string]string{"state": string(text)}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f.tensors = append(f.tensors, safetensors.Tensor{Name: name, DType: "F32", Shape: []int{len(values[name])}})
	}
	var raw []byte // one tensor at a time: those of a full model are large
	f.data = func(t safetensors.Tensor) (_ []byte, err error) {
		raw, err = safetensors.AppendF32(raw[:0], "F32", values[t.Name])
		return raw, err
	}
	return f, nil
}

// ReadState reads the file that WriteFile wrote.
func ReadState(path string) (*State, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	defer file.Close()
	s := new(State)
	if err := json.Unmarshal([]byte(file.Metadata()["state"]), &s.header); err != nil {
		return nil, fmt.Errorf("train: %s: no state in it: %w", path, err)
	}
	for name, values := range map[string]*[]float32{"best": &s.best, "m": &s.m, "v": &s.v, "w": &s.w} {
		t, ok := file.Tensor(name)
		if !ok {
			if name == "best" {
				continue
			}
			return nil, fmt.Errorf("train: %s: tensor %s is missing", path, name)
		}
		if *values, err = t.F32(); err != nil {
			return nil, fmt.Errorf("train: %s: %w", path, err)
		}
	}
	return s, nil
}
