package model

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// LoRA says what an adapter is like, in PEFT's terms. Modules are named as in
// the model: "model.layers.0.self_attn.q_proj". A list names a module by its
// whole name or by the end of it behind a dot, "q_proj"; an expression must
// match the whole name.
type LoRA struct {
	Rank    int
	Alpha   float64
	Dropout float64  // probability that an input of A is dropped in training
	Targets []string // a list, or just "all-linear": all but lm_head
	Match   string   // an expression, in place of Targets
	Exclude []string // a list: not these
	Except  string   // an expression, in place of Exclude
	RSLoRA  bool     // scale by 1/sqrt(Rank) instead of 1/Rank
	Seed    uint64   // of A, and of dropout
	Init    string   // of A and B, and of the base: "", or PiSSA

	// Ranks and Alphas are for single modules: keys are expressions that match
	// a name, or its end behind a dot. The first in the order of keys counts.
	Ranks  map[string]int
	Alphas map[string]float64

	// Save names modules that an adapter brings along whole, in place of the
	// base's. They are read, used and merged, not trained.
	Save []string
}

// module is a projection that an adapter targets.
type module struct {
	name    string
	out, in int
	layer   int // -1: lm_head
	proj    int
	rank    int
	scale   float32 // of B·A
}

// Check returns an error that names the first number that makes no sense.
func (l LoRA) Check() error {
	switch {
	case l.Rank <= 0:
		return fmt.Errorf("r is %d: it must be positive", l.Rank)
	case !(l.Alpha > 0) || math.IsInf(l.Alpha, 0):
		return fmt.Errorf("alpha is %g: it must be positive", l.Alpha)
	case !(l.Dropout >= 0 && l.Dropout < 1):
		return fmt.Errorf("dropout is %g: it must be at least 0 and below 1", l.Dropout)
	case len(l.Targets) == 0 && l.Match == "":
		return fmt.Errorf(`no target modules: name some, such as "q_proj" and "v_proj", or "all-linear"`)
	case l.Init != "" && l.Init != PiSSA:
		return fmt.Errorf("init is %q: it may be %q", l.Init, PiSSA)
	case l.Init == PiSSA && l.RSLoRA && len(l.Ranks)+len(l.Alphas) > 0:
		return fmt.Errorf("pissa cannot be saved for the whole base with rslora and patterns: leave one of them out")
	case len(l.Targets) > 0 && l.Match != "" || len(l.Exclude) > 0 && l.Except != "":
		return fmt.Errorf("modules are named by a list or by an expression, not by both")
	}
	for key, rank := range l.Ranks {
		if rank <= 0 {
			return fmt.Errorf("r of %q is %d: it must be positive", key, rank)
		}
	}
	for key, alpha := range l.Alphas {
		if !(alpha > 0) || math.IsInf(alpha, 0) {
			return fmt.Errorf("alpha of %q is %g: it must be positive", key, alpha)
		}
	}
	return nil
}

// modules returns the targeted projections in torch's module order.
func (l LoRA) modules(cfg Config) ([]module, error) {
	if err := l.Check(); err != nil {
		return nil, fmt.Errorf("lora: %w", err)
	}
	targets, err := newMatcher(l.Targets, l.Match)
	if err != nil {
		return nil, err
	}
	exclude, err := newMatcher(l.Exclude, l.Except)
	if err != nil {
		return nil, err
	}
	var found []module
	for _, m := range cfg.linears() {
		if !targets.hit(m.name) && !(m.layer >= 0 && targets.named("all-linear")) || exclude.hit(m.name) || l.barred(m.name) {
			continue
		}
		if m.rank, m.scale, err = l.size(m.name); err != nil {
			return nil, err
		}
		found = append(found, m)
	}
	if unused := targets.unused(); unused != "" {
		return nil, fmt.Errorf("lora: target %q names no projection: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj and lm_head exist", unused)
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("lora: no projection is left: targets %q, excluded %q", asked(l.Match, l.Targets), asked(l.Except, l.Exclude))
	case cfg.Tied && found[len(found)-1].layer < 0:
		return nil, fmt.Errorf("lora: target lm_head is tied to the embedding table of this model: leave it out, or untie the model first")
	}
	return found, nil
}

// asked is for messages: an expression, or else a list.
func asked(expr string, list []string) any {
	if expr != "" {
		return expr
	}
	return list
}

// linears returns all projections in torch's module order.
func (c Config) linears() []module {
	var all []module
	for layer := range c.Layers {
		for p := range projections {
			out, in := c.projDims(p)
			all = append(all, module{name: layerName(layer, projNames[p]), out: out, in: in, layer: layer, proj: p})
		}
	}
	return append(all, module{name: "lm_head", out: c.Vocab, in: c.Hidden, layer: -1})
}

// saves reports whether a module, or one that it is part of, is brought along
// whole. PEFT compares the ends of names, without a dot: "norm" means every
// norm, input_layernorm too.
func (l LoRA) saves(name string) bool {
	for ; name != ""; name = name[:max(0, strings.LastIndex(name, "."))] {
		if slices.ContainsFunc(l.Save, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return true
		}
	}
	return false
}

// barred reports whether a module gets no adapter because of l.Save. Here PEFT
// compares whole parts of names.
func (l LoRA) barred(name string) bool {
	return slices.ContainsFunc(l.Save, func(s string) bool { return strings.Contains("."+name+".", "."+s+".") })
}

// size returns the rank and the scale of B·A of a module.
func (l LoRA) size(name string) (rank int, scale float32, err error) {
	rank, err = lookUp(l.Ranks, name, l.Rank)
	if err != nil {
		return 0, 0, err
	}
	alpha, err := lookUp(l.Alphas, name, l.Alpha)
	if err != nil {
		return 0, 0, err
	}
	if l.RSLoRA {
		return rank, float32(alpha / math.Sqrt(float64(rank))), nil
	}
	return rank, float32(alpha / float64(rank)), nil
}

// lookUp returns the value of the first key that matches name.
func lookUp[V any](patterns map[string]V, name string, other V) (V, error) {
	for _, key := range slices.Sorted(maps.Keys(patterns)) {
		expr, err := compile(`(?:.*\.)?(?:` + key + `)`)
		if err != nil {
			return other, err
		}
		if expr.MatchString(name) {
			return patterns[key], nil
		}
	}
	return other, nil
}

// matcher tells which modules a list or an expression means.
type matcher struct {
	names []string
	used  []bool
	expr  *regexp.Regexp
}

func newMatcher(names []string, expr string) (*matcher, error) {
	m := &matcher{names: names, used: make([]bool, len(names))}
	var err error
	if expr != "" {
		m.expr, err = compile(expr)
	}
	return m, err
}

// compile compiles an expression that must match a whole name.
func compile(expr string) (*regexp.Regexp, error) {
	r, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		return nil, fmt.Errorf("lora: expression %q: %w: look-around and back references are not implemented here", expr, err)
	}
	return r, nil
}

// hit reports whether name is meant.
func (m *matcher) hit(name string) bool {
	if m.expr != nil {
		return m.expr.MatchString(name)
	}
	hit := false
	for i, n := range m.names {
		if name == n || strings.HasSuffix(name, "."+n) {
			hit, m.used[i] = true, true
		}
	}
	return hit
}

// named reports whether the list has this very entry.
func (m *matcher) named(entry string) bool {
	i := slices.Index(m.names, entry)
	if i >= 0 {
		m.used[i] = true
	}
	return i >= 0
}

// unused returns an entry of the list that hit nothing, or "".
func (m *matcher) unused() string {
	if i := slices.Index(m.used, false); i >= 0 {
		return m.names[i]
	}
	return ""
}
