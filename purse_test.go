package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestPurse(t *testing.T) {
	for _, c := range []struct {
		said     string
		terminal bool
		want     []bool
	}{
		{"y\nn\n", true, []bool{true, false}},
		{"perhaps\nYES\n\n", true, []bool{true, false}},
		{"a\n", true, []bool{true, true, true}},
		{"", true, []bool{false}},
		{"y\n", false, []bool{false}},
	} {
		var out bytes.Buffer
		p := &purse{in: strings.NewReader(c.said), out: &out, terminal: c.terminal}
		for i, want := range c.want {
			err := p.consent(t.Context(), "about $3")
			if (err == nil) != want {
				t.Errorf("%q, question %d: %v, want %v", c.said, i+1, err, want)
			}
		}
		if c.terminal && !strings.Contains(out.String(), "about $3") {
			t.Errorf("the question is %q", out.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := io.Pipe()
	defer w.Close()
	if err := (&purse{in: r, out: io.Discard, terminal: true}).consent(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
