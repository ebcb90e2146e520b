package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// seriesFunc returns the series of a step.
type seriesFunc func(cas.Digest) []store.Series

// seriesOf reads the series of all runs when the first is asked for; if it cannot, there
// are none.
func seriesOf(st *store.Store, all []*run) seriesFunc {
	read := sync.OnceValue(func() map[cas.Digest][]store.Series {
		var keys []cas.Digest
		seen := map[cas.Digest]bool{}
		for _, r := range all {
			for _, u := range r.Uses {
				if !seen[u.Key] {
					seen[u.Key] = true
					keys = append(keys, u.Key)
				}
			}
		}
		out, err := st.SeriesOf(keys)
		if err != nil {
			return nil
		}
		return out
	})
	return func(key cas.Digest) []store.Series { return read()[key] }
}

// values returns what the run has under a name of a condition: a fact of the run itself,
// a param, a fact of its steps, or a series' last value.
func (r *run) values(name string, series seriesFunc) []any {
	switch name {
	case "id":
		return []any{r.ID}
	case "status":
		return []any{string(r.Status)}
	case "notebook":
		return []any{r.Notebook}
	case "sweep":
		return []any{r.Sweep}
	case "trial":
		return []any{float64(r.Trial)}
	case "error":
		return []any{r.Error}
	case "commit":
		return []any{r.GitCommit}
	case "seconds":
		return []any{r.took()}
	case "steps":
		return []any{float64(len(r.Uses))}
	case "hits":
		return []any{float64(r.costs().Hits)}
	case "usd":
		return []any{r.costs().USD}
	case "tag":
		var out []any
		for _, t := range r.Tags {
			out = append(out, t)
		}
		return out
	}
	for _, s := range r.Settings {
		if s.Name == strings.TrimPrefix(name, "params.") {
			if s.Value == "true" || s.Value == "false" {
				return []any{s.Value == "true"}
			}
			return []any{value(s.Value)}
		}
	}
	if v, ok := r.fact(name); ok {
		return []any{v}
	}
	return r.metric(name, series)
}

// factsOfRun are the names that every run knows.
var factsOfRun = []string{"id", "status", "notebook", "sweep", "trial", "error", "commit", "seconds", "steps", "hits", "usd", "tag"}

// fact returns the fact of the last step that has it: pass_rate, or eval.run.pass_rate.
func (r *run) fact(name string) (any, bool) {
	for _, u := range slices.Backward(r.Uses) {
		word := name
		if rest, ok := strings.CutPrefix(name, u.Name+"."); ok {
			word = rest
		}
		if strings.ContainsAny(word, "./") || !u.Done || !strings.Contains(string(u.Step.Summary), `"`+word+`"`) {
			continue
		}
		var facts map[string]any
		if json.Unmarshal(u.Step.Summary, &facts) != nil {
			continue
		}
		switch v := facts[word].(type) {
		case float64, string, bool:
			return v, true
		}
	}
	return nil, false
}

// metric returns the last value of the run's series of that name, one for each step, or
// the smallest or greatest with .min or .max behind the name.
func (r *run) metric(name string, series seriesFunc) []any {
	word, which := name, ""
	for _, w := range []string{".min", ".max"} {
		if rest, ok := strings.CutSuffix(name, w); ok {
			word, which = rest, w
		}
	}
	var out []any
	for _, u := range r.Uses {
		for _, s := range series(u.Key) {
			if s.Name != word {
				continue
			}
			switch which {
			case ".min":
				out = append(out, s.Min)
			case ".max":
				out = append(out, s.Max)
			default:
				out = append(out, s.Last)
			}
		}
	}
	return out
}

// unknown says which names of the condition no run knows, and which there are.
func unknown(names []string, met map[string]bool, all []*run) string {
	for _, name := range names {
		if met[name] || slices.Contains(factsOfRun, name) {
			continue
		}
		known := slices.Clone(factsOfRun)
		for _, r := range all[:min(len(all), 50)] {
			for _, s := range r.Settings {
				known = append(known, s.Name)
			}
		}
		slices.Sort(known)
		known = slices.Compact(known)
		return fmt.Sprintf("no run has “%s”: there are %s, facts such as eval.run.pass_rate, metrics such as eval/loss", name, strings.Join(known[:min(len(known), 40)], ", "))
	}
	return ""
}
