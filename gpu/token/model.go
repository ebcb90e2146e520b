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

// wordCut cuts a text where no token can reach across: words can be cached,
// whole texts cannot. A merge over a cut would make a token that holds the two
// characters around it side by side, so every token is looked at once. Cuts are
// looked for between ASCII characters and before marks: before those, Llama 2
// has no crossing token, Gemma and Mistral have a few.
func (m *bpe) wordCut() splitter {
	var joined [128][128]bool // ASCII pairs that stay together
	for a := range joined {
		for b := range joined[a] {
			// Unknown characters may become one token.
			joined[a][b] = m.runes.low[a] < 0 || m.runes.low[b] < 0
		}
	}
	crossed := map[rune]bool{'▁': true} // characters that a token holds before a mark; a run of marks stays together
	for s := range m.symbols {
		if byteInside(s) {
			return func(s string) int { return len(s) }
		}
		for i := 1; i < len(s); i++ {
			if s[i-1] < 0x80 && s[i] < 0x80 {
				joined[s[i-1]][s[i]] = true
			} else if strings.HasPrefix(s[i:], mark) {
				before, _ := utf8.DecodeLastRuneInString(s[:i])
				crossed[before] = true
			}
		}
	}
	if _, ok := m.symbols[mark]; !ok || m.ignoreMerges {
		return func(s string) int { return len(s) }
	}
	return func(s string) int {
		for i := 1; i < len(s); i++ {
			if s[i] < 0x80 {
				if s[i-1] < 0x80 && !joined[s[i-1]][s[i]] {
					return i
				}
			} else if s[i] == mark[0] && strings.HasPrefix(s[i:], mark) {
				if before, _ := utf8.DecodeLastRuneInString(s[:i]); !crossed[before] {
					return i
				}
			}
		}
		return len(s)
	}
}

// byteInside tells whether a token holds the name of a byte, such as <0x0A>,
// and more: it could be made of that byte's token.
func byteInside(s string) bool {
	i := strings.Index(s, "<0x")
	return i >= 0 && len(s) > 6 && i+6 <= len(s) && s[i+5] == '>'
}
