package teacher

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPriceOf(t *testing.T) {
	table, err := ReadPrices("")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, day, want string }{
		{"openai:gpt-6-luna", "2026-11-23", ""},
		{"openai:gpt-6-luna-2026-09-22", "2026-11-23", ""},
		{"openai:gpt-6-luna", "2026-09-01", "not known"}, // before it had a price
		{"openai:gpt-4o-mini", "2027-01-13", ""},
		{"openai:gpt-4o-mini", "2027-01-14", "ask openai:gpt-6-luna instead ($0.1 for a million input tokens"},
		{"anthropic:claude-sonnet-4-5-20250929", "2026-11-30", "claude-sonnet-5-5"},
		{"anthropic:claude-haiku-5-5", "2026-11-23", ""},
		{"openai:gpt-99", "2026-11-23", "not known"},
		{"https://example.com/v1#m", "2026-11-23", "not known"},
		{"http://127.0.0.1:8000/v1#m", "2026-11-23", ""},
	} {
		spec, err := ParseSpec(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		if spec.String() != c.spec {
			t.Errorf("%s reads back as %s", c.spec, spec)
		}
		day, _ := time.Parse(time.DateOnly, c.day)
		_, err = table.Of(spec, day)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s on %s: %v, want %q", c.spec, c.day, err, c.want)
		}
	}
	for name, m := range table.Models {
		if next, ok := table.Models[m.Replacement]; m.Shutdown != "" && (!ok || next.Shutdown != "") {
			t.Errorf("%s: its replacement %q is not in the table, or ends as well", name, m.Replacement)
		}
	}
}

func TestPricesOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prices.json")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	row := `{"prices": [{"effective_from": "2026-01-01", "checked_on": "2026-11-01", "input": 1, "output": 2}]}`
	write(`{"models": {"https://example.com/v1#m": ` + row + `, "http://localhost:4000/v1#m": ` + row + `}}`)
	table, err := ReadPrices(file)
	if err != nil {
		t.Fatal(err)
	}
	spec, _ := ParseSpec("https://example.com/v1#m")
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if p, err := table.Of(spec, now); err != nil || p.Output != 2 {
		t.Errorf("got %+v, %v", p, err)
	}
	gateway, _ := ParseSpec("http://localhost:4000/v1#m") // on this machine, but what it passes on costs
	if p, err := table.Of(gateway, now); err != nil || p.Output != 2 {
		t.Errorf("got %+v, %v", p, err)
	}
	if w := table.Warn(spec, now.AddDate(0, 3, 0)); !strings.Contains(w, "last checked on 2026-11-01") {
		t.Errorf("three months later: %q", w)
	}
	for text, want := range map[string]string{
		`{"models": {"m": {"prices": [{"effective_from": "2026-01-01", "input": 1e-7}]}}}`:               "million",
		`{"models": {"m": {"prices": [{"effective_from": "yesterday", "input": 1}]}}}`:                   "effective_from",
		`{"models": {"m": {"prices": [{"effective_from": "2026-01-01", "inptu": 1}]}}}`:                  "inptu",
		`{"models": {"m": {"prices": [{"effective_from": "2026-01-01", "input": 1, "output": 15000}]}}}`: "million",
	} {
		write(text)
		if _, err := ReadPrices(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Bodies in the shape of recorded ones, and what they cost at $1 and $10 a million, $0.1 cached and $2 written.
func TestUsageVectors(t *testing.T) {
	price := Price{Input: 1, Cached: 0.1, Written: 2, Output: 10}
	for name, c := range map[string]struct {
		read func([]byte) Usage
		body string
		want Usage
		usd  float64 // a million times
	}{
		"openai": {
			openAIUsage, `{"usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":128}}}`,
			Usage{Input: 2006, Cached: 1920, Output: 300, Reasoning: 128},
			86 + 192 + 3000,
		},
		"openai, writing its cache": {
			openAIUsage, `{"usage":{"prompt_tokens":2000,"completion_tokens":1,"total_tokens":2001,"prompt_tokens_details":{"cached_tokens":500,"cache_write_tokens":1000}}}`,
			Usage{Input: 2000, Cached: 500, Written: 1000, Output: 1},
			500 + 50 + 2000 + 10,
		},
		"xai: reasoning beside": {
			openAIUsage, `{"usage":{"prompt_tokens":100,"completion_tokens":10,"total_tokens":160,"completion_tokens_details":{"reasoning_tokens":50}}}`,
			Usage{Input: 100, Output: 60, Reasoning: 50},
			100 + 600,
		},
		"deepseek": {
			openAIUsage, `{"usage":{"prompt_tokens":16,"completion_tokens":13,"total_tokens":29,"prompt_cache_hit_tokens":10,"prompt_cache_miss_tokens":6}}`,
			Usage{Input: 16, Cached: 10, Output: 13},
			6 + 1 + 130,
		},
		"anthropic": {
			anthropicUsage, `{"usage":{"input_tokens":16,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":13,"service_tier":"standard"}}`,
			Usage{Input: 16, Output: 13},
			16 + 130,
		},
		"anthropic, cached": {
			anthropicUsage, `{"usage":{"input_tokens":50,"cache_creation_input_tokens":1000,"cache_read_input_tokens":2000,"output_tokens":13,"output_tokens_details":{"thinking_tokens":7}}}`,
			Usage{Input: 3050, Cached: 2000, Written: 1000, Output: 13, Reasoning: 7},
			50 + 2000 + 200 + 130,
		},
		"none": {openAIUsage, `{}`, Usage{}, 0},
	} {
		got := c.read([]byte(c.body))
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if usd := price.Cost(got); math.Abs(usd*1e6-c.usd) > 1e-9 {
			t.Errorf("%s: $%v, want $%v", name, usd, c.usd/1e6)
		}
	}
}

func TestLongPromptsCostMore(t *testing.T) {
	p := Price{Input: 1, Output: 2, Above: 100, Long: &Price{Input: 3, Output: 4}}
	if got := p.Cost(Usage{Input: 100, Output: 10}); got != 120e-6 {
		t.Errorf("at the limit: $%v", got)
	}
	if got := p.Cost(Usage{Input: 101, Output: 10}); got != 343e-6 {
		t.Errorf("above: $%v", got)
	}
	if half := p.Half(); half.Cost(Usage{Input: 101, Output: 10}) != 343e-6/2 {
		t.Error("a batch does not cost half")
	}
}

func TestModelsThatTakeNoTemperature(t *testing.T) {
	table, _ := ReadPrices("")
	half := 0.5
	for name, c := range map[string]struct {
		r  Request
		ok bool
	}{
		"anthropic:claude-haiku-5-5": {Request{Temperature: &half}, false},
		"anthropic:claude-haiku-4-5": {Request{Temperature: &half}, true},
		"openai:gpt-6-luna":          {Request{Temperature: &half}, false},
		"openai:gpt-6.1-terra":       {Request{Temperature: &half, Effort: "none"}, true},
		"openai:gpt-4o-mini":         {Request{Temperature: &half}, true},
		"openai:gpt-5":               {Request{}, true},
	} {
		if err := table.Models[name].Takes(c.r); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
