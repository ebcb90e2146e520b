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

// provider is a service that speaks OpenAI's protocol under its own name.
type provider struct{ name, baseURL, keyEnv string }

var providers = []provider{
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
func ParseSpec(s string) (Spec, error) {
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
	if s.Provider == s.BaseURL {
		return s.BaseURL + "#" + s.Model
	}
	return s.Provider + ":" + s.Model
}

// plainText reports whether a key would cross a network unencrypted.
func (s Spec) plainText() bool {
	u, err := url.Parse(s.BaseURL)
	if err != nil || u.Scheme == "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}
