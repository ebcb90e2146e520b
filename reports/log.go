package reports

import (
	"fmt"
	"strings"

	"starbook/runtime/event"
	"starbook/runtime/store"
)

// logPage is what happened in a run, line by line.
type logPage struct {
	store.Run
	Lines []logLine
	Left  int // earlier lines that the page leaves out
}

// logLine is an event as a line.
type logLine struct {
	Time, Kind, Name, Text string
	Cell                   int
}

// How much of a log a page shows.
const (
	logLines = 2000
	logText  = 2000 // characters of a line
)

// Log makes the page of what happened in a run, the latest last.
func Log(st *store.Store, ref string) (Page, error) {
	head, err := st.Run(ref)
	if err != nil {
		return Page{}, fmt.Errorf("reports: run %s: %w", ref, err)
	}
	events, err := st.Events(head.ID, 0, 0)
	if err != nil {
		return Page{}, fmt.Errorf("reports: run %s: events: %w", head.ID, err)
	}
	v := logPage{Run: head, Left: max(0, len(events)-logLines)}
	for _, e := range events[v.Left:] {
		v.Lines = append(v.Lines, lineOf(e))
	}
	body, err := new(builder).render("log", v)
	return Page{Title: "Log of run " + head.ID, Body: body}.inert(), err
}

// lineOf writes an event for people.
func lineOf(e event.Event) logLine {
	l := logLine{Time: e.Time.UTC().Format("15:04:05.0"), Kind: string(e.Kind), Name: e.Name, Cell: e.Cell, Text: clip(strings.TrimSpace(e.Text), logText)}
	switch e.Kind {
	case event.StepHit:
		l.Text = "saved " + seconds(e.Value)
	case event.StepDone, event.StepFail, event.StepCut:
		l.Text = strings.TrimSpace(seconds(e.Value) + " " + l.Text)
	case event.Bar:
		l.Text = map[bool]string{true: "met", false: "not met"}[e.Value != 0]
	}
	return l
}
