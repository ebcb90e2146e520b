package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

// ipynb is a Jupyter notebook, nbformat 4.5; no other keys are allowed.
type ipynb struct {
	Cells    []ipynbCell    `json:"cells"`
	Metadata map[string]any `json:"metadata"`
	Format   int            `json:"nbformat"`
	Minor    int            `json:"nbformat_minor"`
}

// ipynbCell is a cell of it. Code cells must have outputs and execution_count, others must not.
type ipynbCell struct {
	ID       string         `json:"id"`
	Type     string         `json:"cell_type"`
	Metadata map[string]any `json:"metadata"`
	Source   string         `json:"source"`
	Outputs  *[]any         `json:"outputs,omitempty"`
	Count    *int           `json:"execution_count,omitempty"`
}

// stream is text that a cell printed.
type stream struct {
	Type string `json:"output_type"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// display is everything else: as text, and as HTML.
type display struct {
	Type     string            `json:"output_type"`
	Data     map[string]string `json:"data"`
	Metadata struct{}          `json:"metadata"`
}

// Notebook writes a run as a Jupyter notebook with its outputs. What is a function of the
// store's rows alone stays one: the same run gives the same bytes.
func Notebook(w io.Writer, st *store.Store, ref string) error {
	r, err := load(st, ref)
	if err != nil {
		return err
	}
	nb := ipynb{Format: 4, Minor: 5, Metadata: map[string]any{
		"kernelspec":    map[string]string{"name": "starbook", "display_name": "starbook (Starlark)"},
		"language_info": map[string]string{"name": "python", "file_extension": ".star"}, // for its colours
		"starbook":      map[string]any{"run": r.ID, "params": json.RawMessage(r.Params), "status": r.Status},
	}}
	for i, c := range r.Cells {
		id := fmt.Sprintf("cell-%d", i+1)
		if c.Markdown {
			nb.Cells = append(nb.Cells, ipynbCell{ID: id, Type: "markdown", Metadata: map[string]any{}, Source: c.Text})
			continue
		}
		n := i + 1
		cell := ipynbCell{ID: id, Type: "code", Metadata: map[string]any{"starbook": map[string]any{"steps": stepsIn(r, n)}}, Source: c.Text, Count: &n}
		if c.Title != "" {
			cell.Source = "# %% " + c.Title + "\n" + c.Text
		}
		outputs, err := ipynbOutputs(st, r, n)
		if err != nil {
			return err
		}
		cell.Outputs = &outputs
		nb.Cells = append(nb.Cells, cell)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(nb)
}

// stepsIn lists the steps of a cell.
func stepsIn(r *run, n int) []map[string]any {
	steps := []map[string]any{}
	for _, u := range r.Uses {
		if r.cellOf(u.Cell, u.Line) == n-1 {
			steps = append(steps, map[string]any{"name": u.Name, "key": u.Key.String(), "hit": u.Hit})
		}
	}
	return steps
}

// ipynbOutputs returns what came out of a cell, in order; printed lines that follow each other are one output.
func ipynbOutputs(st *store.Store, r *run, n int) ([]any, error) {
	b := &builder{st: st, left: detailBytes}
	outputs := []any{}
	say := func(name, text string) {
		if len(outputs) > 0 {
			if last, ok := outputs[len(outputs)-1].(*stream); ok && last.Name == name {
				last.Text += text + "\n"
				return
			}
		}
		outputs = append(outputs, &stream{"stream", name, text + "\n"})
	}
	for _, e := range r.Events {
		if r.cellOf(e.Cell, e.Line) != n-1 {
			continue
		}
		switch e.Kind {
		case event.Print:
			say("stdout", e.Text)
		case event.Warn:
			say("stderr", e.Text)
		case event.StepFail:
			say("stderr", e.Text)
		case event.Note, event.Bar, event.Table, event.Plot, event.Sweep, event.Compare, event.Example:
			page, err := b.event(e)
			if err != nil {
				return nil, err
			}
			outputs = append(outputs, display{Type: "display_data", Data: map[string]string{
				"text/html": inert(string(page)), "text/plain": plainText(string(page)),
			}})
		}
	}
	return outputs, nil
}

var (
	htmlDrawing = regexp.MustCompile(`(?s)<svg.*?</svg>`)
	htmlTag     = regexp.MustCompile(`<[^>]*>`)
	htmlGap     = regexp.MustCompile(`\s*\n\s*`)
)

// plainText is what is left of a page's part where there is no HTML.
func plainText(page string) string {
	page = htmlDrawing.ReplaceAllString(page, "")
	page = strings.NewReplacer("</td>", "\t", "</th>", "\t", "</tr>", "\n", "</p>", "\n").Replace(page)
	page = htmlTag.ReplaceAllString(page, "")
	page = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(page)
	return strings.TrimSpace(htmlGap.ReplaceAllString(page, "\n"))
}
