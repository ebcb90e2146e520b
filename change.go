package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// change is an argument of a step that differs from that of an earlier one.
type change struct {
	Arg  string `json:"arg"`
	Old  string `json:"old,omitempty"` // "": there was none
	New  string `json:"new,omitempty"`
	Line int    `json:"line,omitempty"` // where it stands
	Open bool   `json:"open,omitempty"` // New is not known before other steps have run
}

// String says lr: 0.1 → 0.2 (line 40).
func (c change) String() string {
	text := c.Arg + ": "
	switch {
	case c.Old == "":
		text += "new, " + c.New
	case c.New == "":
		text += "was " + c.Old + ", now not given"
	default:
		text += c.Old + " → " + c.New
	}
	if c.Line > 0 {
		text += fmt.Sprintf(" (line %d)", c.Line)
	}
	return text
}

// changes returns the arguments in which a step with args differs from an earlier one,
// sorted by name. What only one has is left out if partial: then args are those of a call
// that does several steps.
func changes(st *store.Store, old, args json.RawMessage, partial bool) []change {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(old, &a) != nil || json.Unmarshal(args, &b) != nil {
		return nil
	}
	var out []change
	for _, name := range keys(a, b) {
		x, inOld := a[name]
		y, inNew := b[name]
		what, open := pending(y)
		switch {
		case partial && !open && (!inOld || !inNew), inOld && inNew && string(x) == string(y):
			continue
		case open:
			out = append(out, change{Arg: name, Old: words(st, x), New: "what comes out of " + what, Open: true})
		default:
			out = append(out, change{Arg: name, Old: words(st, x), New: words(st, y)})
		}
	}
	return out
}

// pending says whether a value holds what is not known yet, and what that is.
func pending(raw json.RawMessage) (what string, open bool) {
	_, rest, open := strings.Cut(string(raw), `{"unknown":"`)
	what, _, _ = strings.Cut(rest, `"`)
	what, _, _ = strings.Cut(what, " #") // the plan's own number of the step
	return what, open
}

// words writes a canonical value for people: artifacts by what made them.
func words(st *store.Store, raw json.RawMessage) string {
	var tagged struct {
		Kind     string      `json:"kind"`
		Digest   *cas.Digest `json:"digest"`
		File     *cas.Digest `json:"file"`
		Function *cas.Digest `json:"function"`
		Grader   string      `json:"grader"`
		Version  string      `json:"version"`
	}
	if json.Unmarshal(raw, &tagged) == nil {
		switch {
		case tagged.Digest != nil && tagged.Kind != "":
			by := ""
			if step, err := st.StepByOutput(*tagged.Digest); err == nil {
				by = " of " + step.Name
			}
			return fmt.Sprintf("%s %s%s", tagged.Kind, tagged.Digest.Short(), by)
		case tagged.File != nil:
			return "a file with the bytes " + tagged.File.Short()
		case tagged.Function != nil:
			return "function " + tagged.Function.Short()
		case tagged.Grader != "":
			return fmt.Sprintf("grader %s %.40s", tagged.Grader, tagged.Version)
		}
	}
	text := []rune(string(raw))
	if len(text) > 60 {
		return string(text[:57]) + "…"
	}
	return string(text)
}

// reason is why a step runs: how it differs from the earlier one that is nearest to it.
type reason struct {
	Since   *store.Past  `json:"since,omitempty"` // nil: none is near
	Changes []change     `json:"changes,omitempty"`
	Version [2]int       `json:"version,omitzero"` // of the built-in's code, if that changed
	like    []store.Past // those as near as Since, for what to expect
}

// wanted is the step whose reason is looked for.
type wanted struct {
	notebook string
	version  int // 0: not known
	line     int
	args     json.RawMessage
	partial  bool
	lines    map[string]int // of the arguments; else line
}

// nearest finds the earlier step that differs least, of the same notebook if there is one,
// then by how far the lines are apart.
func nearest(st *store.Store, w wanted, past []store.Past) reason {
	type candidate struct {
		store.Past
		changes []change
		rank    [3]int
	}
	var all []candidate
	for _, p := range past {
		c := candidate{Past: p, changes: changes(st, p.Args, w.args, w.partial)}
		for _, x := range c.changes {
			if !x.Open {
				c.rank[1]++
			}
		}
		if p.Notebook != w.notebook {
			c.rank[0] = 1
		}
		if c.rank[2] = p.Line - w.line; c.rank[2] < 0 {
			c.rank[2] = -c.rank[2]
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return reason{}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return slices.Compare(a.rank[:], b.rank[:]) })
	best := all[0]
	r := reason{Since: &best.Past, Changes: best.changes}
	for i, c := range r.Changes {
		if r.Changes[i].Line = w.lines[c.Arg]; r.Changes[i].Line == 0 {
			r.Changes[i].Line = w.line
		}
	}
	if w.version != 0 && w.version != best.Version {
		r.Version = [2]int{best.Version, w.version}
	}
	for _, c := range all {
		if c.rank[0] == best.rank[0] && c.rank[1] == best.rank[1] {
			r.like = append(r.like, c.Past)
		}
	}
	return r
}

// lines says why in words.
func (r reason) lines() []string {
	if r.Since == nil {
		return []string{"no earlier step of this name"}
	}
	var out []string
	if r.Version != [2]int{} {
		out = append(out, fmt.Sprintf("starbook's own code: version %d → %d", r.Version[0], r.Version[1]))
	}
	open := 0
	for _, c := range r.Changes {
		if c.Open {
			open++ // the steps on which it depends say so
			continue
		}
		out = append(out, c.String())
	}
	switch {
	case len(out) == 0 && open > 0:
		return nil
	case len(out) == 0:
		return []string{"its bytes are gone, or it is to be done afresh"}
	}
	out[0] += ", since run " + r.Since.Run
	return out
}
