package model

import (
	"fmt"
	"os"
	"path/filepath"

	"starbook/gpu/safetensors"
)

// Save writes config.json and model.safetensors into the directory dir, which
// it makes if need be. dtype is "F32" or "BF16"; values are rounded to nearest.
func (m *Transformer) Save(dir, dtype string) error {
	cfg := m.Config
	switch dtype {
	case "F32":
		cfg.Type = "float32"
	case "BF16":
		cfg.Type = "bfloat16"
	default:
		return fmt.Errorf("model: save as %q: F32 and BF16 are written", dtype)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	tensors := make([]safetensors.Tensor, len(m.weights))
	byName := make(map[string]*weight, len(m.weights))
	for i, w := range m.weights {
		tensors[i] = safetensors.Tensor{Name: w.name, DType: dtype, Shape: w.shape()}
		byName[w.name] = w
	}
	var raw []byte
	data := func(t safetensors.Tensor) ([]byte, error) {
		w := byName[t.Name]
		values := make([]float32, w.len())
		m.dev.Download(values, w.w)
		if err := m.dev.Sync(); err != nil {
			return nil, err
		}
		var err error
		raw, err = safetensors.AppendF32(raw[:0], dtype, values)
		return raw, err
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := safetensors.WriteFile(path, tensors, map[string]string{"format": "pt"}, data); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), cfg.JSON(), 0o644); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}
