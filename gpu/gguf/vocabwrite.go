package gguf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

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
