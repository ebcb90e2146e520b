package model

import (
	"fmt"
	"os"
	"path/filepath"

	"starbook/gpu/gguf"
)

// UnpackGGUF makes the empty directory dir a model directory of the GGUF file
// at path: config.json and the tokenizer's files from its metadata, and
// model.gguf as a link to it.
func UnpackGGUF(path, dir string) (Config, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("model: %w", err)
	}
	defer f.Close()
	cfg, err := GGUFConfig(f)
	if err != nil {
		return cfg, fmt.Errorf("model: %s: %w", path, err)
	}
	tokenizer, config, err := gguf.Tokenizer(&f.Meta)
	if err != nil {
		return cfg, fmt.Errorf("model: %s: %w", path, err)
	}
	target, err := filepath.Abs(path)
	if err != nil {
		return cfg, fmt.Errorf("model: %w", err)
	}
	for name, b := range map[string][]byte{"config.json": cfg.JSON(), "tokenizer.json": tokenizer, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return cfg, fmt.Errorf("model: %w", err)
		}
	}
	if err := os.Symlink(target, filepath.Join(dir, "model.gguf")); err != nil {
		return cfg, fmt.Errorf("model: %w", err)
	}
	return cfg, nil
}
