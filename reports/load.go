package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/event"
	"starbook/runtime/notebook"
	"starbook/runtime/store"
)

// run is all that the store knows about a run, but for curves and samples.
type run struct {
	store.Run
	Uses     []use // distinct steps in order of first call
	Events   []event.Event
	Text     string // of the notebook
	Cells    []notebook.Cell
	Settings []setting
	Diff     string // of the working tree against the commit
}

// use is a step in a run. Of a failed one only the name and the error are known, of
// one that has begun and not ended its curves.
type use struct {
	store.Use
	Step   store.Step
	Done   bool
	AtWork bool            // somebody is at it
	Cut    bool            // left where it was, for its trial was pruned
	Far    *store.Progress // of one at work; nil: it does not say
}

// setting is a parameter of a notebook.
type setting struct {
	Name, Value, Default, Doc string
	Changed                   bool
}

// load reads the run that ref names.
func load(st *store.Store, ref string) (*run, error) {
	all, err := loadAll(st, []string{ref})
	if err != nil {
		return nil, err
	}
	r := all[0]
	if r.Diff, err = blobText(st, r.GitDirty); err != nil {
		return nil, fmt.Errorf("reports: run %s: diff: %w", r.ID, err)
	}
	if r.Events, err = st.Events(r.ID, 0, 0); err != nil {
		return nil, fmt.Errorf("reports: run %s: events: %w", r.ID, err)
	}
	r.markCut()
	r.addUnfinished()
	for i := range r.Uses {
		if p, ok := st.Progress(r.Uses[i].Key); ok && r.Uses[i].AtWork {
			r.Uses[i].Far = &p
		}
	}
	return r, nil
}

// told are the events that a page of many runs is made of.
var told = []event.Kind{event.Compare, event.StepStart, event.StepHit, event.StepDone, event.StepFail, event.StepCut}

// loadAll reads the runs that refs name, for a page of very many: without the diffs,
// and of the events only those that are told.
func loadAll(st *store.Store, refs []string) ([]*run, error) {
	var all []*run
	var ids []string
	heads, err := st.RunsOf(refs)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	for _, head := range heads {
		r := &run{Run: head}
		var err error
		if r.Settings, err = settings(head.Params); err != nil {
			return nil, fmt.Errorf("reports: run %s: params: %w", head.ID, err)
		}
		all, ids = append(all, r), append(ids, head.ID)
	}
	uses, err := st.UsesOf(ids)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	events, err := st.EventsOf(ids, told...)
	if err != nil {
		return nil, fmt.Errorf("reports: %w", err)
	}
	texts := map[cas.Digest]*run{} // the first run of each text
	for _, r := range all {
		r.setUses(uses[r.ID])
		r.Events = events[r.ID]
		r.markCut()
		if same := texts[r.Source]; same != nil {
			r.Text, r.Cells = same.Text, same.Cells
			continue
		}
		if r.Text, err = blobText(st, r.Source); err != nil {
			return nil, fmt.Errorf("reports: run %s: notebook: %w", r.ID, err)
		}
		r.Cells, texts[r.Source] = notebook.Cells(r.Text), r
	}
	return all, nil
}

// setUses takes the steps, in order; a step that was called twice counts once.
func (r *run) setUses(list []store.StepUse) {
	seen := map[cas.Digest]bool{}
	for _, u := range list {
		if !seen[u.Key] {
			seen[u.Key] = true
			r.Uses = append(r.Uses, use{Use: u.Use, Step: u.Step, Done: u.Done()})
		}
	}
}

// markCut marks the steps that were left for good: another run may have finished them since.
func (r *run) markCut() {
	cut := map[string]bool{}
	for _, e := range r.Events {
		switch e.Kind {
		case event.StepCut:
			cut[e.Step] = true
		case event.StepDone, event.StepHit: // by another trial in a notebook
			delete(cut, e.Step)
		}
	}
	for i := range r.Uses {
		if u := &r.Uses[i]; cut[u.Key.String()] {
			u.Cut, u.Done = true, false
		}
	}
}

// addUnfinished adds the steps that have begun and not ended, which have no row yet: of a
// run that goes on, or of one whose process died.
func (r *run) addUnfinished() {
	for _, e := range r.Events {
		if e.Kind != event.StepStart {
			continue
		}
		key, err := cas.Parse(e.Step)
		if _, known := r.find(e.Step); err != nil || known {
			continue
		}
		r.Uses = append(r.Uses, use{
			Use:    store.Use{Run: r.ID, Seq: len(r.Uses) + 1, Key: key, Name: e.Name, Cell: e.Cell, Line: e.Line},
			AtWork: r.Status == store.Running,
		})
	}
}

// blobText reads a blob as text; no digest and a blob that gc took are no text.
func blobText(st *store.Store, g cas.Digest) (string, error) {
	if g.IsZero() || !st.Blobs.Has(g) {
		return "", nil
	}
	b, err := st.Blobs.ReadAll(g)
	return string(b), err
}

// settings reads the params of a run, sorted by name.
func settings(raw json.RawMessage) ([]setting, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var params map[string]struct {
		Value, Default json.RawMessage
		Doc            string
	}
	if err := json.Unmarshal(raw, &params); err != nil {
		return nil, err
	}
	var out []setting
	for name, p := range params {
		s := setting{Name: name, Value: plainJSON(p.Value), Default: plainJSON(p.Default), Doc: p.Doc}
		s.Changed = s.Value != s.Default
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// plainJSON writes a JSON value for people: text without its quotes.
func plainJSON(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil && string(raw) != "null" {
		return s
	}
	return string(raw)
}

// title returns the first heading of the notebook, or its path.
func (r *run) title() string {
	for _, c := range r.Cells {
		if c.Markdown {
			if t, _ := heading(c.Text); t != "" {
				return t
			}
		}
	}
	return r.Notebook
}

// cellOf returns the index of the cell that an event or a step belongs to, or
// -1. The line decides; the number is for callers who know no line.
func (r *run) cellOf(number, line int) int {
	for i, c := range r.Cells {
		if line > 0 && c.Start <= line && line <= c.End || line <= 0 && c.Number == number {
			return i
		}
	}
	return -1
}

// find returns the use of the step with this fingerprint in hex.
func (r *run) find(key string) (use, bool) {
	for _, u := range r.Uses {
		if u.Key.String() == key {
			return u, true
		}
	}
	return use{}, false
}

// comparisons returns what the run's compare events say, in order; questions
// about forgetting are others.
func (r *run) comparisons() []event.CompareData {
	var out []event.CompareData
	for _, e := range r.Events {
		var c event.CompareData
		if e.Kind == event.Compare && json.Unmarshal(e.Data, &c) == nil && c.Margin == 0 {
			out = append(out, c)
		}
	}
	return out
}

// scores returns the summaries of the run's evaluations, in order.
func (r *run) scores() []scored {
	var out []scored
	for _, u := range r.Uses {
		if s, ok := u.scored(); ok {
			out = append(out, s)
		}
	}
	return out
}
