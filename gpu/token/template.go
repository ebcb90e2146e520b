package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// template reads what EncodeSpecial puts around one text.
func (t *Tokenizer) template(c *component) error {
	if c == nil {
		return nil
	}
	switch c.Type {
	case "ByteLevel": // moves offsets only
		return nil
	case "Sequence":
		for i := range c.Processors {
			if err := t.template(&c.Processors[i]); err != nil {
				return err
			}
		}
		return nil
	case "TemplateProcessing":
		return t.around(c)
	}
	return c.unsupported("post_processor")
}

func (t *Tokenizer) around(c *component) error {
	var items []struct {
		SpecialToken *struct{ ID string }
		Sequence     *struct{ ID string }
	}
	if err := json.Unmarshal(c.Single, &items); err != nil {
		return fmt.Errorf("post_processor: single: %w", err)
	}
	seen := false
	for _, it := range items {
		switch {
		case it.Sequence != nil && it.Sequence.ID == "A" && !seen:
			seen = true
		case it.SpecialToken != nil:
			special, ok := c.SpecialTokens[it.SpecialToken.ID]
			if !ok {
				return fmt.Errorf("post_processor: %q is not among special_tokens", it.SpecialToken.ID)
			}
			if seen {
				t.after = append(t.after, special.IDs...)
			} else {
				t.before = append(t.before, special.IDs...)
			}
		default:
			return errors.New("post_processor: single is not tokens around one Sequence A")
		}
	}
	if !seen {
		return errors.New("post_processor: single has no Sequence A")
	}
	return nil
}

// decoders returns the steps that c stands for; nil where there is no decoder.
func decoders(c *component) ([]decoder, error) {
	if c == nil {
		return nil, nil
	}
	switch {
	case c.Type == "Sequence":
		all := []decoder{}
		for i := range c.Decoders {
			some, err := decoders(&c.Decoders[i])
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case c.Type == "ByteLevel":
		return []decoder{decodeBytes}, nil
	case c.Type == "ByteFallback":
		return []decoder{decodeFallback}, nil
	case c.Type == "Fuse":
		return []decoder{fuse}, nil
	case c.Type == "Metaspace":
		return []decoder{decodeMetaspace(c.Replacement, c.scheme() != "never")}, nil
	case c.Type == "Replace" && c.Pattern.String != "":
		return []decoder{decodeReplace(c.Pattern.String, c.Content)}, nil
	case c.Type == "Strip" && utf8.RuneCountInString(c.Content) == 1:
		return []decoder{decodeStrip(c.Content, c.Start, c.Stop)}, nil
	}
	return nil, c.unsupported("decoder")
}
