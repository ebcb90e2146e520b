package token

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// with returns a small byte-level tokenizer.json with some parts put in.
func with(parts string) string {
	return `{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3},"merges":["a b"]},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false}` + parts + `}`
}

func TestLoadRefuses(t *testing.T) {
	model := func(m string) string { return `{"model":` + m + `}` }
	for _, c := range []struct{ file, want string }{
		{`{`, "JSON"},
		{`{}`, "no vocab"},
		{model(`{"type":"Unigram","vocab":[["a",1]]}`), "Unigram"},
		{model(`{"type":"WordPiece","vocab":{"a":0}}`), `"WordPiece"`},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`), `merge 0, "a" and "b"`},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":["ab"]}`), "not two tokens"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}`), "not two tokens"},
		{model(`{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}`), `"a" and "b" share the id 0`},
		{model(`{"type":"BPE","vocab":{"a":-1},"merges":[]}`), "out of range"},
		{model(`{"type":"BPE","vocab":{"a":4194305},"merges":[]}`), "out of range"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}`), "dropout"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"?"}`), "unk_token"},
		{model(`{"type":"BPE","vocab":{"a":0},"merges":[],"end_of_word_suffix":"</w>"}`), "end_of_word_suffix"},
		{with(`,"added_tokens":[{"id":-5,"content":"<x>"}]`), "out of range"},
		{with(`,"normalizer":{"type":"Precompiled"}`), `normalizer "Precompiled"`},
		{with(`,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"BertNormalizer"}]}`), `"BertNormalizer"`},
		{with(`,"normalizer":{"type":"Replace","pattern":{"Regex":"a+"},"content":"b"}`), `"a+"`},
		{with(`,"post_processor":{"type":"RobertaProcessing"}`), `"RobertaProcessing"`},
		{with(`,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]}`), `"<s>" is not among`},
		{with(`,"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}]}`), "single"},
		{with(`,"decoder":{"type":"WordPiece"}`), `decoder "WordPiece"`},
		{strings.Replace(with(""), `"ByteLevel","add_prefix_space":false`, `"Whitespace"`, 1), `pre_tokenizer "Whitespace"`},
		{strings.Replace(with(""), `"ByteLevel","add_prefix_space":false`, `"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated"`, 1), `"\\w+"`},
		{strings.Replace(with(""), `"ByteLevel","add_prefix_space":false`, `"Split","pattern":{"String":" "},"behavior":"Contiguous"`, 1), `"Contiguous"`},
	} {
		if _, err := Load(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v, want %q", c.file, err, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name, s string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("tokenizer.json", with(`,"added_tokens":[{"id":4,"content":"<e>","special":true}],"decoder":{"type":"ByteLevel"}`))
	tk, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tk.EOS(); ok || tk.Vocab() != 5 {
		t.Errorf("an EOS without a config, or %d tokens", tk.Vocab())
	}
	write("tokenizer_config.json", `{"eos_token":{"content":"<e>"},"bos_token":null,"pad_token":"<none>","chat_template":[{"name":"tool","template":"T"},{"name":"default","template":"D"}]}`)
	if tk, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	id, ok := tk.EOS()
	_, bos := tk.BOS()
	_, pad := tk.PAD()
	if id != 4 || !ok || bos || pad || tk.Config().ChatTemplate != "D" {
		t.Errorf("%d %v %v %v %+v", id, ok, bos, pad, tk.Config())
	}
	write("chat_template.jinja", "J")
	if tk, err = Open(dir); err != nil || tk.Config().ChatTemplate != "J" {
		t.Errorf("%v %+v", err, tk.Config())
	}
	if got := tk.EncodePlain("ab<e>"); slices.Contains(got, 4) {
		t.Errorf("a special token from plain text: %v", got)
	}
	if got := tk.Encode("ab<e>"); !slices.Equal(got, []int32{2, 4}) {
		t.Errorf("got %v", got)
	}
	write("tokenizer_config.json", `[]`)
	if _, err = Open(dir); err == nil || !strings.Contains(err.Error(), "tokenizer_config.json") {
		t.Error(err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("opened an empty folder")
	}
}

func TestQwenConfig(t *testing.T) {
	f, err := os.Open("testdata/qwen3/tokenizer_config.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := ReadConfig(f)
	if err != nil || c.EOS != "<|im_end|>" || c.PAD != "<|endoftext|>" || c.BOS != "" || !strings.Contains(c.ChatTemplate, "<|im_start|>") {
		t.Errorf("%v %+v", err, c)
	}
}

// Many goroutines see what one sees.
func TestConcurrentUse(t *testing.T) {
	tk := loadReal(t, "gpt2")
	text := strings.Repeat("The quick brown fox's 12345 jumps\n", 20)
	want := tk.Encode(text)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if got := tk.Encode(text); !slices.Equal(got, want) {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	wg.Wait()
}
