package model

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// beside copies the files of the base that hold no weights. config.json and
// the index of the shards are written anew if they would no longer be true.
func (m *merger) beside(from, to string) error {
	if err := copyBeside(from, to); err != nil {
		return err
	}
	if m.o.Type == "" && !m.untied {
		return nil
	}
	if err := edit(filepath.Join(to, "config.json"), func(keys map[string]json.RawMessage) {
		if m.untied {
			keys["tie_word_embeddings"] = json.RawMessage("false")
		}
		if name := map[string]string{"F16": `"float16"`, "F32": `"float32"`}[m.o.Type]; name != "" {
			key := "dtype"
			if _, old := keys["torch_dtype"]; old {
				key = "torch_dtype"
			}
			keys[key] = json.RawMessage(name)
		}
	}); err != nil {
		return err
	}
	return m.index(filepath.Join(to, "model.safetensors.index.json"))
}

// index writes the index of the shards, if there is one.
func (m *merger) index(path string) error {
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	size, where := 0, map[string]string{}
	for _, s := range m.shards {
		for _, t := range m.layout(s) {
			if was, ok := m.files.Tensor(t.Name); ok && was.DType == t.DType {
				size += len(t.Data)
			} else {
				size += t.Len() * map[string]int{"F32": 4, "F16": 2, "BF16": 2}[t.DType]
			}
			where[t.Name] = s.name
		}
	}
	return edit(path, func(keys map[string]json.RawMessage) {
		keys["metadata"] = must(json.Marshal(map[string]int{"total_size": size}))
		keys["weight_map"] = must(json.Marshal(where))
	})
}

// edit changes a JSON object in a file. Keys are sorted, as transformers does.
func edit(path string, change func(map[string]json.RawMessage)) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(keys)
	return os.WriteFile(path, append(pythonJSON(keys), '\n'), 0o644)
}

func same(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// copyBeside copies the files of a model directory that hold no weights.
func copyBeside(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case e.IsDir(), strings.HasPrefix(e.Name(), "."):
		case ext == ".safetensors", ext == ".bin", ext == ".pt", ext == ".pth", ext == ".gguf", ext == ".h5", ext == ".msgpack":
		default:
			if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
