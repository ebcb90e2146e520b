package chat

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu/token"
)

// BenchmarkExample is what a conversation of about a kilobyte costs with
// Qwen3's real tokenizer and template, from messages to tokens and masks.
func BenchmarkExample(b *testing.B) {
	dir := b.TempDir()
	from := "../token/testdata/qwen3"
	f, err := os.Open(filepath.Join(from, "tokenizer.json.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	vocab, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(from, "tokenizer_config.json"))
	if err != nil {
		b.Fatal(err)
	}
	for name, content := range map[string][]byte{"tokenizer.json": vocab, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	tok, err := token.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	t, err := Open(tok)
	if err != nil {
		b.Fatal(err)
	}
	words := strings.Repeat("What is the tallest mountain of Spain, and who climbed it first? ", 6)
	c := talk(b, `[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "`+words+`"}, {"role": "assistant", "content": "`+words+`"}]`)
	e, err := t.Example(c, AllTurns, stop(b, tok, "<|im_end|>"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(e.Text)))
	for b.Loop() {
		if _, err := t.Example(c, AllTurns, stop(b, tok, "<|im_end|>")); err != nil {
			b.Fatal(err)
		}
	}
}
