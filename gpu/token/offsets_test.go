package token

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Spans go forwards, stay inside the text, and leave nothing of it out.
func checkSpans(t *testing.T, name, text string, spans []Span) {
	t.Helper()
	end := 0 // bytes covered so far
	last := 0
	for _, s := range spans {
		if s.From < last || s.To < s.From || s.To > len(text) || s.From > end {
			t.Errorf("%s: %q: spans %v", name, text, spans)
			return
		}
		last, end = s.From, max(end, s.To)
	}
	if end != len(text) {
		t.Errorf("%s: %q: spans %v end at %d of %d", name, text, spans, end, len(text))
	}
}

func TestOffsets(t *testing.T) {
	oracle(t, func(name string, tk *Tokenizer, cases []oracleCase) {
		for _, c := range cases {
			_, spans := tk.EncodeOffsets(c.text)
			checkSpans(t, name, c.text, spans)
		}
	})
}

// Byte-level tokens are the very bytes of their span.
func TestOffsetsAreBytes(t *testing.T) {
	tk := loadReal(t, "gpt2")
	for _, text := range []string{"Hello, world's 日本語 🙂\n\n x", "a<|endoftext|>b", "\xff\xfe ok"} {
		ids, spans := tk.EncodeOffsets(text)
		for i, id := range ids {
			raw, ok := unspellBytes(tk.TokenText(id))
			if got := text[spans[i].From:spans[i].To]; !ok || got != raw {
				t.Errorf("%q: token %q has the bytes %q", text, raw, got)
			}
		}
	}
}

// A changed character is one span; what follows is where it was.
func TestOffsetsThroughNFC(t *testing.T) {
	tk := loadReal(t, "qwen3")
	text := "cafe\u0301 noir"
	ids, spans := tk.EncodeOffsets(text)
	if !slices.Equal(ids, tk.Encode("café noir")) {
		t.Fatalf("ids %v", ids)
	}
	got := text[spans[len(spans)-1].From:spans[len(spans)-1].To]
	if got != " noir" && got != "noir" && !strings.HasSuffix(" noir", got) {
		t.Errorf("the last token is %q", got)
	}
	if !slices.ContainsFunc(spans, func(s Span) bool { return strings.HasSuffix(text[s.From:s.To], "e\u0301") }) {
		t.Errorf("no token ends with the é: %v", spans)
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{"", "Hello world", " \u00a0\r\n x", "日本語", "a\u0301\u0301", "\xff<|endoftext|>", strings.Repeat("ab", 60)} {
		f.Add(s)
	}
	gpt2, stories := loadReal(f, "gpt2"), loadReal(f, "stories260k")
	f.Fuzz(func(t *testing.T, s string) {
		ids, spans := gpt2.EncodeOffsets(s)
		if got := gpt2.Decode(ids); got != validUTF8(s) {
			t.Errorf("gpt2: %q became %q", s, got)
		}
		if !slices.Equal(ids, gpt2.Encode(s)) {
			t.Errorf("gpt2: %q has other ids with offsets", s)
		}
		checkSpans(t, "gpt2", s, spans)
		if !utf8.ValidString(s) || strings.ContainsAny(s, "<▁\x00") || s == "" {
			return // bytes that byte fallback, or the space mark, cannot give back
		}
		if got := stories.Decode(stories.Encode(s)); got != s {
			t.Errorf("stories260k: %q became %q", s, got)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add(with(""))
	f.Add(with(`,"added_tokens":[{"id":4,"content":"<e>","normalized":true}],"normalizer":{"type":"Prepend","prepend":"x"}`))
	f.Add(`{"model":{"vocab":{"▁":0,"a":1},"merges":[],"byte_fallback":true},"pre_tokenizer":{"type":"Metaspace","replacement":"▁"}}`)
	f.Add(with(`,"added_tokens":[{"id":4,"content":"a b","lstrip":true,"rstrip":true,"single_word":true,"special":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"String":"a"},"content":""}]}`))
	f.Add(with(`,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a"}},{"Sequence":{"id":"A"}}],"special_tokens":{"a":{"ids":[0]}}},"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1}]}`))
	f.Add(`{"model":{"vocab":{"▁":0,"a":1,"▁a":2,"a▁":3,"<unk>":4,"<0x41>":5},"merges":[["▁","a"],["a","▁"]],"unk_token":"<unk>","fuse_unk":true},"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		tk, err := Load(strings.NewReader(s))
		if err != nil {
			return
		}
		text := "a b\xff ab<e>é a▁ A  \u0301"
		ids := tk.EncodeSpecial(text)
		tk.Decode(ids)
		with, spans := tk.EncodeOffsets(text)
		if again := tk.Encode(text); len(spans) != len(with) || !slices.Equal(with, again) {
			t.Errorf("ids %v, and %v with offsets", again, with)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= tk.Vocab() {
				t.Errorf("id %d of %d", id, tk.Vocab())
			}
		}
		for _, at := range spans {
			if at.From < 0 || at.To < at.From || at.To > len(text) {
				t.Errorf("span %v of %d bytes", at, len(text))
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	tk := loadReal(b, "qwen3")
	text := strings.Repeat("func (t *Tokenizer) Encode(text string) []int32 { return nil } // the quick brown fox, 12345 times\n", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tk.Encode(text)
	}
}
