package teacher

import (
	_ "embed" // the table
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"time"
)

//go:embed prices.json
var pricesJSON []byte

type listed struct {
	Price
	Shutdown    string `json:"shutdown_date"`
	Replacement string `json:"replacement"`
}

// PriceOf returns what a model costs by the table of prices.json. A server on
// this machine costs nothing. An unknown price is an error, for then no budget
// holds, and so is a model that its provider has shut down by now.
func PriceOf(s Spec, now time.Time) (Price, error) {
	if s.loopback() {
		return Price{}, nil
	}
	var table struct {
		CheckedOn string `json:"checked_on"`
		Models    map[string]listed
	}
	if err := json.Unmarshal(pricesJSON, &table); err != nil {
		return Price{}, fmt.Errorf("teacher: prices: %w", err)
	}
	p, ok := table.Models[s.String()]
	if !ok {
		return Price{}, fmt.Errorf("teacher: the price of %s is not known (table of %s): say price=[dollars per million input tokens, output tokens]", s, table.CheckedOn)
	}
	if p.Shutdown != "" && now.Format(time.DateOnly) >= p.Shutdown {
		return Price{}, fmt.Errorf("teacher: %s was shut down on %s: ask %s instead", s, p.Shutdown, p.Replacement)
	}
	return p.Price, nil
}

// loopback reports whether the server is on this machine.
func (s Spec) loopback() bool {
	u, err := url.Parse(s.BaseURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
