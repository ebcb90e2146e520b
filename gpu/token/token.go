// Package token turns text into the ids that a language model reads, and back,
// from a Hugging Face tokenizer.json. It reads byte-pair encodings only:
// byte-level ones (GPT-2, Llama 3, Qwen, o200k) and those with byte fallback
// (Llama 2, Mistral, Gemma). A file with a part that it does not know is
// refused by the part's name; nothing is skipped in silence.
//
// Text need not be valid UTF-8: byte-level models take any bytes.
package token

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

// A Tokenizer is safe for concurrent use.
type Tokenizer struct {
	model     *bpe
	added     map[string]*added
	raw       matcher // added tokens looked for in the text as it is
	cooked    matcher // added tokens looked for in normalized text
	normalize []func(*encoder, piece) piece
	split     step // pre-tokenizers, ending in (*encoder).word
	decode    []decoder
	before    []int32 // what EncodeSpecial puts around a text
	after     []int32
	text      []string         // of each id, as the file writes it; "" where there is none
	special   []bool           // of each id
	spoken    map[int32]string // what the decoder gets instead of text: normalized added tokens
	config    Config
	mu        sync.Mutex // of encoders
	encoders  []*encoder // at rest, each with a cache of its own
}

// A Span is a range of bytes of the text, From up to To.
type Span struct{ From, To int }

// Load reads a tokenizer.json.
func Load(r io.Reader) (*Tokenizer, error) { return load(r, Config{}) }

func load(r io.Reader, c Config) (*Tokenizer, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("token: read: %w", err)
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", cmp.Or(otherModel(raw), err))
	}
	t, err := f.build()
	if err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", err)
	}
	t.config = c
	return t, nil
}

// otherModel names the kind of model, if that is why a file could not be read:
// other kinds write their vocabulary in other ways.
func otherModel(raw []byte) error {
	var f struct{ Model struct{ Type string } }
	if json.Unmarshal(raw, &f) != nil || f.Model.Type == "" || f.Model.Type == "BPE" {
		return nil
	}
	return fmt.Errorf("model %q is not supported, only BPE is", f.Model.Type)
}

// Encode returns the ids of a text. Added tokens written out in it ("<|im_end|>")
// become their ids, so never pass text of strangers where that matters: see
// EncodePlain. Nothing is put before or after.
func (t *Tokenizer) Encode(text string) []int32 {
	ids, _ := t.encode(text, nil, false)
	return ids
}

// EncodePlain is Encode with special tokens taken as ordinary text.
func (t *Tokenizer) EncodePlain(text string) []int32 {
	ids, _ := t.encode(text, []Span{{0, math.MaxInt}}, false)
	return ids
}

// EncodeSpecial is Encode with what the model's template puts around a text,
// such as <s> before it.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	ids := append([]int32{}, t.before...)
	ids = append(ids, t.Encode(text)...)
	return append(ids, t.after...)
}

// EncodeOffsets is Encode with the bytes of text that each token stands for,
// in order. A leading space belongs to its token; a token made from nothing, or
// from part of a character that normalization changed, has the span of that
// character. A prefix put before the text is empty. In the spans called plain,
// which are in order, special tokens are ordinary text.
func (t *Tokenizer) EncodeOffsets(text string, plain ...Span) ([]int32, []Span) {
	return t.encode(text, plain, true)
}

// Vocab returns the number of ids: one more than the largest.
func (t *Tokenizer) Vocab() int { return len(t.text) }

// ID returns the id of a token spelled as in the file: "Ġthe", "<|im_end|>".
func (t *Tokenizer) ID(token string) (int32, bool) {
	if a, ok := t.added[token]; ok {
		return a.id, true
	}
	id, ok := t.model.vocab[token]
	return id, ok
}

// TokenText returns a token as the file spells it, "" for an unknown id.
func (t *Tokenizer) TokenText(id int32) string {
	if id < 0 || int(id) >= len(t.text) {
		return ""
	}
	return t.text[id]
}

// Special tells whether an id is a special token, one that is no text.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// SpecialTokens returns the special tokens as text has them, sorted.
func (t *Tokenizer) SpecialTokens() []string {
	var out []string
	for s, a := range t.added {
		if a.special {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// EOS returns the token that ends a text, if tokenizer_config.json names one.
func (t *Tokenizer) EOS() (int32, bool) { return t.named(t.config.EOS) }

// BOS returns the token that begins a text, if tokenizer_config.json names one.
func (t *Tokenizer) BOS() (int32, bool) { return t.named(t.config.BOS) }

// PAD returns the token that fills a batch, if tokenizer_config.json names
// one. It is often the same as EOS: mask padding by length, not by id.
func (t *Tokenizer) PAD() (int32, bool) { return t.named(t.config.PAD) }

// Config returns what tokenizer_config.json said; zero after Load.
func (t *Tokenizer) Config() Config { return t.config }

func (t *Tokenizer) named(token string) (int32, bool) {
	if token == "" {
		return 0, false
	}
	return t.ID(token)
}

// An added token is found in the text before anything else is done to it.
type added struct {
	id      int32
	content string
	special bool
	// Whole words only; the white space before, after it belongs to it.
	singleWord, lstrip, rstrip bool
}
