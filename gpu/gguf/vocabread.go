package gguf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tokenizer returns the tokenizer of a file as tokenizer.json and
// tokenizer_config.json, the latter with the chat template.
func Tokenizer(m *Meta) (tokenizer, config []byte, err error) {
	tokens, kinds := m.Strings("tokenizer.ggml.tokens"), m.Ints("tokenizer.ggml.token_type")
	if len(tokens) == 0 || kinds != nil && len(kinds) != len(tokens) {
		return nil, nil, fmt.Errorf("gguf: %d tokens of %d kinds: the file has no whole tokenizer", len(tokens), len(kinds))
	}
	t := hf{Version: "1.0", AddedTokens: []added{}, Model: bpe{Type: "BPE", Vocab: map[string]int{}, Merges: []merge{}}}
	for id, text := range tokens {
		kind := int32(tokenNormal)
		if kinds != nil {
			kind = kinds[id]
		}
		switch kind {
		case tokenUnused:
			continue
		case tokenNormal, tokenByte, tokenUnknown:
			t.Model.Vocab[text] = id
		}
		if kind == tokenControl || kind == tokenUser || kind == tokenUnknown {
			t.AddedTokens = append(t.AddedTokens, added{ID: id, Content: text, Special: kind != tokenUser, Normalized: false})
		}
		if kind == tokenUnknown {
			t.Model.Unknown = &text
		}
	}
	token := func(key string) special {
		id, err := m.Int("tokenizer.ggml."+key+"_token_id", -1)
		if err != nil || id < 0 || id >= len(tokens) {
			return ""
		}
		return special(tokens[id])
	}
	c := hfConfig{BOS: token("bos"), EOS: token("eos"), PAD: token("padding"), Class: "PreTrainedTokenizerFast"}
	switch kind := m.String("tokenizer.ggml.model"); kind {
	case "gpt2":
		err = t.bytes(m)
	case "llama":
		err = t.pieces(m, tokens)
	default:
		err = fmt.Errorf("gguf: a tokenizer of type %q: gpt2 and llama are read", kind)
	}
	if err != nil {
		return nil, nil, err
	}
	if m.Bool("tokenizer.ggml.add_bos_token", m.String("tokenizer.ggml.model") == "llama") && c.BOS != "" {
		t.PostProcessor = begin(string(c.BOS), slices.Index(tokens, string(c.BOS)))
	}
	if s := m.String("tokenizer.chat_template"); s != "" {
		c.Template = s
	}
	return marshal(t), marshal(c), nil
}

// begin is a post-processor that puts a token before each text.
func begin(token string, id int) any {
	type m = map[string]any
	text := func(name string, kind int) m { return m{"Sequence": m{"id": name, "type_id": kind}} }
	first := func(kind int) m { return m{"SpecialToken": m{"id": token, "type_id": kind}} }
	return m{
		"type": "TemplateProcessing", "single": []m{first(0), text("A", 0)}, "pair": []m{first(0), text("A", 0), first(1), text("B", 1)},
		"special_tokens": m{token: m{"id": token, "ids": []int{id}, "tokens": []string{token}}},
	}
}

// bytes is a byte-level BPE.
func (t *hf) bytes(m *Meta) error {
	for _, joined := range m.Strings("tokenizer.ggml.merges") {
		left, right, ok := strings.Cut(joined, " ")
		if !ok {
			return fmt.Errorf("gguf: merge %q is no pair", joined)
		}
		t.Model.Merges = append(t.Model.Merges, merge{left, right})
	}
	no, yes := false, true
	pre := m.String("tokenizer.ggml.pre")
	name := cmp.Or(names[pre], pre)
	level := split{Type: "ByteLevel", Prefix: &no, Trim: &no, Regex: &no}
	switch {
	case splits[name] != "":
		t.PreTokenizer = &split{Type: "Sequence", Parts: []split{{Type: "Split", Pattern: &pattern{splits[name]}, Behavior: "Isolated", Invert: &no}, level}}
		t.Model.IgnoreMerges = name == "llama-bpe"
	case name == "gpt-2":
		level.Regex = &yes
		t.PreTokenizer = &level
	case name == "smollm":
		level.Regex = &yes
		t.PreTokenizer = &split{Type: "Sequence", Parts: []split{{Type: "Digits", Individual: &yes}, level}}
	default:
		return fmt.Errorf("gguf: pre-tokenizer %q: llama-bpe, qwen2, gpt-2 and smollm are read", pre)
	}
	if name == "qwen2" {
		t.Normalizer = map[string]string{"type": "NFC"}
	}
	t.Decoder = split{Type: "ByteLevel", Prefix: &no, Trim: &no, Regex: &no}
	return nil
}

// pieces is SentencePiece's BPE. Its merges are all ways to put a token
// together from two others, by falling score.
func (t *hf) pieces(m *Meta, tokens []string) error {
	scores := m.Floats("tokenizer.ggml.scores")
	if len(scores) != len(tokens) {
		return fmt.Errorf("gguf: %d scores for %d tokens", len(scores), len(tokens))
	}
	type candidate struct {
		merge
		score       float32
		left, right int
	}
	var all []candidate
	for text, id := range t.Model.Vocab {
		for i := 1; i < len(text); i++ {
			l, ok := t.Model.Vocab[text[:i]]
			r, ok2 := t.Model.Vocab[text[i:]]
			if ok && ok2 {
				all = append(all, candidate{merge{text[:i], text[i:]}, scores[id], l, r})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right))
	})
	for _, c := range all {
		t.Model.Merges = append(t.Model.Merges, c.merge)
	}
	t.Model.ByteFallback, t.Model.FuseUnknown = true, true
	type o = map[string]any
	replace := func(from, to string) o { return o{"type": "Replace", "pattern": o{"String": from}, "content": to} }
	steps := []o{replace(" ", "▁")}
	if m.Bool("tokenizer.ggml.add_space_prefix", true) {
		steps = append([]o{{"type": "Prepend", "prepend": "▁"}}, steps...)
	}
	t.Normalizer = o{"type": "Sequence", "normalizers": steps}
	t.Decoder = o{"type": "Sequence", "decoders": []o{
		replace("▁", " "),
		{"type": "ByteFallback"},
		{"type": "Fuse"},
		{"type": "Strip", "content": " ", "start": 1, "stop": 0},
	}}
	return nil
}

// marshal writes v without escaping the signs that HTML minds.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, integers, and maps of them always marshal
	}
	return b.Bytes()
}
