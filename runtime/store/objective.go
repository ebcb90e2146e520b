package store

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Objective is what a sweep tells good trials from bad ones by; the zero value is none. It
// means the last step of a run that Of finds the fact in.
type Objective struct {
	Fact     string `json:"fact"`               // STEP.FACT or MODULE.FACT: lora.train.best_eval_loss, eval.pass_rate
	Minimize bool   `json:"minimize,omitempty"` // the smaller the better
}

// Check refuses an objective that no step can have.
func (o Objective) Check() error {
	if step, fact := o.cut(); o.Fact != "" && (step == "" || fact == "") {
		return fmt.Errorf("objective %q: write STEP.FACT, as in eval.pass_rate", o.Fact)
	}
	return nil
}

// Of returns the fact if a step with this name and summary has it.
func (o Objective) Of(step string, summary json.RawMessage) (value float64, ok bool) {
	name, fact := o.cut()
	if name == "" || step != name && !strings.HasPrefix(step, name+".") {
		return 0, false
	}
	var facts map[string]any
	if json.Unmarshal(summary, &facts) != nil {
		return 0, false
	}
	value, ok = facts[fact].(float64)
	return value, ok
}

// Key is the fact's name in the summary of its step: pass_rate.
func (o Objective) Key() string {
	_, fact := o.cut()
	return fact
}

// Direction returns minimize or maximize, as the flags of starbook sweep are called.
func (o Objective) Direction() string {
	if o.Minimize {
		return "minimize"
	}
	return "maximize"
}

// cut splits the fact into the name of a step or a module and the key in its summary.
func (o Objective) cut() (step, fact string) {
	dot := max(0, strings.LastIndexByte(o.Fact, '.'))
	return o.Fact[:dot], strings.TrimPrefix(o.Fact[dot:], ".")
}

// minimize is the column of that name.
func (o Objective) minimize() any {
	if o.Fact == "" {
		return nil
	}
	return o.Minimize
}
