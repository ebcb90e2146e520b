package gguf

import (
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"starbook/gpu/token"
)

// texts are what a tokenizer may stumble over.
var texts = []string{
	"", "Once upon a time", " two  spaces", "1234567 and 12,5", "I'll SAY it's\n\n\tdone  ", "naïve café 世界 👩‍👩‍👧", "<|im_start|>user\nhi<|im_end|>",
	"x = [i*2 for i in range(10)]\r\n", "e\u0301 combining", "\x00\x01", "ﬁ ligature ½",
}

// TestTokenizersSurvive: a tokenizer put into a GGUF file and taken out again
// makes the same ids of the same texts.
func TestTokenizersSurvive(t *testing.T) {
	for _, name := range []string{"gpt2", "qwen3", "stories260k"} {
		source := filepath.Join("..", "token", "testdata", name)
		raw := unzip(t, filepath.Join(source, "tokenizer.json.gz"))
		config, err := os.ReadFile(filepath.Join(source, "tokenizer_config.json"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		switch name {
		case "gpt2":
			config = []byte(`{"bos_token":"<|endoftext|>","eos_token":"<|endoftext|>","chat_template":"{{ messages }}"}`)
		case "stories260k":
			config = []byte(`{"bos_token":"<s>","eos_token":{"content":"</s>"},"chat_template":"{{ messages }}"}`)
		}
		was := openTokenizer(t, raw, config)
		var m Meta
		if err := SetTokenizer(&m, raw, config, "", was.Vocab()+3); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if n := len(m.Strings("tokenizer.ggml.tokens")); n != was.Vocab()+3 {
			t.Errorf("%s: %d tokens for %d rows", name, n, was.Vocab()+3)
		}
		back, backConfig, err := Tokenizer(&m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		now := openTokenizer(t, back, backConfig)
		for _, text := range texts {
			if a, b := was.Encode(text), now.Encode(text); !slices.Equal(a, b) {
				t.Errorf("%s: %q is %v, and after a GGUF file %v", name, text, a, b)
			}
			if a, b := was.EncodeSpecial(text), now.EncodeSpecial(text); !slices.Equal(a, b) {
				t.Errorf("%s: %q with special tokens is %v, and after a GGUF file %v", name, text, a, b)
			}
			if ids := was.EncodePlain(text); was.Decode(ids) != now.Decode(ids) {
				t.Errorf("%s: %v is %q, and after a GGUF file %q", name, ids, was.Decode(ids), now.Decode(ids))
			}
		}
		if a, b := was.Config(), now.Config(); a.ChatTemplate != b.ChatTemplate || a.EOS != b.EOS || b.EOS == "" || b.ChatTemplate == "" {
			t.Errorf("%s: chat template or EOS got lost: %+v, %+v", name, a, b)
		}
	}
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
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
	return raw
}

func openTokenizer(t *testing.T, tokenizer, config []byte) *token.Tokenizer {
	t.Helper()
	dir := t.TempDir()
	for name, b := range map[string][]byte{"tokenizer.json": tokenizer, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := token.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// What a GGUF file has no words for is refused.
func TestTokenizersRefused(t *testing.T) {
	for want, raw := range map[string]string{
		`type "Unigram"`:      `{"model":{"type":"Unigram"}}`,
		"has no name for":     `{"model":{"type":"BPE"},"pre_tokenizer":{"type":"Whitespace"}}`,
		"has id 9, and":       `{"model":{"type":"BPE","vocab":{"a":9}},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}}`,
		"is no pair":          `{"model":{"type":"BPE","vocab":{},"merges":["ab"]}}`,
		"tokenizer.json: inv": `x`,
	} {
		if err := SetTokenizer(new(Meta), []byte(raw), nil, "", 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	var m Meta
	m.Set("tokenizer.ggml.tokens", []string{"a"})
	m.Set("tokenizer.ggml.model", "gpt2")
	m.Set("tokenizer.ggml.pre", "tekken")
	if _, _, err := Tokenizer(&m); err == nil || !strings.Contains(err.Error(), `"tekken"`) {
		t.Errorf("error %v", err)
	}
}

// FuzzTokenizer: whatever a tokenizer.json says, it is refused, or it goes into
// a GGUF file and comes out again with the same tokens.
func FuzzTokenizer(f *testing.F) {
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"added_tokens":[{"id":3,"content":"<e>","special":true}]}`), 5)
	f.Add([]byte(`{"model":{"type":"BPE","byte_fallback":true,"unk_token":"<unk>","vocab":{"<unk>":0,"<0x0A>":1,"▁":2,"a":3,"▁a":4},"merges":[["▁","a"]]}}`), 5)
	f.Fuzz(func(t *testing.T, raw []byte, vocab int) {
		if vocab < 0 || vocab > 1000 {
			return
		}
		var m Meta
		if err := SetTokenizer(&m, raw, nil, "", vocab); err != nil {
			return
		}
		back, config, err := Tokenizer(&m)
		if err != nil {
			return // the tokens are none
		}
		var again Meta
		if err := SetTokenizer(&again, back, config, "", vocab); err != nil {
			t.Fatalf("%s: %v", back, err)
		}
		if !slices.Equal(m.Strings("tokenizer.ggml.tokens"), again.Strings("tokenizer.ggml.tokens")) {
			t.Errorf("%q, and again %q", m.Strings("tokenizer.ggml.tokens"), again.Strings("tokenizer.ggml.tokens"))
		}
	})
}
