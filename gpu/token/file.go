package token

import (
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// A file is a tokenizer.json. Truncation and padding are not read: how long a
// text may be is the caller's business.
type file struct {
	AddedTokens   []fileToken `json:"added_tokens"`
	Normalizer    *component  `json:"normalizer"`
	PreTokenizer  *component  `json:"pre_tokenizer"`
	PostProcessor *component  `json:"post_processor"`
	Decoder       *component  `json:"decoder"`
	Model         fileModel   `json:"model"`
}

type fileToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type fileModel struct {
	Type         string           `json:"type"`
	Dropout      float64          `json:"dropout"`
	Unk          string           `json:"unk_token"`
	Prefix       string           `json:"continuing_subword_prefix"`
	Suffix       string           `json:"end_of_word_suffix"`
	FuseUnk      bool             `json:"fuse_unk"`
	ByteFallback bool             `json:"byte_fallback"`
	IgnoreMerges bool             `json:"ignore_merges"`
	Vocab        map[string]int32 `json:"vocab"`
	Merges       mergeList        `json:"merges"`
}

// A component is any normalizer, pre-tokenizer, post-processor or decoder; the
// fields of all of them.
type component struct {
	Type             string                           `json:"type"`
	Normalizers      []component                      `json:"normalizers"`
	PreTokenizers    []component                      `json:"pretokenizers"`
	Processors       []component                      `json:"processors"`
	Decoders         []component                      `json:"decoders"`
	AddPrefixSpace   *bool                            `json:"add_prefix_space"`
	UseRegex         *bool                            `json:"use_regex"`
	Replacement      string                           `json:"replacement"`
	PrependScheme    string                           `json:"prepend_scheme"`
	Split            *bool                            `json:"split"`
	Pattern          pattern                          `json:"pattern"`
	Behavior         string                           `json:"behavior"`
	Invert           bool                             `json:"invert"`
	Content          string                           `json:"content"`
	Prepend          string                           `json:"prepend"`
	IndividualDigits bool                             `json:"individual_digits"`
	Start            int                              `json:"start"`
	Stop             int                              `json:"stop"`
	Single           json.RawMessage                  `json:"single"`
	SpecialTokens    map[string]struct{ IDs []int32 } `json:"special_tokens"`
}

type pattern struct{ String, Regex string }

// mergeList is written as "a b" or, since 2024, as ["a", "b"].
type mergeList [][2]string

func (l *mergeList) UnmarshalJSON(b []byte) error {
	var lines []string
	if json.Unmarshal(b, &lines) == nil {
		for _, s := range lines {
			left, right, ok := strings.Cut(s, " ")
			if strings.HasPrefix(s, "#version") {
				continue
			}
			if !ok || strings.Contains(right, " ") {
				return fmt.Errorf("merge %q is not two tokens", s)
			}
			*l = append(*l, [2]string{left, right})
		}
		return nil
	}
	var pairs [][]string
	if err := json.Unmarshal(b, &pairs); err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	for _, p := range pairs {
		if len(p) != 2 {
			return fmt.Errorf("merge %q is not two tokens", p)
		}
		*l = append(*l, [2]string{p[0], p[1]})
	}
	return nil
}

func (f *file) build() (*Tokenizer, error) {
	t := &Tokenizer{}
	var err error
	if t.model, err = f.Model.build(f.PreTokenizer.byteLevel()); err != nil {
		return nil, err
	}
	if t.normalize, err = normalizers(f.Normalizer); err != nil {
		return nil, err
	}
	last := (*encoder).word
	if !t.model.byteLevel {
		last = splitBy(t.model.wordCut(), last)
	}
	if t.split, err = preTokenizers(f.PreTokenizer, last); err != nil {
		return nil, err
	}
	if t.decode, err = decoders(f.Decoder); err != nil {
		return nil, err
	}
	if err := f.addTokens(t); err != nil {
		return nil, err
	}
	return t, t.template(f.PostProcessor)
}

// maxID bounds the tables by id; no vocabulary comes near it.
const maxID = 1 << 22

// addTokens fills the tables of added tokens and of all ids.
func (f *file) addTokens(t *Tokenizer) error {
	t.added = make(map[string]*added, len(f.AddedTokens))
	t.spoken = map[int32]string{}
	raw, cooked := map[string]*added{}, map[string]*added{}
	for _, a := range f.AddedTokens {
		if a.Content == "" {
			continue
		}
		x := &added{a.ID, a.Content, a.Special, a.SingleWord, a.LStrip, a.RStrip}
		t.added[a.Content] = x
		if !a.Normalized {
			raw[a.Content] = x
			continue
		}
		p := piece{s: a.Content, first: true}
		for _, n := range t.normalize {
			p = n(&encoder{}, p)
		}
		if p.s != "" {
			cooked[p.s] = x
		}
		if p.s != a.Content && !a.Special {
			t.spoken[a.ID] = p.s
		}
	}
	t.raw, t.cooked = newMatcher(raw), newMatcher(cooked)
	for s, id := range t.model.vocab {
		if err := t.name(id, s, false); err != nil {
			return err
		}
	}
	for _, a := range f.AddedTokens { // they go before the model's own
		if err := t.name(a.ID, "", false); err != nil {
			return err
		}
		t.text[a.ID], t.special[a.ID] = a.Content, a.Special
	}
	return nil
}

// name enters a token into the table of ids.
func (t *Tokenizer) name(id int32, s string, special bool) error {
	if id < 0 || id > maxID {
		return fmt.Errorf("token %q: id %d is out of range", s, id)
	}
	if n := int(id) + 1 - len(t.text); n > 0 {
		t.text = append(t.text, make([]string, n)...)
		t.special = append(t.special, make([]bool, n)...)
	}
	if s != "" {
		if other := t.text[id]; other != "" {
			return fmt.Errorf("tokens %q and %q share the id %d", min(s, other), max(s, other), id)
		}
		t.text[id], t.special[id] = s, special
	}
	return nil
}

func normalizers(c *component) ([]func(*encoder, piece) piece, error) {
	if c == nil {
		return nil, nil
	}
	one := func(f func(*encoder, piece) piece) ([]func(*encoder, piece) piece, error) {
		return []func(*encoder, piece) piece{f}, nil
	}
	switch {
	case c.Type == "Sequence":
		var all []func(*encoder, piece) piece
		for i := range c.Normalizers {
			some, err := normalizers(&c.Normalizers[i])
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case c.Type == "NFC":
		return one(normalForm(norm.NFC))
	case c.Type == "NFD":
		return one(normalForm(norm.NFD))
	case c.Type == "NFKC":
		return one(normalForm(norm.NFKC))
	case c.Type == "NFKD":
		return one(normalForm(norm.NFKD))
	case c.Type == "Prepend":
		return one(prepend(c.Prepend))
	case c.Type == "Replace" && c.Pattern.String != "":
		return one(replace(c.Pattern.String, c.Content))
	}
	return nil, c.unsupported("normalizer")
}

// unsupported is the error for a component, or a form of it, that is not here.
func (c *component) unsupported(kind string) error {
	if c.Pattern.Regex != "" {
		return fmt.Errorf("%s %q with the pattern %q is not supported", kind, c.Type, c.Pattern.Regex)
	}
	if c.Behavior != "" {
		return fmt.Errorf("%s %q with the behavior %q is not supported", kind, c.Type, c.Behavior)
	}
	return fmt.Errorf("%s %q is not supported", kind, c.Type)
}
