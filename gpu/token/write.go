package token

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// json writes the tokenizer.json of a finished training.
func (t *training) json(specials []string) ([]byte, error) {
	type byteLevel struct {
		Type           string `json:"type"`
		AddPrefixSpace bool   `json:"add_prefix_space"`
		TrimOffsets    bool   `json:"trim_offsets"`
		UseRegex       bool   `json:"use_regex"`
	}
	bl := byteLevel{"ByteLevel", false, true, true}
	tokens := []fileToken{}
	for i, s := range specials {
		tokens = append(tokens, fileToken{ID: int32(i), Content: s, Special: true})
	}
	type model struct {
		Type         string       `json:"type"`
		Dropout      *float64     `json:"dropout"`
		Unk          *string      `json:"unk_token"`
		Prefix       *string      `json:"continuing_subword_prefix"`
		Suffix       *string      `json:"end_of_word_suffix"`
		FuseUnk      bool         `json:"fuse_unk"`
		ByteFallback bool         `json:"byte_fallback"`
		IgnoreMerges bool         `json:"ignore_merges"`
		Vocab        orderedVocab `json:"vocab"`
		Merges       []string     `json:"merges"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Version       string      `json:"version"`
		Truncation    *struct{}   `json:"truncation"`
		Padding       *struct{}   `json:"padding"`
		AddedTokens   []fileToken `json:"added_tokens"`
		Normalizer    *struct{}   `json:"normalizer"`
		PreTokenizer  byteLevel   `json:"pre_tokenizer"`
		PostProcessor *struct{}   `json:"post_processor"`
		Decoder       byteLevel   `json:"decoder"`
		Model         model       `json:"model"`
	}{
		Version: "1.0", AddedTokens: tokens, PreTokenizer: bl, Decoder: bl,
		Model: model{Type: "BPE", Vocab: t.tokens, Merges: t.mergeLines()},
	})
	if err != nil {
		return nil, fmt.Errorf("token: train: %w", err)
	}
	return b.Bytes(), nil
}

// An orderedVocab is an object from token to id, in the order of the ids.
type orderedVocab []string

// MarshalJSON writes the object.
func (v orderedVocab) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for id, s := range v {
		if id > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(s); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, ":%d", id)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
