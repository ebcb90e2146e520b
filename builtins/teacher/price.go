package teacher

import (
	"bytes"
	_ "embed" // the table
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"time"
)

//go:embed prices.json
var pricesJSON []byte

// Prices is the table of what models cost, how long they are served and what
// they take.
type Prices struct {
	CheckedOn string           `json:"checked_on"` // of the table as a whole
	Source    string           `json:"source"`
	Models    map[string]Model `json:"models"` // by "provider:model"
}

// Model is what is known about one.
type Model struct {
	Prices      []Dated `json:"prices"`        // in order of their dates
	Encoding    string  `json:"encoding"`      // of its tokenizer; "": not published
	TokenFactor float64 `json:"token_factor"`  // tokens for each of o200k's, where the tokenizer is not published
	Temperature string  `json:"temperature"`   // "never", "effort none", "": taken
	Shutdown    string  `json:"shutdown_date"` // first day on which requests fail
	Replacement string  `json:"replacement"`   // "provider:model"
	NoBatch     bool    `json:"no_batch"`
}

// Dated is a price with its dates.
type Dated struct {
	EffectiveFrom string `json:"effective_from"`
	CheckedOn     string `json:"checked_on"`
	Price
}

// Price is what a model costs, in US dollars for a million tokens.
type Price struct {
	Input   float64 `json:"input"`
	Cached  float64 `json:"cached"`  // input that the provider had cached; 0: as Input
	Written float64 `json:"written"` // input that it put into its cache; 0: as Input
	Output  float64 `json:"output"`  // reasoning included
	Above   int64   `json:"above"`   // tokens of input from which Long holds; 0: none
	Long    *Price  `json:"long"`
}

// ReadPrices returns the built-in table, with the models of a file of the same
// form put over it; "" is no file.
func ReadPrices(file string) (Prices, error) {
	table, err := parsePrices(pricesJSON)
	if err != nil || file == "" {
		return table, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return Prices{}, fmt.Errorf("teacher: prices: %w", err)
	}
	over, err := parsePrices(b)
	if err != nil {
		return Prices{}, fmt.Errorf("%s: %w", file, err)
	}
	maps.Copy(table.Models, over.Models)
	return table, nil
}

// parsePrices refuses what cannot be a price for a million tokens: per token or
// per thousand is the usual mistake.
func parsePrices(b []byte) (Prices, error) {
	var t Prices
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, fmt.Errorf("teacher: prices: %w", err)
	}
	for name, m := range t.Models {
		for _, d := range m.Prices {
			if _, err := time.Parse(time.DateOnly, d.EffectiveFrom); err != nil {
				return t, fmt.Errorf("teacher: prices: %s: effective_from: want a date such as 2026-11-24", name)
			}
			if err := d.Price.Check(); err != nil {
				return t, fmt.Errorf("teacher: prices: %s: %w", name, err)
			}
		}
	}
	return t, nil
}

// Check refuses what cannot be a price for a million tokens.
func (p Price) Check() error {
	for _, x := range []float64{p.Input, p.Cached, p.Written, p.Output} {
		if x != 0 && !(x >= 0.001 && x <= 1000) {
			return fmt.Errorf("a price of %g: want US dollars for a million tokens, 0.001 to 1000, or 0", x)
		}
	}
	if p.Long != nil {
		return p.Long.Check()
	}
	return nil
}

// dated are the suffixes of snapshots: gpt-6-luna-2026-09-22, claude-haiku-4-5-20251001.
var dated = regexp.MustCompile(`-(\d{4}-\d{2}-\d{2}|\d{8})$`)

// Model returns what is known about a model; a dated snapshot is as its family.
func (t Prices) Model(s Spec) (Model, bool) {
	name := s.String()
	if m, ok := t.Models[name]; ok {
		return m, true
	}
	m, ok := t.Models[dated.ReplaceAllString(name, "")]
	return m, ok
}

// Of returns what a model costs on a day. A server on this machine costs
// nothing, unless the table says what it passes on. An unknown price is an error, for then no budget holds, and so is a
// model that its provider has shut down by then.
func (t Prices) Of(s Spec, now time.Time) (Price, error) {
	day := now.Format(time.DateOnly)
	m, ok := t.Model(s)
	if !ok && s.loopback() {
		return Price{}, nil
	}
	if ok && m.Shutdown != "" && day >= m.Shutdown {
		return Price{}, fmt.Errorf("teacher: %s was shut down on %s and answers no more: ask %s instead%s", s, m.Shutdown, m.Replacement, t.cost(m.Replacement, now))
	}
	p, ok := m.on(day)
	if !ok {
		return Price{}, fmt.Errorf("teacher: the price of %s is not known (table of %s), and without one no budget holds: say price=[dollars per million input tokens, output tokens], [0, 0] if it is yours, or put it into a file that STARBOOK_PRICES names", s, t.CheckedOn)
	}
	return p.Price, nil
}

// cost says what a replacement costs, for a message.
func (t Prices) cost(name string, now time.Time) string {
	p, ok := t.Models[name].on(now.Format(time.DateOnly))
	if !ok {
		return ""
	}
	return fmt.Sprintf(" ($%g for a million input tokens, $%g for a million output tokens)", p.Input, p.Output)
}

// on returns the price that holds on a day.
func (m Model) on(day string) (Dated, bool) {
	for i := len(m.Prices) - 1; i >= 0; i-- {
		if m.Prices[i].EffectiveFrom <= day {
			return m.Prices[i], true
		}
	}
	return Dated{}, false
}

// Warn says what the table of prices makes one think of; "" if nothing.
func (t Prices) Warn(s Spec, now time.Time) string {
	m, ok := t.Model(s)
	if !ok || s.loopback() {
		return ""
	}
	if m.Shutdown != "" {
		if end, err := time.Parse(time.DateOnly, m.Shutdown); err == nil && end.Sub(now) < 60*24*time.Hour {
			return fmt.Sprintf("%s answers until %s only; its successor is %s%s", s, m.Shutdown, m.Replacement, t.cost(m.Replacement, now))
		}
	}
	const old = 60 * 24 * time.Hour
	if p, ok := m.on(now.Format(time.DateOnly)); ok {
		if at, err := time.Parse(time.DateOnly, p.CheckedOn); err == nil && now.Sub(at) > old {
			return fmt.Sprintf("the price of %s was last checked on %s: put the present one into a file and name it in STARBOOK_PRICES", s, p.CheckedOn)
		}
	}
	return ""
}

// Takes says why a model would refuse r, as far as the table knows.
func (m Model) Takes(r Request) error {
	switch {
	case r.Temperature == nil:
	case m.Temperature == "never":
		return fmt.Errorf("%s takes no temperature: leave it out", r.Model)
	case m.Temperature == "effort none" && r.Effort != "none":
		return fmt.Errorf("%s takes a temperature with effort=\"none\" only: leave it out, or say so", r.Model)
	}
	return nil
}

// Half is the price of a batch.
func (p Price) Half() Price {
	h := Price{Input: p.Input / 2, Cached: p.Cached / 2, Written: p.Written / 2, Output: p.Output / 2, Above: p.Above}
	if p.Long != nil {
		long := p.Long.Half()
		h.Long = &long
	}
	return h
}

// Cost returns what usage costs.
func (p Price) Cost(u Usage) float64 {
	if p.Long != nil && u.Input > p.Above {
		return p.Long.Cost(u)
	}
	cached, written := p.Cached, p.Written
	if cached == 0 {
		cached = p.Input
	}
	if written == 0 {
		written = p.Input
	}
	plain := u.Input - u.Cached - u.Written
	return (float64(plain)*p.Input + float64(u.Cached)*cached + float64(u.Written)*written + float64(u.Output)*p.Output) / 1e6
}

// Worst returns what a request costs at most. Every byte may be a token, and a
// message and a schema have a few tokens around them.
func (p Price) Worst(r Request) float64 {
	in := 32
	for _, m := range r.messages() {
		in += len(m.Content) + 16
	}
	if r.Schema != nil {
		in += len(r.Schema.raw) + 512
	}
	return max(p.at(in, r.MaxTokens), p.Long.at(in, r.MaxTokens))
}

// at is the price of so many tokens, none of them cached but maybe written.
func (p *Price) at(input, output int) float64 {
	if p == nil {
		return 0
	}
	return (float64(input)*max(p.Input, p.Written, p.Cached) + float64(output)*p.Output) / 1e6
}
