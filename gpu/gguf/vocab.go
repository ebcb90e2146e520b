package gguf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
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

// SetTokenizer adds a tokenizer to m, for a table of vocab rows: tokenizer.json
// and, if they are there, tokenizer_config.json and a chat template.
func SetTokenizer(m *Meta, tokenizer, config []byte, template string, vocab int) error {
	var t hf
	if err := json.Unmarshal(tokenizer, &t); err != nil {
		return fmt.Errorf("gguf: tokenizer.json: %w", err)
	}
	var c hfConfig
	if len(config) > 0 {
		if err := json.Unmarshal(config, &c); err != nil {
			return fmt.Errorf("gguf: tokenizer_config.json: %w", err)
		}
	}
	if t.Model.Type != "BPE" {
		return fmt.Errorf("gguf: a tokenizer of type %q: only BPE is written", t.Model.Type)
	}
	tokens, kinds, err := t.list(vocab)
	if err != nil {
		return err
	}
	pre, err := t.pre()
	if err != nil {
		return err
	}
	if pre == "" {
		m.Set("tokenizer.ggml.model", "llama")
	} else {
		m.Set("tokenizer.ggml.model", "gpt2")
		m.Set("tokenizer.ggml.pre", pre)
	}
	m.Set("tokenizer.ggml.tokens", tokens)
	if pre == "" {
		m.Set("tokenizer.ggml.scores", t.scores(tokens))
	}
	m.Set("tokenizer.ggml.token_type", kinds)
	if pre != "" {
		merges := make([]string, len(t.Model.Merges))
		for i, x := range t.Model.Merges {
			merges[i] = x[0] + " " + x[1]
		}
		m.Set("tokenizer.ggml.merges", merges)
	}
	for _, x := range []struct {
		key  string
		text special
	}{{"bos", c.BOS}, {"eos", c.EOS}, {"padding", c.PAD}} {
		if id := slices.Index(tokens, string(x.text)); x.text != "" && id >= 0 {
			m.Set("tokenizer.ggml."+x.key+"_token_id", uint32(id))
		}
	}
	m.Set("tokenizer.ggml.add_bos_token", t.begins(c))
	if t.Model.ByteFallback {
		m.Set("tokenizer.ggml.add_space_prefix", true)
	}
	if s, ok := c.Template.(string); ok && template == "" {
		template = s
	}
	if template != "" {
		m.Set("tokenizer.chat_template", template)
	}
	return nil
}

// list returns the tokens by their ids, and their kinds.
func (t *hf) list(vocab int) ([]string, []int32, error) {
	tokens, kinds := make([]string, vocab), make([]int32, vocab)
	set := func(id int, text string, kind int32) error {
		if id < 0 || id >= vocab {
			return fmt.Errorf("gguf: token %q has id %d, and the embedding table %d rows", text, id, vocab)
		}
		tokens[id], kinds[id] = text, kind
		return nil
	}
	for text, id := range t.Model.Vocab {
		kind := int32(tokenNormal)
		if t.Model.ByteFallback && len(text) == 6 && strings.HasPrefix(text, "<0x") {
			kind = tokenByte
		}
		if t.Model.Unknown != nil && text == *t.Model.Unknown {
			kind = tokenUnknown
		}
		if err := set(id, text, kind); err != nil {
			return nil, nil, err
		}
	}
	for _, a := range t.AddedTokens {
		kind := int32(tokenUser)
		if a.Special {
			kind = tokenControl
		}
		if a.ID >= 0 && a.ID < vocab && kinds[a.ID] == tokenUnknown {
			kind = tokenUnknown
		}
		if err := set(a.ID, a.Content, kind); err != nil {
			return nil, nil, err
		}
	}
	for id := range tokens {
		if kinds[id] == 0 {
			tokens[id], kinds[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
		}
	}
	return tokens, kinds, nil
}

// pre returns llama.cpp's name for the way that the tokenizer cuts text, "" for
// SentencePiece's, which does not.
func (t *hf) pre() (string, error) {
	if t.Model.ByteFallback {
		return "", nil
	}
	is := func(b *bool, other bool) bool {
		if b == nil {
			return other
		}
		return *b
	}
	var parts []split
	if p := t.PreTokenizer; p != nil {
		parts = []split{*p}
		if p.Type == "Sequence" {
			parts = p.Parts
		}
	}
	last := len(parts) - 1
	if last >= 0 && parts[last].Type == "ByteLevel" && !is(parts[last].Prefix, true) {
		cuts := is(parts[last].Regex, true)
		switch {
		case last == 0 && cuts:
			return "gpt-2", nil
		case last == 1 && cuts && parts[0].Type == "Digits" && is(parts[0].Individual, false):
			return "smollm", nil
		case last == 1 && !cuts && parts[0].Type == "Split" && parts[0].Pattern != nil:
			for name, expr := range splits {
				if parts[0].Pattern.Regex == expr {
					return name, nil
				}
			}
		}
	}
	raw, _ := json.Marshal(t.PreTokenizer)
	return "", fmt.Errorf("gguf: llama.cpp has no name for the pre-tokenizer %s: export a folder instead", raw)
}

// scores orders the pieces as the merges do: the earlier, the higher.
func (t *hf) scores(tokens []string) []float32 {
	rank := make(map[string]int, len(t.Model.Merges))
	for i, m := range t.Model.Merges {
		if _, ok := rank[m[0]+m[1]]; !ok {
			rank[m[0]+m[1]] = i + 1
		}
	}
	scores := make([]float32, len(tokens))
	for i, text := range tokens {
		scores[i] = -float32(rank[text])
	}
	return scores
}

// begins reports whether texts begin with the BOS token.
func (t *hf) begins(c hfConfig) bool {
	if c.AddBOS != nil {
		return *c.AddBOS
	}
	raw, _ := json.Marshal(t.PostProcessor)
	var p struct {
		Type       string
		Single     []map[string]struct{ ID string }
		Processors []struct {
			Type   string
			Single []map[string]struct{ ID string }
		}
	}
	if json.Unmarshal(raw, &p) != nil {
		return false
	}
	for _, one := range p.Processors {
		if one.Type == "TemplateProcessing" {
			p.Single = one.Single
		}
	}
	return len(p.Single) > 0 && p.Single[0]["SpecialToken"].ID == string(c.BOS) && c.BOS != ""
}

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
