package event

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Console shows a run to a person: one line for each thing that happened and,
// on a terminal, a live region below them with the steps at work.
type Console struct {
	Terminal bool       // draw the live region
	Color    bool       // use ANSI colours
	Brief    bool       // no lines for steps that go well, nor for what they log
	Width    func() int // columns of the terminal; nil: 80

	mu    sync.Mutex // all below
	w     io.Writer
	live  []*working
	drawn int       // lines of the live region on the screen
	last  time.Time // of the last drawing, or of the last plain progress line
}

// working is a step that has started and not ended.
type working struct {
	step, name  string
	start       time.Time
	done, total float64
	text        string
	loss        []float64 // recent training losses, for the sparkline
	rate        float64   // tokens a second
}

// How often progress is shown: often enough to look alive on a terminal,
// seldom enough to keep a log short.
const (
	redraw    = 100 * time.Millisecond
	plainLine = 10 * time.Second
	liveLines = 6
)

// NewConsole returns a Console that writes plain lines to w.
func NewConsole(w io.Writer) *Console { return &Console{w: w} }

// Emit implements Sink.
func (c *Console) Emit(e Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case Progress, Metric:
		c.update(e)
		return
	case StepStart:
		c.live = append(c.live, &working{step: e.Step, name: e.Name, start: e.Time})
	case StepDone, StepFail, StepCut:
		c.live = slices.DeleteFunc(c.live, func(w *working) bool { return w.step == e.Step })
	}
	c.erase()
	if line := c.line(e); line != "" {
		fmt.Fprintln(c.w, line)
	}
	c.draw()
}

// Close removes the live region.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = nil
	c.erase()
}

// update notes how far a step is and shows it when it is time.
func (c *Console) update(e Event) {
	i := slices.IndexFunc(c.live, func(w *working) bool { return w.step == e.Step })
	if i < 0 {
		return
	}
	w := c.live[i]
	switch {
	case e.Kind == Progress:
		w.done, w.total, w.text = float64(e.X), e.Value, e.Text
	case e.Name == "train/loss":
		w.loss = append(w.loss, e.Value)
		w.loss = w.loss[max(0, len(w.loss)-24):]
	case e.Name == "train/tokens_per_second":
		w.rate = e.Value
	}
	every := plainLine
	if c.Terminal {
		every = redraw
	}
	if c.last.IsZero() {
		c.last = w.start
	}
	if e.Time.Sub(c.last) < every {
		return
	}
	c.last = e.Time
	if c.Terminal {
		c.erase()
		c.draw()
		return
	}
	fmt.Fprintln(c.w, "  … "+w.describe(e.Time))
}

// line renders an event that stays on the screen; "" if it has none.
func (c *Console) line(e Event) string {
	short := e.Step
	if len(short) > 4 {
		short = short[:4]
	}
	row := func(mark, state string, seconds float64, rest string) string {
		s := fmt.Sprintf("%s %-20s %s  %-4s %7s", mark, e.Name, c.paint(dim, short), state, Seconds(seconds))
		if rest != "" {
			s += "  " + rest
		}
		return s
	}
	if c.Brief && (e.Kind == StepHit || e.Kind == StepDone || e.Kind == StepCut || e.Kind == Log) {
		return ""
	}
	switch e.Kind {
	case StepHit:
		var saved []string
		if e.Value >= 1 {
			saved = append(saved, Seconds(e.Value))
		}
		if usd := cost(e); usd != "" {
			saved = append(saved, usd)
		}
		rest := ""
		if len(saved) > 0 {
			rest = "(saved " + strings.Join(saved, ", ") + ")"
		}
		return row(c.paint(green, "✓"), "hit", 0, rest)
	case StepDone:
		return row(c.paint(green, "✓"), "run", e.Value, cost(e))
	case StepFail:
		why := e.Text
		if step, cause, ok := strings.Cut(why, "): "); ok && strings.Contains(step, " (step ") {
			why = cause // the row names the step
		}
		return row(c.paint(red, "✗"), "fail", e.Value, firstLine(why))
	case StepCut:
		return row(c.paint(dim, "–"), "cut", e.Value, firstLine(e.Text))
	case Print:
		return printable(e.Text)
	case Log:
		return c.paint(dim, "  "+printable(e.Text))
	case Warn:
		return c.paint(yellow, "! ") + printable(e.Text)
	case Bar:
		if e.Value == 1 {
			return c.paint(green, "✓") + " bar met: " + printable(e.Name)
		}
		return c.paint(red, "✗") + " bar not met: " + printable(e.Name)
	case Compare:
		return printable(e.Text)
	case Example:
		return c.example(e)
	case Table:
		return tableText(e.Data)
	}
	return ""
}

// cost is what a step cost or would have cost, "" if that is nothing.
func cost(e Event) string {
	var d struct{ USD float64 }
	if json.Unmarshal(e.Data, &d) != nil || d.USD == 0 {
		return ""
	}
	return fmt.Sprintf("$%.2f", d.USD)
}

// example shows what is learnt in green, or in brackets where there is no colour.
func (c *Console) example(e Event) string {
	var d ExampleData
	if json.Unmarshal(e.Data, &d) != nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(printable(d.Title) + "\n")
	for _, p := range d.Parts {
		text := printable(p.Text)
		switch {
		case !p.Trained:
			b.WriteString(c.paint(dim, text))
		case c.Color:
			b.WriteString(c.paint(green, text))
		default:
			b.WriteString("⟦" + text + "⟧")
		}
	}
	return b.String()
}

func (c *Console) erase() {
	if c.drawn > 0 {
		fmt.Fprintf(c.w, "\x1b[%dA\x1b[J", c.drawn)
		c.drawn = 0
	}
}

func (c *Console) draw() {
	if !c.Terminal {
		return
	}
	width := 80
	if c.Width != nil {
		width = max(20, c.Width())
	}
	for i, w := range c.live {
		if i == liveLines {
			break
		}
		fmt.Fprintln(c.w, clip("▸ "+w.describe(time.Now()), width-1))
		c.drawn++
	}
}

// describe says what the step is at: name, bar, counts, loss, speed, time left.
func (w *working) describe(now time.Time) string {
	s := fmt.Sprintf("%-18s", w.name)
	spent := now.Sub(w.start).Seconds()
	if w.total > 0 {
		part := min(1, w.done/w.total)
		s += " " + gauge(part, 16) + fmt.Sprintf(" %.0f/%.0f", w.done, w.total)
		if part > 0 && part < 1 && spent > 2 {
			s += "  " + Seconds(spent/part-spent) + " left"
		}
	} else if spent > 1 {
		s += " " + Seconds(spent)
	}
	if w.text != "" {
		s += "  " + printable(w.text)
	}
	if n := len(w.loss); n > 0 {
		s += fmt.Sprintf("  loss %.4f %s", w.loss[n-1], sparkline(w.loss))
	}
	if w.rate > 0 {
		s += fmt.Sprintf("  %.0f tok/s", w.rate)
	}
	return s
}

// gauge draws part (0 to 1) as a bar of n columns, in eighths of a column.
func gauge(part float64, n int) string {
	eighths := int(part * float64(n) * 8)
	s := strings.Repeat("█", eighths/8)
	if r := eighths % 8; r > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[r-1])
	}
	return s + strings.Repeat("·", n-utf8.RuneCountInString(s))
}

// sparkline draws the values as one row of blocks between their extremes.
func sparkline(v []float64) string {
	lo, hi := slices.Min(v), slices.Max(v)
	blocks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, x := range v {
		i := 0
		if hi > lo {
			i = int((x - lo) / (hi - lo) * 7.999)
		}
		b.WriteRune(blocks[min(max(i, 0), 7)]) // a NaN lands on the floor
	}
	return b.String()
}

// Seconds writes a duration as people say it: 0.4s, 38s, 12m04s, 3h07m.
func Seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1fs", s)
	case s < 60:
		return fmt.Sprintf("%.0fs", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%dh%02dm", int(s)/3600, int(s)/60%60)
}

type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	dim    colour = "2"
)

func (c *Console) paint(col colour, s string) string {
	if !c.Color || s == "" {
		return s
	}
	return "\x1b[" + string(col) + "m" + s + "\x1b[0m"
}

// printable makes hostile text harmless to a terminal: model output may hold
// escape sequences.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '\ufffd'
		}
		return r
	}, s)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return printable(s)
}

// clip cuts s to n columns, counting every rune as one.
func clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
