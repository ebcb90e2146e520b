package event

import (
	"bytes"
	"encoding/json"
	"math"
)

// TableData is the Data of a Table event.
type TableData struct {
	Title   string   `json:"title,omitempty"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`           // text, numbers, truth values, null
	Note    string   `json:"note,omitempty"` // a line under the table
}

// PlotData is the Data of a Plot event.
type PlotData struct {
	Title      string   `json:"title,omitempty"`
	Kind       string   `json:"kind"` // "line", "bar" or "scatter"
	XLabel     string   `json:"x_label,omitempty"`
	YLabel     string   `json:"y_label,omitempty"`
	LogX       bool     `json:"log_x,omitempty"`
	LogY       bool     `json:"log_y,omitempty"`
	Categories []string `json:"categories,omitempty"` // names of the bars, one for each Y
	Series     []Curve  `json:"series"`
	Note       string   `json:"note,omitempty"` // a line under the plot
}

// Curve is one named set of points of a plot.
type Curve struct {
	Name  string  `json:"name"`
	X     Numbers `json:"x,omitempty"` // empty for bars
	Y     Numbers `json:"y"`
	Low   Numbers `json:"low,omitempty"` // interval around Y: empty, or one for each Y
	High  Numbers `json:"high,omitempty"`
	Style string  `json:"style,omitempty"` // "solid", "dashed", "dotted"; "" for the next one
}

// CompareData is the Data of a Compare event: two evaluations on the same items,
// A before and B after. Rates and differences are fractions of 1.
type CompareData struct {
	Title    string   `json:"title,omitempty"`
	A        Side     `json:"a"`
	B        Side     `json:"b"`
	Items    int      `json:"items"`     // that both answered
	Fixed    int      `json:"fixed"`     // failed in A, passed in B
	Broken   int      `json:"broken"`    // passed in A, failed in B
	P        float64  `json:"p_mcnemar"` // exact, two-sided
	Diff     float64  `json:"diff"`      // rate of B minus rate of A
	DiffLow  float64  `json:"diff_low"`  // 95 % interval, paired
	DiffHigh float64  `json:"diff_high"`
	Warnings []string `json:"warnings,omitempty"` // what weakens the comparison: items that were trained on
}

// Side is one evaluation of a comparison.
type Side struct {
	Step   string  `json:"step"`  // fingerprint in hex
	Label  string  `json:"label"` // as in "the tuned model"
	N      int     `json:"n"`
	Passed int     `json:"passed"`
	Low    float64 `json:"low"` // 95 % Wilson interval
	High   float64 `json:"high"`
}

// SweepData is the Data of a Sweep event.
type SweepData struct {
	Title     string       `json:"title,omitempty"`
	Objective string       `json:"objective"` // what the values are: "pass rate"
	Minimize  bool         `json:"minimize,omitempty"`
	Names     []string     `json:"names"` // of the settings
	Trials    []SweepTrial `json:"trials"`
}

// SweepTrial is one trial of a sweep, in the order of the proposals.
type SweepTrial struct {
	Values []any    `json:"values"`           // one for each name: text, numbers, truth values
	Value  *float64 `json:"value,omitempty"`  // nil: it failed
	N      int      `json:"n,omitempty"`      // items, if the value is a pass rate of so many
	Passed int      `json:"passed,omitempty"` // of them
	Error  string   `json:"error,omitempty"`
}

// Numbers are floats in which NaN and infinities are gaps: JSON has no word for
// them, so they travel as null and come back as NaN.
type Numbers []float64

// MarshalJSON implements json.Marshaler.
func (n Numbers) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, v := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			b.WriteString("null")
			continue
		}
		word, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		b.Write(word)
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Numbers) UnmarshalJSON(b []byte) error {
	var words []*float64
	if err := json.Unmarshal(b, &words); err != nil {
		return err
	}
	*n = make(Numbers, len(words))
	for i, w := range words {
		(*n)[i] = math.NaN()
		if w != nil {
			(*n)[i] = *w
		}
	}
	return nil
}
