package gguf

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The kinds of tokens.
const (
	tokenNormal = iota + 1
	tokenUnknown
	tokenControl
	tokenUser
	tokenUnused
	tokenByte
)

// splits are the patterns by which byte-level tokenizers cut text, under
// llama.cpp's names for them. gpt-2 and smollm cut as GPT-2 does, the latter
// after every digit.
var splits = map[string]string{
	"llama-bpe": `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
	"qwen2":     `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
}

// names are other names that llama.cpp has for the same cut.
var names = map[string]string{
	"llama3": "llama-bpe", "llama-v3": "llama-bpe", "deepseek-r1-qwen": "qwen2", "default": "gpt-2", "gpt2": "gpt-2", "smollm2": "smollm",
}

// hf is the part of a tokenizer.json that a GGUF file keeps.
type hf struct {
	Version       string  `json:"version"`
	AddedTokens   []added `json:"added_tokens"`
	Normalizer    any     `json:"normalizer"`
	PreTokenizer  *split  `json:"pre_tokenizer"`
	PostProcessor any     `json:"post_processor"`
	Decoder       any     `json:"decoder"`
	Model         bpe     `json:"model"`
}

type added struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type split struct {
	Type       string          `json:"type"`
	Parts      []split         `json:"pretokenizers,omitempty"`
	Pattern    *pattern        `json:"pattern,omitempty"`
	Behavior   string          `json:"behavior,omitempty"`
	Invert     *bool           `json:"invert,omitempty"`
	Prefix     *bool           `json:"add_prefix_space,omitempty"`
	Trim       *bool           `json:"trim_offsets,omitempty"`
	Regex      *bool           `json:"use_regex,omitempty"`
	Individual *bool           `json:"individual_digits,omitempty"`
	Scheme     json.RawMessage `json:"prepend_scheme,omitempty"`
}

type pattern struct {
	Regex string `json:"Regex,omitempty"`
}

type bpe struct {
	Type         string         `json:"type"`
	Unknown      *string        `json:"unk_token"`
	FuseUnknown  bool           `json:"fuse_unk"`
	ByteFallback bool           `json:"byte_fallback"`
	IgnoreMerges bool           `json:"ignore_merges"`
	Vocab        map[string]int `json:"vocab"`
	Merges       []merge        `json:"merges"`
}

// merge is two pieces that become one: "a b", or ["a", "b"].
type merge [2]string

// UnmarshalJSON reads both spellings.
func (m *merge) UnmarshalJSON(b []byte) error {
	var joined string
	if json.Unmarshal(b, &joined) != nil {
		return json.Unmarshal(b, (*[2]string)(m))
	}
	left, right, ok := strings.Cut(joined, " ")
	if !ok {
		return fmt.Errorf("merge %q is no pair", joined)
	}
	*m = merge{left, right}
	return nil
}

// hfConfig is the part of a tokenizer_config.json that a GGUF file keeps.
type hfConfig struct {
	BOS      special `json:"bos_token"`
	EOS      special `json:"eos_token"`
	PAD      special `json:"pad_token,omitempty"`
	AddBOS   *bool   `json:"add_bos_token,omitempty"`
	AddEOS   *bool   `json:"add_eos_token,omitempty"`
	Template any     `json:"chat_template,omitempty"`
	Class    string  `json:"tokenizer_class"`
}

// special is a token that is spelled out, or an object with its content.
type special string

// UnmarshalJSON reads both spellings.
func (s *special) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*string)(s)) == nil {
		return nil
	}
	var object struct{ Content string }
	err := json.Unmarshal(b, &object)
	*s = special(object.Content)
	return err
}
