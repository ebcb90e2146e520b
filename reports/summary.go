package reports

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// scored is the summary of an evaluation. N, Passed and the interval are of the
// items that count.
type scored struct {
	N           int                `json:"n"`
	Passed      int                `json:"passed"`
	Low         float64            `json:"low"`
	High        float64            `json:"high"`
	MDE         float64            `json:"mde"`
	Items       int                `json:"items"`
	Clusters    int                `json:"clusters"`
	Outcomes    map[string]int     `json:"outcomes"`
	Leaked      int                `json:"leaked"`
	Leaks       map[string]int     `json:"leaks"`
	Selected    bool               `json:"selected"`
	Twins       int                `json:"twins"`
	AllowLeak   bool               `json:"allow_leak"`
	TrainedRows int                `json:"trained_rows"`
	AllN        int                `json:"all_n"`
	AllPassed   int                `json:"all_passed"`
	CleanN      int                `json:"clean_n"`
	CleanPassed int                `json:"clean_passed"`
	PassAt      map[string]float64 `json:"pass_at"`
	AccNorm     *float64           `json:"acc_norm"`
	AccNormLow  float64            `json:"acc_norm_low"`
	AccNormHigh float64            `json:"acc_norm_high"`
	Model       string             `json:"model"`
	Grader      string             `json:"grader"`
	Template    string             `json:"template"`
	Rendered    string             `json:"rendered"`
	Key         string             `json:"-"` // fingerprint in hex
}

// scored returns the evaluation that u is, if it is one.
func (u use) scored() (scored, bool) {
	var s scored
	if !u.Done || u.Step.Kind != "scores" || json.Unmarshal(u.Step.Summary, &s) != nil || s.N <= 0 && s.Leaked == 0 {
		return scored{}, false
	}
	s.Key = u.Key.String()
	return s, true
}

// rate returns the pass rate as a fraction of 1, NaN if no item counts.
func (s scored) rate() float64 { return float64(s.Passed) / float64(s.N) }

// interval returns the 95 % interval of the rate: the step's, which knows of
// items that are not independent.
func (s scored) interval() (low, high float64) {
	if s.High > s.Low {
		return s.Low, s.High
	}
	return wilson(s.Passed, s.N)
}

// trained is the summary of a training.
type trained struct {
	BestStep     *float64 `json:"best_step"`
	BestEvalLoss *float64 `json:"best_eval_loss"`
	StoppedStep  *float64 `json:"stopped_step"`
	Stopped      string   `json:"stopped"` // "patience" or "end"
	Patience     int      `json:"patience"`
	EvalSteps    int      `json:"eval_steps"`
	Decisions    []string `json:"decisions"`
}

// trained returns the training that u is, if it is one.
func (u use) trained() (trained, bool) {
	var t trained
	if !u.Done || json.Unmarshal(u.Step.Summary, &t) != nil || t.StoppedStep == nil {
		return trained{}, false
	}
	return t, true
}

// fact is a small thing to know about a step.
type fact struct{ Name, Value string }

// Summary keys that are told elsewhere, and the words for others.
var (
	toldElsewhere = map[string]bool{
		"decisions": true, "cost_usd": true, "n": true, "passed": true, "pass_rate": true, "outcomes": true,
		"items": true, "low": true, "high": true, "mde": true, "clusters": true, "leaked": true, "leaks": true, "selected": true, "twins": true, "allow_leak": true, "trained_rows": true,
		"all_n": true, "all_passed": true, "all_rate": true, "clean_n": true, "clean_passed": true, "clean_rate": true, "clean_low": true, "clean_high": true,
		"pass_at": true, "acc_norm": true, "acc_norm_low": true, "acc_norm_high": true, "template": true, "rendered": true, "grader_version": true,
		"best_step": true, "best_eval_loss": true, "stopped_step": true, "stopped": true, "patience": true,
	}
	factOrder = []string{"model", "grader", "teacher", "rows", "asked", "from_ledger", "rejected", "input_tokens", "output_tokens", "trainable", "epochs", "tokens", "eval_steps", "retained", "error", "tensors"}
	factWords = map[string]string{
		"eval_steps": "evaluated every", "trainable": "trainable parameters", "from_ledger": "already paid for",
		"input_tokens": "tokens in", "output_tokens": "tokens out",
	}
)

// facts returns the scalars of a step's summary: known ones in a fixed order,
// then the others by name.
func (u use) facts() []fact {
	var m map[string]any
	if !u.Done || json.Unmarshal(u.Step.Summary, &m) != nil {
		return nil
	}
	var names []string
	for k := range m {
		told := toldElsewhere[k] || k == "score" && u.Step.Kind == "scores"
		if !told || u.Step.Kind == "dataset" && k == "n" {
			names = append(names, k)
		}
	}
	rank := func(k string) int {
		if i := slices.Index(factOrder, k); i >= 0 {
			return i
		}
		return len(factOrder)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var out []fact
	for _, k := range names {
		if v, ok := scalar(k, m[k]); ok {
			word := factWords[k]
			if word == "" {
				word = strings.ReplaceAll(k, "_", " ")
			}
			out = append(out, fact{word, v})
		}
	}
	return out
}

// scalar writes the value of a summary key, if it is small.
func scalar(key string, v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return clip(v, 80), v != ""
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v], true
	case float64:
		switch key {
		case "retained":
			return percent(v), true
		case "eval_steps":
			return plural(int64(v), "update"), true
		case "bytes":
			return bytesize(int64(v)), true
		}
		return number(v), true
	case map[string]any:
		return tally(v)
	case []any:
		var words []string
		for _, x := range v {
			if w, ok := x.(string); ok {
				words = append(words, w)
			}
		}
		return clip(strings.Join(words, ", "), 80), len(words) > 0
	}
	return "", false
}

// tally writes an object of numbers: fail 400, pass 812.
func tally(m map[string]any) (string, bool) {
	var keys []string
	for k, v := range m {
		if _, ok := v.(float64); !ok {
			return "", false
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if len(keys) > 8 {
		keys = keys[:8]
	}
	for i, k := range keys {
		keys[i] = clip(k, 30) + " " + number(m[k].(float64))
	}
	return strings.Join(keys, ", "), len(keys) > 0
}

// costs is what steps took and what the cache saved.
type costs struct {
	Seconds, USD           float64 // of the steps that this run computed
	SavedSeconds, SavedUSD float64 // of the steps that it found done
	Hits, Steps            int
}

// costs adds up the steps of the run.
func (r *run) costs() costs {
	var c costs
	for _, u := range r.Uses {
		c.Steps++
		switch {
		case u.Hit:
			c.Hits++
			c.SavedSeconds += max(0, u.Step.Seconds-u.Seconds)
			c.SavedUSD += u.Step.CostUSD
			c.Seconds += u.Seconds
		default:
			c.Seconds += u.Seconds
			c.USD += u.Step.CostUSD
		}
	}
	return c
}

// bestLoss returns the lowest evaluation loss of the run's trainings, or NaN.
func (r *run) bestLoss() float64 {
	best := math.NaN()
	for _, u := range r.Uses {
		if t, ok := u.trained(); ok && t.BestEvalLoss != nil && !(best <= *t.BestEvalLoss) {
			best = *t.BestEvalLoss
		}
	}
	return best
}
