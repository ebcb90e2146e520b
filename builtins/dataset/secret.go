package dataset

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	mail = regexp.MustCompile(`\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b`)
	keys = regexp.MustCompile(`\b(?:sk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,})|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?s:.*?)-----END [A-Z ]*PRIVATE KEY-----)?`)
)

// keyMarks are in every text that keys matches: looking for them is cheaper.
var keyMarks = []string{"sk-", "AKIA", "gh", "xox", "AIza", "hf_", "PRIVATE KEY"}

// personal finds e-mail addresses; those of the domains that are set apart for
// examples are none.
func (x exchange) personal() string {
	for _, s := range []string{x.prompt, x.completion} {
		if hideMail(s) != s {
			return "an e-mail address"
		}
	}
	return ""
}

func hideMail(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return mail.ReplaceAllStringFunc(s, func(m string) string {
		if _, domain, _ := strings.Cut(m, "@"); exampleDomain(domain) {
			return m
		}
		return "[e-mail address]"
	})
}

// exampleDomain: RFC 2606.
func exampleDomain(d string) bool {
	for _, e := range []string{"example.com", "example.org", "example.net", "example", "test", "invalid"} {
		if d == e || strings.HasSuffix(d, "."+e) {
			return true
		}
	}
	return false
}

// key says of which kind a key is, not the key.
func (x exchange) key() string {
	for _, s := range []string{x.prompt, x.completion} {
		if hasKeyMark(s) {
			if k := keys.FindString(s); k != "" {
				return "a key that begins with " + k[:3]
			}
		}
	}
	return ""
}

func hasKeyMark(s string) bool {
	return slices.ContainsFunc(keyMarks, func(m string) bool { return strings.Contains(s, m) })
}

// Redact returns a row without e-mail addresses and keys, and whether it had any.
func Redact(r Row) (Row, bool) {
	out := redact(r).(map[string]any)
	return out, !equalValues(r, out)
}

func redact(v any) any {
	switch v := v.(type) {
	case string:
		if v = hideMail(v); hasKeyMark(v) {
			v = keys.ReplaceAllString(v, "[key]")
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = redact(x)
		}
		return out
	case map[string]any:
		out := maps.Clone(v)
		for k, x := range out {
			out[k] = redact(x)
		}
		return out
	}
	return v
}
