package token

import (
	"errors"
	"fmt"
	"strings"
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

// wordCut cuts a text without pre-tokens before marks, where no token can
// reach across: words can be cached, whole texts cannot. It is found by
// looking at every token; Gemma has one that crosses.
func (m *bpe) wordCut() splitter {
	whole := func(s string) int { return len(s) }
	if _, ok := m.symbols[mark]; !ok || m.ignoreMerges {
		return whole
	}
	for s := range m.symbols {
		if cutBeforeMark(s) < len(s) {
			return whole
		}
	}
	return cutBeforeMark
}

// cutBeforeMark returns where the first mark after something else begins.
func cutBeforeMark(s string) int {
	marks := len(s) - len(strings.TrimLeft(s, mark))
	if i := strings.Index(s[marks:], mark); i >= 0 {
		return marks + i
	}
	return len(s)
}
