package bench

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Report is what one bench found.
type Report struct {
	Bench   string          `json:"bench"` // train, decode or kernels
	Shape   string          `json:"shape"`
	Device  string          `json:"device"`
	Config  json.RawMessage `json:"config"`  // the shape, as config.json has it
	Options any             `json:"options"` // of the bench
	Lengths []int           `json:"lengths,omitempty"`
	Figures []Figure        `json:"figures"`
	Ops     []Op            `json:"ops,omitempty"`
}

// Figure is a number with its unit, and how it was come by.
type Figure struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"` // the median of what was measured
	Low     float64 `json:"low"`   // the lower quartile
	High    float64 `json:"high"`  // the upper quartile
	Unit    string  `json:"unit"`
	N       int     `json:"n"`                      // measurements; 0: computed, not measured
	Missing string  `json:"not_measured,omitempty"` // why there is no value
	Note    string  `json:"note,omitempty"`
}

// measured is the figure of some measurements.
func measured(name, unit string, values ...float64) Figure {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return missing(name, unit, "nothing was measured")
	}
	at := func(share float64) float64 { // between neighbours, as numpy does
		x := share * float64(len(s)-1)
		i := int(x)
		return s[i] + (x-float64(i))*(s[min(i+1, len(s)-1)]-s[i])
	}
	return Figure{Name: name, Value: at(0.5), Low: at(0.25), High: at(0.75), Unit: unit, N: len(s)}
}

// computed is a figure that follows from the shape.
func computed(name, unit string, value float64) Figure {
	return Figure{Name: name, Value: value, Low: value, High: value, Unit: unit}
}

func missing(name, unit, why string) Figure {
	return Figure{Name: name, Unit: unit, Missing: why}
}

// noted returns f with a remark.
func (f Figure) noted(format string, args ...any) Figure {
	f.Note = fmt.Sprintf(format, args...)
	return f
}

// String writes the value, its unit, the quartiles and n.
func (f Figure) String() string {
	switch {
	case f.Missing != "":
		return "not measured: " + f.Missing
	case f.N == 0:
		return fmt.Sprintf("%s %s (computed)", digits(f.Value), f.Unit)
	case f.N == 1:
		return fmt.Sprintf("%s %s (n = 1)", digits(f.Value), f.Unit)
	}
	return fmt.Sprintf("%s %s (%s to %s, n = %d)", digits(f.Value), f.Unit, digits(f.Low), digits(f.High), f.N)
}

// digits writes four significant digits, and no exponent where a reader can do without.
func digits(x float64) string {
	switch {
	case x == 0 || x >= 1e7 || x < 1e-3:
		return fmt.Sprintf("%.4g", x)
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 100:
		return fmt.Sprintf("%.1f", x)
	case x >= 10:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.4g", x)
}

// scaled returns values, each passed through f.
func scaled(values []float64, f func(float64) float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = f(v)
	}
	return out
}
