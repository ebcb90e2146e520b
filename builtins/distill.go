package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"starbook/builtins/dataset"

	"go.starlark.net/starlark"

	"starbook/builtins/teacher"
	"starbook/runtime"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

func distillModule() Module {
	return Module{
		Name:  "distill",
		Doc:   "Answers from a teacher: a large model behind OpenAI's protocol. An answer that was received is never paid for again.",
		Funcs: []Func{distillPractice(), distillEstimate(), distillGenerate()},
	}
}

// Teacher is who can be asked, as a script holds it.
type Teacher struct {
	spec teacher.Spec
	book digest // of a practice teacher's answers; zero otherwise
}

var (
	_ starlark.Value = Teacher{}
	_ Canonical      = Teacher{}
)

// String implements starlark.Value.
func (t Teacher) String() string {
	if !t.book.IsZero() {
		return "<practice teacher>"
	}
	return "<teacher " + t.spec.String() + ">"
}

// Type implements starlark.Value.
func (t Teacher) Type() string { return "teacher" }

// Freeze implements starlark.Value.
func (t Teacher) Freeze() {}

// Truth implements starlark.Value.
func (t Teacher) Truth() starlark.Bool { return true }

// Hash implements starlark.Value.
func (t Teacher) Hash() (uint32, error) {
	return starlark.String(t.spec.Provider + t.spec.Model).Hash()
}

// Canonical implements Canonical. A practice teacher is its book: the port it
// listens on changes nothing.
func (t Teacher) Canonical() (json.RawMessage, error) {
	if !t.book.IsZero() {
		return json.Marshal(map[string]digest{"practice": t.book})
	}
	return json.Marshal(map[string]string{"teacher": t.spec.String()})
}

type practiceArgs struct {
	Answers Handle `arg:"answers" kind:"dataset" doc:"rows with prompt and answer: the teacher's book"`
}

func distillPractice() Func {
	return plain("distill.practice", "Starts a practice teacher: a server inside this process that looks answers up in a book. It is asked over real HTTP.",
		func(_ context.Context, c *Call, a practiceArgs) (starlark.Value, error) {
			rows, err := ReadRows(c.Run.Store, a.Answers)
			if err != nil {
				return nil, err
			}
			book := make(map[string]string, len(rows))
			for i, r := range rows {
				prompt, ok := dataset.Text(r, "prompt")
				reply, okReply := dataset.Text(r, "answer")
				if !ok || !okReply {
					return nil, fmt.Errorf("row %d has no prompt or no answer", i+1)
				}
				book[prompt] = reply
			}
			p, err := teacher.StartPractice(book)
			if err != nil {
				return nil, err
			}
			c.Host.onClose(p.Close)
			// The content key holds the book, not the port, so that answers are found again.
			spec := teacher.Spec{Provider: "practice " + a.Answers.Digest.String(), BaseURL: p.URL, Model: teacher.PracticeModel}
			return Teacher{spec, a.Answers.Digest}, nil
		})
}

// askArgs say what is asked; estimate and generate share them.
type askArgs struct {
	Data        Handle         `arg:"data" kind:"dataset" doc:"rows to ask about"`
	Teacher     starlark.Value `arg:"teacher" doc:"provider:model (openai:gpt-6-luna), a base URL with #model, or distill.practice(…)"`
	MaxExamples int            `arg:"max_examples=0" doc:"ask about the first so many rows only; 0: all"`
	System      string         `arg:"system=" doc:"instruction before every question"`
	Prompt      string         `arg:"prompt={prompt}" doc:"the question; names of columns in braces are filled in"`
	MaxTokens   int            `arg:"max_tokens=512" doc:"of an answer; it bounds the price"`
	Temperature *float64       `arg:"temperature=None" doc:"None: the server's default"`
	Price       []float64      `arg:"price=[]" doc:"dollars per million tokens [input, output], if the table of prices does not know the model" hash:"-"`
}

func (a *askArgs) check() error {
	if len(a.Price) != 0 && len(a.Price) != 2 {
		return errors.New("price: want [input, output]")
	}
	_, err := a.who()
	return err
}

// who returns the teacher that is meant.
func (a *askArgs) who() (Teacher, error) {
	switch t := a.Teacher.(type) {
	case Teacher:
		return t, nil
	case starlark.String:
		spec, err := teacher.ParseSpec(string(t))
		return Teacher{spec: spec}, err
	}
	return Teacher{}, fmt.Errorf("teacher: got %s, want a string or distill.practice(…)", a.Teacher.Type())
}

func (a *askArgs) price(s teacher.Spec) (teacher.Price, error) {
	if len(a.Price) == 2 {
		return teacher.Price{Input: a.Price[0], Output: a.Price[1]}, nil
	}
	return teacher.PriceOf(s, time.Now()) // decides whether to ask, never what comes back
}

// requests makes a request of every row.
func (a *askArgs) requests(st *store.Store, t Teacher) ([]Row, []teacher.Request, error) {
	rows, err := ReadRows(st, a.Data)
	if err != nil {
		return nil, nil, err
	}
	if a.MaxExamples > 0 {
		rows = rows[:min(a.MaxExamples, len(rows))]
	}
	out := make([]teacher.Request, len(rows))
	for i, r := range rows {
		question, err := fill(a.Prompt, func(name string) (string, bool) { return dataset.Text(r, name) })
		if err != nil {
			return nil, nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		out[i] = teacher.Request{Model: t.spec.Model, System: a.System, Prompt: question, MaxTokens: a.MaxTokens, Temperature: a.Temperature}
	}
	return rows, out, nil
}

func distillEstimate() Func {
	return plain("distill.estimate", "Says what distill.generate would cost, in US dollars, and sends nothing.",
		func(_ context.Context, c *Call, a askArgs) (starlark.Value, error) {
			q, err := a.quote(c.Run.Store)
			return starlark.String(q.String()), err
		})
}

func (a *askArgs) quote(st *store.Store) (teacher.Quote, error) {
	t, err := a.who()
	if err != nil {
		return teacher.Quote{}, err
	}
	price, err := a.price(t.spec)
	if err != nil {
		return teacher.Quote{}, err
	}
	_, requests, err := a.requests(st, t)
	if err != nil {
		return teacher.Quote{}, err
	}
	return teacher.Estimate(t.spec, ledger{st}, requests, price)
}

type generateArgs struct {
	askArgs
	Field        string  `arg:"field=completion" doc:"column for the answer"`
	BudgetUSD    float64 `arg:"budget_usd" doc:"dollars that this step may cost at most; the worst case of a request is set aside before it is sent" hash:"-"`
	BatchSize    int     `arg:"batch_size=8" doc:"requests in flight" hash:"-"`
	Delay        float64 `arg:"delay=0.0" doc:"seconds between two requests" hash:"-"`
	EstimateOnly bool    `arg:"estimate_only=false" doc:"stop the notebook with the quote, and ask nothing" hash:"-"`
}

func distillGenerate() Func {
	return step("distill.generate", 1, runtime.Net, "Asks a teacher about every row and adds its answer. Run it again to go on after an error or a kill: what was answered is kept.\n"+
		"Rows without a usable answer are left out and counted in .rejected.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a generateArgs) (runtime.Artifact, error) {
			if a.EstimateOnly {
				q, err := a.quote(s.Store())
				if err == nil {
					err = fmt.Errorf("estimate only: %s", q)
				}
				return runtime.Artifact{}, err
			}
			t, err := a.who()
			if err != nil {
				return runtime.Artifact{}, err
			}
			price, err := a.price(t.spec)
			if err != nil {
				return runtime.Artifact{}, err
			}
			rows, requests, err := a.requests(s.Store(), t)
			if err != nil {
				return runtime.Artifact{}, err
			}
			client, err := teacher.New(t.spec, teacher.Retry{Seed: 1})
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer client.Close()
			results, err := teacher.Batch(ctx, client, ledger{s.Store()}, requests, teacher.Options{
				InFlight: a.BatchSize, Delay: time.Duration(a.Delay * float64(time.Second)), BudgetUSD: a.BudgetUSD, Price: price,
				Progress: func(done int, usd float64) {
					s.Progress(int64(done), int64(len(requests)), fmt.Sprintf("$%.2f", usd))
				},
			})
			if err != nil {
				return runtime.Artifact{}, err
			}
			return a.collect(s, t, rows, results)
		})
}

// collect makes the dataset of the rows that were answered. If the budget ran
// out, the step fails, so that it is tried again; the answers are in the ledger.
func (a *generateArgs) collect(s *runtime.Step, t Teacher, rows []Row, results []teacher.Result) (runtime.Artifact, error) {
	var (
		out      []Row
		usage    teacher.Usage
		total    float64
		cached   int
		rejected = map[string]int{}
	)
	for i, r := range results {
		if errors.Is(r.Err, teacher.ErrBudget) {
			return runtime.Artifact{}, fmt.Errorf("%w ($%.2f)", r.Err, a.BudgetUSD)
		}
		if r.Cached {
			cached++
		} else {
			s.Cost(r.Reply.CostUSD)
		}
		usage.Input += r.Reply.Usage.Input
		usage.Output += r.Reply.Usage.Output
		total += r.Reply.CostUSD
		if why := unusable(r); why != "" {
			rejected[why]++
			continue
		}
		row := rows[i]
		row[a.Field] = r.Reply.Text
		out = append(out, row)
	}
	lost := 0
	for _, n := range rejected {
		lost += n
	}
	if lost > 0 {
		s.Warn(fmt.Sprintf("%s without a usable answer (%s)", plural(lost, "rows"), counted(rejected)))
	}
	if lost == len(results) && lost > 0 {
		return runtime.Artifact{}, fmt.Errorf("no usable answer among %d: %w", lost, results[0].Err)
	}
	name := t.spec.String()
	if !t.book.IsZero() {
		name = teacher.PracticeModel
	}
	return WriteRows(s, out, Facts{
		"asked": len(results), "from_ledger": cached, "rejected": lost, "why_rejected": rejected, "input_tokens": usage.Input,
		"output_tokens": usage.Output, "cost_usd": total, "teacher": name,
	})
}

// unusable names why a reply cannot be trained on; "" if it can.
func unusable(r teacher.Result) string {
	var failure *teacher.Error
	switch {
	case errors.As(r.Err, &failure):
		return string(failure.Kind)
	case r.Err != nil:
		return "error"
	case r.Reply.Refusal != "":
		return "refused"
	case r.Reply.Finish == "length":
		return "truncated"
	case r.Reply.Text == "":
		return "empty"
	}
	return ""
}

// ledger keeps a teacher's answers in the store.
type ledger struct{ st *store.Store }

var _ teacher.Ledger = ledger{}

// kept is what the ledger keeps of a reply besides its raw body.
type kept struct {
	Text, Refusal, Model string
	Headers              map[string]string
}

// Answer implements teacher.Ledger.
func (l ledger) Answer(k teacher.Key) (teacher.Reply, bool, error) {
	a, err := l.st.Answer(cas.Digest(k))
	if errors.Is(err, store.ErrNotFound) {
		return teacher.Reply{}, false, nil
	}
	if err != nil {
		return teacher.Reply{}, false, err
	}
	var more kept
	if err := json.Unmarshal(a.Headers, &more); err != nil {
		return teacher.Reply{}, false, fmt.Errorf("ledger: %w", err)
	}
	return teacher.Reply{
		Text: more.Text, Refusal: more.Refusal, Model: more.Model, Headers: more.Headers, Finish: a.Finish, Status: a.Status, Raw: a.Raw, CostUSD: a.CostUSD,
		Usage: teacher.Usage{Input: a.InputTokens, Cached: a.CachedTokens, Output: a.OutputTokens, Reasoning: a.ReasoningTokens},
	}, true, nil
}

// Begin implements teacher.Ledger.
func (l ledger) Begin(k teacher.Key, s teacher.Spec, canonical []byte) (int64, error) {
	g, err := l.st.Blobs.Put(canonical)
	if err != nil {
		return 0, err
	}
	return l.st.BeginAsk(store.Ask{Key: cas.Digest(k), Provider: s.Provider, Model: s.Model, BaseURL: s.BaseURL, Request: g})
}

// End implements teacher.Ledger.
func (l ledger) End(k teacher.Key, attempt int64, r teacher.Reply, failed error) error {
	a := store.Answer{
		Key: cas.Digest(k), Attempt: attempt, Status: r.Status, Raw: r.Raw, Finish: r.Finish, CostUSD: r.CostUSD, Created: time.Now().UTC(),
		InputTokens: r.Usage.Input, CachedTokens: r.Usage.Cached, OutputTokens: r.Usage.Output, ReasoningTokens: r.Usage.Reasoning,
	}
	if failed != nil {
		a.Error = failed.Error()
	}
	var err error
	if a.Headers, err = json.Marshal(kept{r.Text, r.Refusal, r.Model, r.Headers}); err != nil {
		return err
	}
	return l.st.PutAnswer(a)
}
