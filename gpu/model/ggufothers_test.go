package model

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// TestGGUFForOthers writes GGUF files, and what greedy decoding makes of them,
// to the folder $STARBOOK_GGUF, for llama.cpp to be judged by: .ci/full gguf.
func TestGGUFForOthers(t *testing.T) {
	out := os.Getenv("STARBOOK_GGUF")
	if out == "" {
		t.Skip("STARBOOK_GGUF names no folder")
	}
	type continuation struct {
		Model  string  `json:"model,omitempty"`
		Prompt []int32 `json:"prompt"`
		Tokens []int32 `json:"tokens"`
		Text   string  `json:"text,omitempty"`
		BOS    bool    `json:"bos"`
	}
	write := func(name, dir string, typ gpu.Type, cases []continuation) {
		if _, err := ExportGGUF(t.Context(), dir, filepath.Join(out, name+".gguf"), name, typ); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(cases)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, name+".json"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"llama", "qwen3"} {
		var all, base []continuation
		readJSON(t, &all, name, "generation.json")
		for _, c := range all[:3] {
			base = append(base, continuation{Prompt: c.Prompt, Tokens: c.Tokens})
		}
		write(name, withTokenizer(t, name, vocabOf(t, name)), gpu.F32, base)
	}
	// llama3's frequencies, and biases without a window, which GGUF has no words for: as we decode them.
	for _, name := range []string{"llama-tied", "qwen2"} {
		dir := withTokenizer(t, name, vocabOf(t, name))
		if err := edit(filepath.Join(dir, "config.json"), func(keys map[string]json.RawMessage) {
			keys["use_sliding_window"] = json.RawMessage("false")
			delete(keys, "layer_types")
		}); err != nil {
			t.Fatal(err)
		}
		m, err := Open(ref.New(), dir)
		if err != nil {
			t.Fatal(err)
		}
		prompt := []int32{5, 9, 100, 31, 77}
		c := collect(t, m, nil, [][]int32{prompt}, Decoding{MaxNew: 32, EOS: []int32{}})[0]
		write(name, dir, gpu.F32, []continuation{{Prompt: prompt, Tokens: c.Tokens}})
		m.Close()
	}
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		if err := copyFile(golden("stories260k", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	unzip(t, filepath.Join("..", "token", "testdata", "stories260k", "tokenizer.json.gz"), filepath.Join(dir, "tokenizer.json"))
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"bos_token":"<s>","eos_token":"</s>","add_bos_token":true}`), 0o644); err != nil {
		t.Fatal(err)
	}
	var g struct {
		Prompt string
		IDs    []int32 `json:"prompt_ids"`
		Greedy []int32 `json:"greedy_ids"`
	}
	readJSON(t, &g, "stories260k", "golden.json")
	story := []continuation{{Prompt: g.IDs, Tokens: g.Greedy[len(g.IDs):], Text: g.Prompt, BOS: true}}
	write("stories-f32", dir, gpu.F32, story)
	story[0].Tokens = story[0].Tokens[:20] // Q8_0 loses a little
	write("stories-q8_0", dir, gpu.Q8_0, story)
}

func vocabOf(t *testing.T, name string) int {
	t.Helper()
	cfg, err := ReadConfig(golden(name, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Vocab
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
