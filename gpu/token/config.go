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
	ChatTemplate  string // Jinja; "" when there is none, or several with names
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
		c.ChatTemplate = string(jinja)
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
	var f struct {
		BOS          tokenName       `json:"bos_token"`
		EOS          tokenName       `json:"eos_token"`
		PAD          tokenName       `json:"pad_token"`
		ChatTemplate json.RawMessage `json:"chat_template"`
	}
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return Config{}, fmt.Errorf("token: tokenizer_config.json: %w", err)
	}
	template, err := defaultTemplate(f.ChatTemplate)
	if err != nil {
		return Config{}, fmt.Errorf("token: tokenizer_config.json: chat_template: %w", err)
	}
	return Config{string(f.BOS), string(f.EOS), string(f.PAD), template}, nil
}

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

// defaultTemplate reads a template, or takes the one called default of a list.
func defaultTemplate(b json.RawMessage) (string, error) {
	var one string
	if len(b) == 0 || json.Unmarshal(b, &one) == nil {
		return one, nil
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(b, &list); err != nil {
		return "", err
	}
	for _, t := range list {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}
