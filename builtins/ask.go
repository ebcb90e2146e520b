package builtins

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"go.starlark.net/starlark"

	"starbook/builtins/teacher"
	"starbook/runtime/store"
)

// teacherArgs say who is asked, and how. Every built-in that asks has them.
type teacherArgs struct {
	Teacher     starlark.Value `arg:"teacher" doc:"provider:model (openai:gpt-6-luna, anthropic:claude-haiku-5-5), a base URL with #model, or distill.practice(…)"`
	MaxTokens   int            `arg:"max_tokens=512" doc:"of an answer, reasoning included; it bounds the price"`
	Temperature *float64       `arg:"temperature=None" doc:"None: the server's default; 0 is sent as 0"`
	Effort      string         `arg:"effort=" doc:"reasoning effort: none, low, medium, …; empty: the server's default" hash:"set"`
	Schema      starlark.Value `arg:"schema=None" doc:"JSON schema of the answer, a dict; an answer that does not fit is asked for once more, then rejected" hash:"set"`
	Extra       starlark.Value `arg:"extra=None" doc:"further fields of the request, a dict: what one server knows" hash:"set"`
	OnTruncated string         `arg:"on_truncated=reask" doc:"an answer that max_tokens cut off: reask once with twice the limit, then drop it; drop; or keep it as it is" hash:"set"`
	Key         starlark.Value `arg:"key=None" doc:"secret(\"NAME\"); None: the provider's usual variable, such as OPENAI_API_KEY or ANTHROPIC_API_KEY" hash:"-"`
	Price       []float64      `arg:"price=[]" doc:"dollars per million tokens [input, output], if the table of prices does not know the model; [0, 0] for a server of your own" hash:"-"`
}

func (a *teacherArgs) check() error {
	if len(a.Price) != 0 && len(a.Price) != 2 {
		return errors.New("price: want [input, output]")
	}
	if len(a.Price) == 2 {
		if err := (teacher.Price{Input: a.Price[0], Output: a.Price[1]}).Check(); err != nil {
			return err
		}
	}
	if a.MaxTokens <= 0 {
		return errors.New("max_tokens must be positive: it bounds the price")
	}
	switch a.OnTruncated {
	case "reask", "drop", "keep":
	default:
		return fmt.Errorf("on_truncated: got %q, want reask, drop or keep", a.OnTruncated)
	}
	if _, ok := a.Key.(Secret); a.Key != nil && !ok {
		return errors.New(`key: want secret("NAME"): a key has no place in a notebook`)
	}
	if _, err := a.template(""); err != nil {
		return err
	}
	_, err := a.who()
	return err
}

// who returns the teacher that is meant.
func (a *teacherArgs) who() (Teacher, error) {
	switch t := a.Teacher.(type) {
	case Teacher:
		return t, nil
	case starlark.String:
		spec, err := teacher.ParseSpec(string(t))
		return Teacher{spec: spec}, err
	}
	return Teacher{}, fmt.Errorf("teacher: got %s, want a string or distill.practice(…)", a.Teacher.Type())
}

// template is a request to model without a question.
func (a *teacherArgs) template(model string) (teacher.Request, error) {
	r := teacher.Request{Model: model, MaxTokens: a.MaxTokens, Temperature: a.Temperature, Effort: a.Effort, Once: a.OnTruncated != "reask"}
	if a.Schema != nil {
		v, err := toJSON(a.Schema)
		if err != nil {
			return r, fmt.Errorf("schema: %w", err)
		}
		if r.Schema, err = teacher.NewSchema([]byte(encode(v))); err != nil {
			return r, err
		}
	}
	if a.Extra != nil {
		v, err := toJSON(a.Extra)
		fields, ok := v.(map[string]any)
		if err != nil || !ok {
			return r, errors.Join(errors.New("extra: want a dict"), err)
		}
		r.Extra = fields
	}
	return r, nil
}

// terms are what asking costs: the price, what is known about the model, and
// what to think of before.
type terms struct {
	price teacher.Price
	model teacher.Model
	warn  string
}

func (a *teacherArgs) terms(h *Host, t Teacher) (terms, error) {
	table, err := teacher.ReadPrices(h.env("STARBOOK_PRICES"))
	if err != nil {
		return terms{}, err
	}
	now := time.Now() // decides whether to ask, never what comes back
	price, err := table.Of(t.spec, now)
	model, _ := table.Model(t.spec)
	if len(a.Price) == 2 && (model.Shutdown == "" || err == nil) {
		price, err = teacher.Price{Input: a.Price[0], Output: a.Price[1]}, nil
	}
	if err != nil {
		return terms{}, err
	}
	r, err := a.template(t.spec.Model)
	if err != nil {
		return terms{}, err
	}
	return terms{price, model, table.Warn(t.spec, now)}, model.Takes(r)
}

// open returns what speaks with the teacher. The key is registered as a secret
// with hide, which keeps it out of every record.
func (a *teacherArgs) open(h *Host, t Teacher, hide func(string)) (teacher.Teacher, error) {
	key := ""
	if s, ok := a.Key.(Secret); ok {
		key = s.Reveal()
	} else if t.spec.KeyEnv != "" {
		key = h.env(t.spec.KeyEnv)
	}
	if key != "" {
		hide(key)
	}
	return teacher.New(t.spec, key, teacher.Deadlines{})
}

// askArgs say what is asked about the rows of a dataset.
type askArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows to ask about"`
	teacherArgs
	MaxExamples int    `arg:"max_examples=0" doc:"ask about the first so many rows only; 0: all"`
	System      string `arg:"system=" doc:"instruction before every question"`
	Prompt      string `arg:"prompt={prompt}" doc:"the question; names of columns in braces are filled in"`
}

// asked is a row and the question about it.
type asked struct {
	row     Row
	request teacher.Request
}

// each makes a request of every row, one at a time. The first error ends them.
func (a *askArgs) each(st *store.Store, t Teacher) iter.Seq2[asked, error] {
	return func(yield func(asked, error) bool) {
		template, err := a.template(t.spec.Model)
		if err != nil {
			yield(asked{}, err)
			return
		}
		template.System = a.System
		n := 0
		for row, err := range EachRow(st, a.Data) {
			if err != nil {
				yield(asked{}, err)
				return
			}
			if n++; a.MaxExamples > 0 && n > a.MaxExamples {
				return
			}
			r := template
			if r.Prompt, err = filled(a.Prompt, row); err != nil {
				yield(asked{}, fmt.Errorf("row %d: %w", n, err))
				return
			}
			if !yield(asked{row, r}, nil) {
				return
			}
		}
	}
}

// requests drops the rows. The first error ends the requests and is left in err.
func requests(all iter.Seq2[asked, error], err *error) iter.Seq[teacher.Request] {
	return func(yield func(teacher.Request) bool) {
		for a, e := range all {
			if e != nil {
				*err = e
				return
			}
			if !yield(a.request) {
				return
			}
		}
	}
}

// quote says what asking would cost, and sends nothing.
func (a *askArgs) quote(h *Host, st *store.Store, t Teacher, c teacher.Teacher, on terms) (teacher.Quote, error) {
	var bad error
	q, err := teacher.NewQuote(c, ledger{st: st}, requests(a.each(st, t), &bad), on.model, on.price)
	return q, errors.Join(bad, err)
}
