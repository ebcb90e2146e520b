package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A Config is the part of tokenizer_config.json that concerns text. Tokens are
// spelled as in the tokenizer; "" stands for none.
type Config struct {
	BOS, EOS, PAD string
	Specials      map[string]string // by the names that chat templates use: "bos_token" and so on
	ChatTemplate  string            // Jinja; "" when there is none
	ToolTemplate  string            // the one to use instead when there are tools; "" for the same
}

// Open reads tokenizer.json from a model's folder and, where they are there,
// tokenizer_config.json and chat_template.jinja. The latter goes before a
// template inside the former.
func Open(dir string) (*Tokenizer, error) {
	c, err := openConfig(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, err
	}
	jinja, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
	if err == nil {
		c.ChatTemplate, c.ToolTemplate = string(jinja), ""
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("token: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	defer f.Close()
	t, err := load(f, c)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, dir)
	}
	return t, nil
}

func openConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("token: %w", err)
	}
	defer f.Close()
	return ReadConfig(f)
}

// ReadConfig reads a tokenizer_config.json.
func ReadConfig(r io.Reader) (Config, error) {
	var f map[string]json.RawMessage
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return Config{}, fmt.Errorf("token: tokenizer_config.json: %w", err)
	}
	c := Config{Specials: map[string]string{}}
	for _, name := range specialNames {
		var n tokenName
		if raw, ok := f[name]; ok {
			if err := json.Unmarshal(raw, &n); err != nil {
				return Config{}, fmt.Errorf("token: tokenizer_config.json: %s: %w", name, err)
			}
		}
		if n != "" {
			c.Specials[name] = string(n)
		}
	}
	c.BOS, c.EOS, c.PAD = c.Specials["bos_token"], c.Specials["eos_token"], c.Specials["pad_token"]
	if err := c.readTemplates(f["chat_template"]); err != nil {
		return Config{}, fmt.Errorf("token: tokenizer_config.json: chat_template: %w", err)
	}
	return c, nil
}

// specialNames are the special tokens that transformers knows by name.
var specialNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// A tokenName is written as text, as an object with a content, or as null.
type tokenName string

func (n *tokenName) UnmarshalJSON(b []byte) error {
	var o struct{ Content string }
	if json.Unmarshal(b, (*string)(n)) == nil {
		return nil
	}
	err := json.Unmarshal(b, &o)
	*n = tokenName(o.Content)
	return err
}

// readTemplates reads one template, or a list of templates with names.
func (c *Config) readTemplates(b json.RawMessage) error {
	if len(b) == 0 || json.Unmarshal(b, &c.ChatTemplate) == nil {
		return nil
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, t := range list {
		switch t.Name {
		case "default":
			c.ChatTemplate = t.Template
		case "tool_use":
			c.ToolTemplate = t.Template
		}
	}
	return nil
}
