package builtins

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/teacher"
	"starbook/runtime"
	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// answersArgs are all that decides what a model answers.
type answersArgs struct {
	Model   starlark.Value `arg:"model" doc:"who answers: a model, or who distill.generate could ask (provider:model, a base URL with #model, distill.practice(…))"`
	Items   Handle         `arg:"items" kind:"dataset" doc:"rows with prompts and references"`
	Adapter Handle         `arg:"adapter=None" kind:"adapter" doc:"used without merging it"`
	Want    string         `arg:"want=answer" doc:"column with the reference, in items and examples"`
	System  string         `arg:"system=" doc:"instruction before everything else"`
	FewShot Handle         `arg:"few_shot=None" kind:"dataset" doc:"rows that are shown with their references before every question"`
	Samples int            `arg:"samples=1" doc:"answers to every item; more than one needs a temperature, and gives pass@k"`
	decodingArgs
	BudgetUSD float64        `arg:"budget_usd=0.0" doc:"dollars that asking a teacher may cost, over all runs" hash:"-"`
	InFlight  int            `arg:"in_flight=16" doc:"requests to a teacher at a time" hash:"-"`
	Effort    string         `arg:"effort=" doc:"reasoning effort of a teacher: none, low, medium, …; empty: the server's default" hash:"set"`
	Key       starlark.Value `arg:"key=None" doc:"secret(\"NAME\") of a teacher; None: the provider's usual variable" hash:"-"`
	Price     []float64      `arg:"price=[]" doc:"dollars per million tokens [input, output], if the table of prices does not know the teacher" hash:"-"`
}

func (a *answersArgs) check() error {
	if err := a.decodingArgs.check(); err != nil {
		return err
	}
	if a.Samples < 1 {
		return errors.New("samples: want 1 or more")
	}
	if a.Samples > 1 && a.Temperature == 0 {
		return errors.New("samples: without a temperature all answers to an item are the same: set temperature")
	}
	if h, ok := a.Model.(Handle); ok {
		if h.Kind != "model" {
			return fmt.Errorf("model: got %s, want a model or who is asked", h.Kind)
		}
		return nil
	}
	if !a.Adapter.Digest.IsZero() {
		return errors.New("adapter: only a model of ours takes one")
	}
	if !a.Draft.Digest.IsZero() {
		return errors.New("draft: only a model of ours takes one")
	}
	if a.Quantise != "" {
		return errors.New("quantise: only a model of ours is rounded")
	}
	t := a.teacher()
	spend := spendArgs{BudgetUSD: a.BudgetUSD, BatchSize: a.InFlight, Mode: "now"}
	return errors.Join(t.check(), spend.check())
}

// teacher is who is asked if Model is none of ours. An answer that is cut off is
// a class of its own, and not asked for again.
func (a *answersArgs) teacher() *teacherArgs {
	t := &teacherArgs{Teacher: a.Model, MaxTokens: a.MaxNewTokens, Effort: a.Effort, OnTruncated: "drop", Key: a.Key, Price: a.Price}
	if a.Temperature > 0 {
		t.Temperature = &a.Temperature
	}
	return t
}

// who is what people call the one who answers.
func (a *answersArgs) who() string {
	if h, ok := a.Model.(Handle); ok {
		return modelName(h)
	}
	t, _ := a.teacher().who() // checked
	return t.name()
}

// lineage are the artifacts behind which trainings may lie.
func (a *answersArgs) lineage() []cas.Digest {
	var out []cas.Digest
	if h, ok := a.Model.(Handle); ok {
		out = append(out, h.Digest)
	}
	if !a.Adapter.Digest.IsZero() {
		out = append(out, a.Adapter.Digest)
	}
	return out
}

// needs is what answering holds while it works.
func (a *answersArgs) needs() runtime.Resource {
	if _, ok := a.Model.(Handle); ok {
		return runtime.GPU
	}
	return runtime.Net
}

// turn is one message of what a model is shown.
type turn struct{ Role, Content string }

// before are the turns that all questions have in common: instruction, examples.
func (a *answersArgs) before(shots []Row) ([]turn, error) {
	var out []turn
	if a.System != "" {
		out = append(out, turn{"system", a.System})
	}
	for i, r := range shots {
		asked, err := a.asked(r)
		if err != nil {
			return nil, fmt.Errorf("few_shot: row %d: %w", i+1, err)
		}
		reference, ok := dataset.Text(r, a.Want)
		if !ok {
			return nil, fmt.Errorf("few_shot: row %d has no text in column %q, the reference", i+1, a.Want)
		}
		out = append(append(out, asked...), turn{"assistant", reference})
	}
	return out, nil
}

// asked are the turns of a row up to the answer: its messages, or its prompt.
func (a *answersArgs) asked(r Row) ([]turn, error) {
	messages, ok := r["messages"].([]any)
	if !ok {
		text, err := filled(a.Prompt, r)
		return []turn{{"user", text}}, err
	}
	var out []turn
	for i, m := range messages {
		d, _ := m.(map[string]any)
		role, okRole := d["role"].(string)
		content, okContent := d["content"].(string)
		if !okRole || !okContent {
			return nil, fmt.Errorf("message %d is no text with a role", i+1)
		}
		out = append(out, turn{role, content})
	}
	if n := len(out); n > 0 && out[n-1].Role == "assistant" { // the reference
		out = out[:n-1]
	}
	return out, nil
}

// plainText is how a model without a chat template reads turns.
func plainText(turns []turn) string {
	var b strings.Builder
	for i, t := range turns {
		b.WriteString(t.Content)
		if i < len(turns)-1 && t.Role != "user" {
			b.WriteString("\n\n")
		}
	}
	return b.String()
}

// answerAll is the step eval.answers: what a model says to every item, whoever
// will grade it.
func answerAll(ctx context.Context, h *Host, s *runtime.Step, a answersArgs) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Items)
	if err != nil {
		return runtime.Artifact{}, err
	}
	if len(rows) == 0 {
		return runtime.Artifact{}, errNoItems
	}
	var shots []Row
	if !a.FewShot.Digest.IsZero() {
		if shots, err = ReadRows(s.Store(), a.FewShot); err != nil {
			return runtime.Artifact{}, err
		}
	}
	before, err := a.before(shots)
	if err != nil {
		return runtime.Artifact{}, err
	}
	var all [][]turn // Samples of each item, one behind the other
	for i, r := range rows {
		asked, err := a.asked(r)
		if err != nil {
			return runtime.Artifact{}, fmt.Errorf("row %d: %w", i+1, err)
		}
		t := slices.Concat(before, asked)
		for range a.Samples {
			all = append(all, t)
		}
	}
	template := encodeTurns(append(before[:len(before):len(before)], turn{"user", a.Prompt}))
	facts := Facts{"model": a.who(), "template": cas.Sum([]byte(template)).String()}
	var answers []answer
	if m, ok := a.Model.(Handle); ok {
		answers, err = a.local(ctx, h, s, m, all, template, facts)
	} else {
		answers, err = a.remote(ctx, h, s, all, facts)
	}
	if err != nil {
		return runtime.Artifact{}, err
	}
	return answersArtifact(s, answers, facts)
}

// local lets a model of ours answer.
func (a *answersArgs) local(ctx context.Context, h *Host, s *runtime.Step, model Handle, all [][]turn, template string, facts Facts) ([]answer, error) {
	m, err := a.open(h, s, model, a.Adapter)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if a.Quantise != "" {
		facts["quantise"] = a.Quantise
	}
	r, err := m.renderer(a.decodingArgs)
	if err != nil {
		return nil, err
	}
	first, err := r.turns(all[0])
	if err != nil {
		return nil, err
	}
	facts["rendered"] = m.Tokenizer.Decode(first)
	if r.chat != nil {
		facts["template"] = cas.Sum([]byte(template + "\x00" + m.Tokenizer.Config().ChatTemplate)).String()
	}
	return m.write(ctx, s, len(all), func(i int) ([]int32, error) { return r.turns(all[i]) }, r.stops, a.decodingArgs)
}

// remote asks a teacher. Its answers are in the ledger before they are here.
func (a *answersArgs) remote(ctx context.Context, h *Host, s *runtime.Step, all [][]turn, facts Facts) ([]answer, error) {
	who := a.teacher()
	if who.Temperature == nil {
		if err := who.cool(h); err != nil {
			return nil, err
		}
	}
	k, err := newAsking(h, s, *who, spendArgs{BudgetUSD: a.BudgetUSD, BatchSize: a.InFlight, Mode: "now"})
	if err != nil {
		return nil, err
	}
	defer k.close()
	template, err := who.template(k.to.Spec().Model)
	if err != nil {
		return nil, err
	}
	requests := make([]teacher.Request, len(all))
	for i, turns := range all {
		r := template
		r.Sample = i % a.Samples
		for _, t := range turns {
			text := strings.TrimRight(t.Content, "\n")
			if t.Role == "system" {
				r.System = text
				continue
			}
			r.Messages = append(r.Messages, teacher.Message{Role: t.Role, Content: text})
		}
		requests[i] = r
	}
	facts["rendered"] = encodeTurns(all[0])
	results, err := k.replies(ctx, h, requests)
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(results))
	for i, r := range results {
		answers[i] = answer{
			Index: i, Text: cmp.Or(r.Text, r.Refusal), Tokens: int(r.Usage.Output), Failed: r.failed,
			Truncated: r.Finish == teacher.Length, Refused: r.Refusal != "" || r.Finish == teacher.Refused || r.Finish == teacher.Filtered,
		}
	}
	return answers, nil
}

func encodeTurns(turns []turn) string {
	var b strings.Builder
	for _, t := range turns {
		fmt.Fprintf(&b, "<%s>\n%s\n", t.Role, strings.TrimRight(t.Content, "\n"))
	}
	return b.String()
}

func answersKind() KindDoc {
	return KindDoc{
		Name: "answers",
		Doc:  "What a model said to the items of an evaluation, not graded yet.",
		Facts: []Fact{
			{"answers", "how many"},
			{"truncated", "of them, those that the token limit cut off"},
			{"model", "who answered"},
			{"template", "digest of system, examples and prompt as the model sees them"},
			{"rendered", "the first question as the model saw it"},
		},
	}
}

// maxRendered is how many bytes of the first question a summary keeps.
const maxRendered = 8 << 10

func answersArtifact(s *runtime.Step, answers []answer, facts Facts) (runtime.Artifact, error) {
	var out bytes.Buffer
	enc, truncated := json.NewEncoder(&out), 0
	for _, a := range answers {
		if err := enc.Encode(a); err != nil {
			return runtime.Artifact{}, err
		}
		if a.Truncated {
			truncated++
		}
	}
	facts["answers"], facts["truncated"] = len(answers), truncated
	if r, ok := facts["rendered"].(string); ok && len(r) > maxRendered {
		facts["rendered"] = strings.ToValidUTF8(r[:maxRendered], "") + "…"
	}
	g, err := s.Put(out.Bytes())
	return runtime.Artifact{Kind: "answers", Digest: g, Summary: summary(facts)}, err
}

// answersOf reads an answers artifact.
func answersOf(st *store.Store, h Handle) ([]answer, error) {
	f, err := st.Blobs.Open(h.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []answer
	for dec := json.NewDecoder(bufio.NewReader(f)); dec.More(); {
		var a answer
		if err := dec.Decode(&a); err != nil {
			return nil, fmt.Errorf("%s: %w", h, err)
		}
		out = append(out, a)
	}
	return out, nil
}
