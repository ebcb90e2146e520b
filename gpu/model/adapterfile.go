package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"starbook/gpu"
	"starbook/gpu/safetensors"
)

// The files of an adapter directory, as PEFT names them.
const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
)

// Save writes adapter_config.json and adapter_model.safetensors, float32, into
// the directory dir, which it makes if need be. base is what the configuration
// names as the base model; it may be empty.
func (a *Adapter) Save(dir, base string) error {
	values, err := a.Params.Read()
	if err != nil {
		return err
	}
	return a.SaveValues(dir, base, values)
}

// SaveValues is Save for other values than the present ones, such as those
// that Params.Read returned at the best evaluation.
func (a *Adapter) SaveValues(dir, base string, values []float32) error {
	if len(values) != a.Params.Len() {
		return fmt.Errorf("model: save adapter: %d values for %d parameters", len(values), a.Params.Len())
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	tensors := make([]safetensors.Tensor, len(a.Params.Tensors))
	for i, t := range a.Params.Tensors {
		t, values := a.whole(t, values)
		raw, err := safetensors.AppendF32(nil, "F32", values)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		tensors[i] = safetensors.Tensor{Name: t.Name, DType: "F32", Shape: t.Shape, Data: raw}
	}
	for _, s := range a.saved {
		values := make([]float32, s.weight.len())
		a.Params.dev.Download(values, s.weight.w)
		if err := a.Params.dev.Sync(); err != nil {
			return fmt.Errorf("model: save adapter: %w", err)
		}
		raw, err := safetensors.AppendF32(nil, "F32", values)
		if err != nil {
			return fmt.Errorf("model: %w", err)
		}
		tensors = append(tensors, safetensors.Tensor{Name: s.Name, DType: "F32", Shape: s.Shape, Data: raw})
	}
	path := filepath.Join(dir, adapterWeights)
	if err := safetensors.WriteFile(path, tensors, map[string]string{"format": "pt"}, nil); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, adapterConfig), a.LoRA.whole().json(base), 0o644); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

// ReadLoRA reads what the adapter directory dir says of itself. Whether it fits
// a model is seen only when it is opened for one.
func ReadLoRA(dir string) (LoRA, error) {
	path := filepath.Join(dir, adapterConfig)
	raw, err := os.ReadFile(path)
	if err != nil {
		return LoRA{}, fmt.Errorf("model: %w", err)
	}
	l, err := parseLoRA(raw)
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return LoRA{}, fmt.Errorf("model: %s: %w", path, err)
	}
	return l, nil
}

// OpenAdapter reads an adapter directory that fits m, as PEFT or Save wrote
// it. A setting that this engine does not implement is an error, and so is a
// tensor too many, too few or of another shape.
func OpenAdapter(m *Transformer, dir string) (*Adapter, error) {
	l, err := ReadLoRA(dir)
	if err != nil {
		return nil, err
	}
	file, err := safetensors.Open(filepath.Join(dir, adapterWeights))
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	defer file.Close()
	a, err := readAdapter(m.dev, m.Config, l, file)
	if err != nil {
		return nil, fmt.Errorf("model: %s: %w", dir, err)
	}
	return a, nil
}

func readAdapter(dev gpu.Device, cfg Config, l LoRA, src source) (*Adapter, error) {
	a, err := layAdapter(dev, cfg, l)
	if err != nil {
		return nil, err
	}
	if err := a.read(src); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// read fills the adapter with the tensors of a file.
func (a *Adapter) read(src source) error {
	saved, err := savedIn(a.cfg, a.LoRA, a.modules, src)
	if err != nil {
		return err
	}
	want := slices.Clone(a.Params.Tensors)
	for _, s := range saved {
		want = append(want, s.Tensor)
	}
	if err := match(want, src, func(string) bool { return false }); err != nil {
		return err
	}
	values := make([]float32, a.Params.Len())
	for _, want := range a.Params.Tensors {
		t, _ := src.Tensor(want.Name)
		if err := t.ReadF32(values[want.From:want.From+want.Len()], 0); err != nil {
			return err
		}
	}
	for _, s := range saved {
		a.saved = append(a.saved, s)
		if err := s.read(a.Params.dev, src); err != nil {
			return err
		}
	}
	return a.Params.Write(values)
}

// json returns adapter_config.json with the keys that every PEFT since 0.11
// knows, and of newer ones those that are set: an old PEFT dies of a key it
// does not know, a new one fills defaults. Sorted, without a last newline, as
// PEFT writes it.
func (l LoRA) json(base string) []byte {
	var name *string
	if base != "" {
		name = &base
	}
	keys := map[string]any{
		"alpha_pattern":           pattern(l.Alphas),
		"auto_mapping":            nil,
		"base_model_name_or_path": name,
		"bias":                    "none",
		"fan_in_fan_out":          false,
		"inference_mode":          true,
		"init_lora_weights":       true,
		"layer_replication":       nil,
		"layers_pattern":          nil,
		"layers_to_transform":     nil,
		"loftq_config":            struct{}{},
		"lora_alpha":              l.Alpha,
		"lora_dropout":            pythonFloat(l.Dropout),
		"megatron_config":         nil,
		"megatron_core":           "megatron.core",
		"modules_to_save":         nil,
		"peft_type":               "LORA",
		"r":                       l.Rank,
		"rank_pattern":            pattern(l.Ranks),
		"revision":                nil,
		"target_modules":          modulesJSON(l.Targets, l.Match),
		"task_type":               "CAUSAL_LM",
		"use_dora":                false,
		"use_rslora":              l.RSLoRA,
	}
	if len(l.Exclude) > 0 || l.Except != "" {
		keys["exclude_modules"] = modulesJSON(l.Exclude, l.Except)
	}
	if len(l.Save) > 0 {
		keys["modules_to_save"] = l.Save
	}
	return pythonJSON(keys)
}

// modulesJSON is a list, sorted, as PEFT's is a set; or an expression. PEFT
// resolves all-linear before it writes.
func modulesJSON(list []string, expr string) any {
	if expr != "" {
		return expr
	}
	if i := slices.Index(list, "all-linear"); i >= 0 {
		list = slices.Delete(slices.Clone(list), i, i+1)
		for _, name := range projNames {
			list = append(list, name[strings.Index(name, ".")+1:])
		}
	}
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}

// pattern returns m, {} for nil.
func pattern[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// pythonJSON writes v as json.dumps(v, indent=2, sort_keys=True) does, but for
// signs beyond ASCII.
func pythonJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		panic(err) // maps of strings, finite numbers and nil always marshal
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// pythonFloat writes 0 as 0.0.
func pythonFloat(f float64) json.RawMessage {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.RawMessage(s)
}

// harmless are the keys of adapter_config.json that change no result.
var harmless = map[string]bool{
	"auto_mapping": true, "base_model_name_or_path": true, "inference_mode": true,
	"megatron_core": true, "peft_version": true, "qalora_group_size": true,
	"revision": true, "runtime_config": true, "task_type": true,
}

// parseLoRA reads adapter_config.json.
func parseLoRA(raw []byte) (LoRA, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return LoRA{}, err
	}
	l := LoRA{Rank: 8, Alpha: 8, Targets: []string{"q_proj", "v_proj"}} // PEFT's defaults
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value := keys[key]
		var err error
		switch key {
		case "r":
			err = json.Unmarshal(value, &l.Rank)
		case "lora_alpha":
			err = json.Unmarshal(value, &l.Alpha)
		case "lora_dropout":
			err = json.Unmarshal(value, &l.Dropout)
		case "use_rslora":
			err = json.Unmarshal(value, &l.RSLoRA)
		case "target_modules":
			err = modulesFrom(value, &l.Targets, &l.Match)
		case "exclude_modules":
			err = modulesFrom(value, &l.Exclude, &l.Except)
		case "rank_pattern":
			err = json.Unmarshal(value, &l.Ranks)
		case "alpha_pattern":
			err = json.Unmarshal(value, &l.Alphas)
		case "modules_to_save":
			err = json.Unmarshal(value, &l.Save)
		case "peft_type":
			err = only(value, `"LORA"`)
		case "bias":
			err = only(value, `"none"`)
		case "init_lora_weights":
			// pissa, olora, loftq and the like also change the base's weights.
			err = only(value, "true", "false", `"gaussian"`, "null")
		default:
			if !harmless[key] {
				err = only(value, "null", "false", "{}", "[]", `""`)
			}
		}
		if err != nil {
			return LoRA{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	return l, nil
}

// only returns an error unless value is one of the accepted texts.
func only(value json.RawMessage, accepted ...string) error {
	if slices.Contains(accepted, string(value)) {
		return nil
	}
	return fmt.Errorf("%s is not implemented here: merge the adapter with PEFT and open the merged model", value)
}

// modulesFrom reads a list of names, or an expression; null changes nothing.
func modulesFrom(value json.RawMessage, list *[]string, expr *string) error {
	if !given(value) {
		return nil
	}
	if json.Unmarshal(value, expr) != nil {
		return json.Unmarshal(value, list)
	}
	*list = nil
	if strings.EqualFold(*expr, "all-linear") {
		*list, *expr = []string{"all-linear"}, ""
	}
	return nil
}
