package teacher

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Spec says who is asked.
type Spec struct {
	Provider string // a known name, or BaseURL itself; part of the content key
	BaseURL  string // without credentials and query
	Model    string
	KeyEnv   string // the environment variable that holds the key
}

// provider is a service under its own name. All but Anthropic speak OpenAI's protocol.
type provider struct{ name, baseURL, keyEnv string }

const anthropicProvider = "anthropic"

var providers = []provider{
	{anthropicProvider, "https://api.anthropic.com", "ANTHROPIC_API_KEY"},
	{"deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"},
	{"mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"},
	{"openai", "https://api.openai.com/v1", "OPENAI_API_KEY"},
	{"openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"},
}

// serverKeyEnv is the key for servers given by URL. A provider's own key is
// never sent to another host.
const serverKeyEnv = "STARBOOK_TEACHER_KEY"

// ParseSpec reads "provider:model" (openai:gpt-6-luna; the key is in that
// provider's usual variable) or "URL#model" (http://localhost:8000/v1#qwen3;
// the key, if the server wants one, is in STARBOOK_TEACHER_KEY).
// "anthropic+URL#model" is a server that speaks Anthropic's Messages.
func ParseSpec(s string) (Spec, error) {
	if rest, ok := strings.CutPrefix(s, anthropicProvider+"+"); ok {
		spec, err := parseURL(rest)
		spec.Provider = anthropicProvider + "+" + spec.BaseURL
		return spec, err
	}
	if strings.Contains(s, "://") {
		return parseURL(s)
	}
	name, model, ok := strings.Cut(s, ":")
	i := slices.IndexFunc(providers, func(p provider) bool { return p.name == name })
	if !ok || i < 0 || model == "" {
		var names []string
		for _, p := range providers {
			names = append(names, p.name)
		}
		return Spec{}, fmt.Errorf("teacher: %q: want provider:model with one of %s, or a base URL with #model", s, strings.Join(names, ", "))
	}
	p := providers[i]
	return Spec{Provider: p.name, BaseURL: p.baseURL, Model: model, KeyEnv: p.keyEnv}, nil
}

func parseURL(s string) (Spec, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Spec{}, fmt.Errorf("teacher: the base URL cannot be read: write it as http://localhost:8000/v1#model") // err would quote a password
	}
	model := u.Fragment
	switch {
	case u.User != nil || u.RawQuery != "":
		return Spec{}, fmt.Errorf("teacher: the base URL of %s holds credentials or a query: put the key into %s", u.Host, serverKeyEnv)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return Spec{}, fmt.Errorf("teacher: %q: want an http or https URL", s)
	case model == "":
		return Spec{}, fmt.Errorf("teacher: %q names no model: append #model", s)
	}
	u.Fragment = ""
	base := strings.TrimRight(u.String(), "/")
	return Spec{Provider: base, BaseURL: base, Model: model, KeyEnv: serverKeyEnv}, nil
}

// String is what ParseSpec reads.
func (s Spec) String() string {
	if s.KeyEnv == serverKeyEnv {
		return s.Provider + "#" + s.Model
	}
	return s.Provider + ":" + s.Model
}

// messages reports whether the server speaks Anthropic's Messages.
func (s Spec) messages() bool {
	return s.Provider == anthropicProvider || strings.HasPrefix(s.Provider, anthropicProvider+"+")
}

// NeedsKey reports whether the provider answers nobody without a key.
func (s Spec) NeedsKey() bool { return s.KeyEnv != "" && s.KeyEnv != serverKeyEnv }

// loopback reports whether the server is on this machine.
func (s Spec) loopback() bool {
	u, err := url.Parse(s.BaseURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// plainText reports whether a key would cross a network unencrypted.
func (s Spec) plainText() bool {
	u, err := url.Parse(s.BaseURL)
	return err == nil && u.Scheme != "https" && !s.loopback()
}
