package event

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func at(sec float64) time.Time {
	return time.Unix(0, 0).Add(time.Duration(sec * float64(time.Second)))
}

func TestPlainConsole(t *testing.T) {
	var out bytes.Buffer
	c := NewConsole(&out)
	c.Emit(Event{Kind: StepStart, Step: "3f9ab2", Name: "lora.train", Time: at(0)})
	c.Emit(Event{Kind: Progress, Step: "3f9ab2", Time: at(1), X: 1, Value: 10})
	c.Emit(Event{Kind: Metric, Step: "3f9ab2", Name: "train/loss", Time: at(11), Value: 2.5, X: 1})
	c.Emit(Event{Kind: StepDone, Step: "3f9ab2", Name: "lora.train", Time: at(12), Value: 12})
	c.Emit(Event{Kind: StepHit, Step: "77aa00", Name: "distill.generate", Value: 2460, Data: []byte(`{"usd":3.2}`)})
	c.Emit(Event{Kind: Print, Text: "hello \x1b[31mred\u202e"})
	got := out.String()
	for _, want := range []string{
		"  … lora.train", "1/10", "loss 2.5000", "✓ lora.train", "3f9a", "run      12s",
		"hit     0.0s  (saved 41m00s, $3.20)", "hello \ufffd[31mred\ufffd",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Errorf("escape sequence in plain output:\n%q", got)
	}
}

func TestLiveRegionIsErased(t *testing.T) {
	var out bytes.Buffer
	c := NewConsole(&out)
	c.Terminal = true
	c.Width = func() int { return 30 }
	c.Emit(Event{Kind: StepStart, Step: "a", Name: "eval.run", Time: time.Now()})
	if c.drawn != 1 {
		t.Fatalf("drawn %d lines, want 1", c.drawn)
	}
	c.Emit(Event{Kind: StepDone, Step: "a", Name: "eval.run", Time: time.Now()})
	if c.drawn != 0 || !strings.Contains(out.String(), "\x1b[1A\x1b[J") {
		t.Errorf("live region left on the screen: %q", out.String())
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "▸") && len([]rune(line)) > 29 {
			t.Errorf("live line wraps: %q", line)
		}
	}
}

func TestSeconds(t *testing.T) {
	for s, want := range map[float64]string{0.04: "0.0s", 9.94: "9.9s", 38: "38s", 724: "12m04s", 11220: "3h07m"} {
		if got := Seconds(s); got != want {
			t.Errorf("Seconds(%v) = %q, want %q", s, got, want)
		}
	}
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]float64{0, 1, math.NaN(), 0.5}); len([]rune(got)) != 4 {
		t.Errorf("sparkline %q has not one block for each value", got)
	}
	if got := sparkline([]float64{0, 7}); got != "▁█" {
		t.Errorf("sparkline = %q", got)
	}
}
