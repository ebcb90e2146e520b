package token

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

func (f *fileModel) build(byteLevel bool) (*bpe, error) {
	switch {
	case f.Type != "BPE" && f.Type != "":
		return nil, fmt.Errorf("model %q is not supported, only BPE is", f.Type)
	case len(f.Vocab) == 0:
		return nil, errors.New("model: no vocab")
	case f.Dropout != 0:
		return nil, errors.New("model: dropout would make the ids random: set it to null")
	case f.Prefix != "" || f.Suffix != "":
		return nil, errors.New("model: continuing_subword_prefix and end_of_word_suffix are not supported")
	}
	m := &bpe{
		vocab: f.Vocab, byteLevel: byteLevel, byteFallback: f.ByteFallback, ignoreMerges: f.IgnoreMerges,
		unk: -1, fuseUnk: f.FuseUnk,
	}
	if f.Unk != "" {
		id, ok := f.Vocab[f.Unk]
		if !ok {
			return nil, fmt.Errorf("model: unk_token %q is not in the vocabulary", f.Unk)
		}
		m.unk = id
	}
	m.symbols = m.vocab
	if byteLevel {
		m.symbols = make(map[string]int32, len(m.vocab))
		for s, id := range m.vocab {
			if raw, ok := unspellBytes(s); ok { // the others cannot come from text
				m.symbols[raw] = id
			}
		}
	}
	if !byteLevel {
		m.runes = newRuneTable(m.symbols)
	}
	m.nameBytes()
	return m, m.addMerges(f.Merges)
}

func (m *bpe) nameBytes() {
	for b := range 256 {
		key := string([]byte{byte(b)})
		if !m.byteLevel {
			key = fmt.Sprintf("<0x%02X>", b)
		}
		id, ok := m.symbols[key]
		if !ok {
			id = -1
		}
		m.bytes[b] = id
	}
}

// mark is what Llama and its kin write for a space.
const mark = "▁"

// wordCut cuts a text before marks where no token can reach across: words can
// be cached, whole texts cannot. A merge over a cut would make a token that
// holds the mark behind the character before it, so every token is looked at
// once: Llama 2 has none, Gemma and Mistral have a few.
func (m *bpe) wordCut() splitter {
	whole := func(s string) int { return len(s) }
	if _, ok := m.symbols[mark]; !ok || m.ignoreMerges {
		return whole
	}
	crossed := map[rune]bool{} // characters that a token holds before a mark
	for s := range m.symbols {
		for i := 1; i < len(s); i++ {
			if !strings.HasPrefix(s[i:], mark) {
				continue
			}
			before, _ := utf8.DecodeLastRuneInString(s[:i])
			crossed[before] = true
			if strings.HasSuffix(s[:i], ">") && strings.Contains(s[:i], "<0x") {
				return whole // it may stand for a byte
			}
		}
	}
	crossed['▁'] = true // a run of marks stays together
	return func(s string) int {
		for i := 1; ; {
			n := strings.Index(s[min(i, len(s)):], mark)
			if n < 0 {
				return len(s)
			}
			i += n
			if before, _ := utf8.DecodeLastRuneInString(s[:i]); !crossed[before] {
				return i
			}
			i += len(mark)
		}
	}
}
