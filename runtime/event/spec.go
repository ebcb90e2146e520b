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

// ExampleData is the Data of an Example event: a training example, cut where
// what is learnt begins and ends.
type ExampleData struct {
	Title   string        `json:"title"`
	Parts   []ExamplePart `json:"parts"`
	Tokens  int           `json:"tokens"`
	Trained int           `json:"trained"` // of the tokens
}

// ExamplePart is a stretch of the text of an example.
type ExamplePart struct {
	Text    string `json:"text"`
	Trained bool   `json:"trained,omitempty"`
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
// A before and B after. Rates and differences are fractions of 1. Items that were
// trained on, or that one side could not grade, do not count.
type CompareData struct {
	Title    string      `json:"title,omitempty"`
	Banner   string      `json:"banner,omitempty"` // what stands over the headline: items were trained on
	A        Side        `json:"a"`                // on the items that count
	B        Side        `json:"b"`
	Items    int         `json:"items"`              // that count
	Fixed    int         `json:"fixed"`              // failed in A, passed in B
	Broken   int         `json:"broken"`             // passed in A, failed in B
	Test     string      `json:"test,omitempty"`     // that P comes from; "": exact McNemar
	P        float64     `json:"p_mcnemar"`          // two-sided, of Test
	PMid     float64     `json:"p_mid"`              // McNemar's mid-p
	Diff     float64     `json:"diff"`               // rate of B minus rate of A
	DiffLow  float64     `json:"diff_low"`           // 95 % interval, paired
	DiffHigh float64     `json:"diff_high"`          //
	MDE      float64     `json:"mde,omitempty"`      // smallest true difference found in 80 of 100 such comparisons
	Clusters int         `json:"clusters,omitempty"` // parents of the items, where they are fewer
	Leaked   int         `json:"leaked,omitempty"`   // common items that were trained on
	Allowed  bool        `json:"allowed,omitempty"`  // they count all the same
	Other    *Both       `json:"other,omitempty"`    // the rates with them, or without them if Allowed
	Margin   float64     `json:"margin,omitempty"`   // of a question about forgetting; 0: it is none
	PMargin  float64     `json:"p_margin,omitempty"` // one-sided: that more than Margin is lost
	Groups   []GroupData `json:"groups,omitempty"`   // by category, if there are several
	Warnings []string    `json:"warnings,omitempty"` // what weakens the comparison
}

// Both is a pair of rates over other items than those that count.
type Both struct {
	Items int     `json:"items"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
}

// GroupData is a comparison within one category.
type GroupData struct {
	Name   string  `json:"name"`
	Items  int     `json:"items"`
	A      int     `json:"a"` // passed
	B      int     `json:"b"`
	Fixed  int     `json:"fixed"`
	Broken int     `json:"broken"`
	P      float64 `json:"p"`      // exact McNemar
	PHolm  float64 `json:"p_holm"` // adjusted for the number of categories
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
	Value  *float64 `json:"value,omitempty"`  // nil: it failed or was pruned
	N      int      `json:"n,omitempty"`      // items, if the value is a pass rate of so many
	Passed int      `json:"passed,omitempty"` // of them
	Error  string   `json:"error,omitempty"`
	Pruned string   `json:"pruned,omitempty"` // at which evaluation, and by which rule
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
