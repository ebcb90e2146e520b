// Package event is the vocabulary of what happens in a run: the same flat
// struct is a row of the store, a line on the console and a message of the
// live page.
package event

import (
	"encoding/json"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds. Metric and Progress are for live sinks; the store keeps metrics
// as series and does not keep progress.
const (
	RunStart  Kind = "run.start"
	RunDone   Kind = "run.done"   // Text is the error, if any
	StepStart Kind = "step.start" // Name is the built-in
	StepHit   Kind = "step.hit"   // Value is the seconds that the hit saved, Data {"usd": …} what it would have cost
	StepDone  Kind = "step.done"  // Value is the seconds that it took, Data {"usd": …} what it cost
	StepFail  Kind = "step.fail"  // Text is the error, Data the arguments
	StepCut   Kind = "step.cut"   // left where it is, for its trial is pruned: Text says why
	Print     Kind = "print"      // Text is the line
	Warn      Kind = "warn"       // Text says what and what to do
	Log       Kind = "log"        // Text is a line a step wants kept: an early-stopping decision
	Note      Kind = "note"       // Text is Markdown, shown in the report
	Table     Kind = "table"      // Data is a reports table
	Plot      Kind = "plot"       // Data is a reports plot
	Example   Kind = "example"    // Data is a training example as the model sees it
	Compare   Kind = "compare"    // Data is a comparison of two evaluations
	Sweep     Kind = "sweep"      // Data is what the trials of a sweep came to
	Bar       Kind = "bar"        // an assert_: Name is the message, Value 1 or 0
	Metric    Kind = "metric"     // Name, X, Value
	Progress  Kind = "progress"   // X of Value done, Text beside the bar
)

// Event is one thing that happened in a run.
type Event struct {
	ID    int64           `json:"id,omitempty"` // row in the store, growing
	Run   string          `json:"run"`
	Step  string          `json:"step,omitempty"` // fingerprint in hex, if a step is meant
	Time  time.Time       `json:"time"`
	Kind  Kind            `json:"kind"`
	Name  string          `json:"name,omitempty"`
	Cell  int             `json:"cell,omitempty"` // number of the cell, from 1
	Line  int             `json:"line,omitempty"` // in the notebook, from 1
	X     int64           `json:"x,omitempty"`
	Value float64         `json:"value,omitempty"`
	Text  string          `json:"text,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Sink takes events. Emit must not block for long and is safe for use by many
// goroutines.
type Sink interface {
	Emit(Event)
}

// Tee sends every event to several sinks, in order.
type Tee []Sink

// Emit implements Sink.
func (t Tee) Emit(e Event) {
	for _, s := range t {
		s.Emit(e)
	}
}
