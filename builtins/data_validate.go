package builtins

import (
	"context"
	"encoding/json"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"starbook/builtins/dataset"
	"starbook/builtins/grade"
	"starbook/gpu/model"
	"starbook/gpu/token"
	"starbook/runtime"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// checkArgs are the rules that rows are held to.
type checkArgs struct {
	Data      Handle         `arg:"data" kind:"dataset" doc:"rows to train on"`
	Fields    []string       `arg:"fields=[\"prompt\",\"completion\"]" doc:"what each row must have; a conversation in messages has both"`
	Against   []Handle       `arg:"against=[]" kind:"dataset" doc:"datasets of evaluations: their items must not be among the rows (E-TEST)"`
	Related   bool           `arg:"related=false" doc:"rows and evaluations take their ids from one book, so that equal bare numbers mean the same item"`
	Grader    starlark.Value `arg:"grader=None" doc:"judges completions (E-WRONG) and guesses (W-TIE) of rows that have the reference"`
	Want      string         `arg:"want=answer" doc:"column with the reference"`
	Model     Handle         `arg:"model=None" kind:"model" doc:"whose tokenizer and context decide what is too long (E-LONG)"`
	Template  string         `arg:"prompt={prompt}\n" doc:"what the model reads before the completion, as in lora.train"`
	MaxTokens int            `arg:"max_tokens=0" doc:"of prompt and completion; 0: the model's context"`
	Keep      []string       `arg:"keep=[]" doc:"codes that are reported, but drop nothing: [\"W-NEAR\"]"`
}

func (a *checkArgs) check() error {
	for _, c := range a.Keep {
		if _, known := dataset.RuleOf(dataset.Code(c)); !known {
			return fmt.Errorf("keep: no rule has the code %q%s", c, didYouMean(c, codes()))
		}
	}
	for _, f := range a.Fields {
		if f != dataset.Prompt && f != dataset.Completion {
			return fmt.Errorf("fields: got %q, want prompt and completion, or one of them", f)
		}
	}
	return optionalGrader(a.Grader)
}

func codes() (out []string) {
	for _, r := range dataset.Rules {
		out = append(out, string(r.Code))
	}
	return out
}

// keep returns the codes that drop nothing.
func (a *checkArgs) keep() (out []dataset.Code) {
	for _, c := range a.Keep {
		out = append(out, dataset.Code(c))
	}
	return out
}

// rulesDoc is the table of rules, for the manual.
func rulesDoc() string {
	var b strings.Builder
	for _, r := range dataset.Rules {
		fmt.Fprintf(&b, "\n  %-13s %-6s %s", r.Code, r.Action, r.Says)
	}
	return b.String()
}

func dataCheck() Func {
	return step("data.check", 1, runtime.CPU, "Returns what is wrong with rows, one finding a row: row (from 0), id, code, action, why.\n"+
		"data.validate acts on it. The rules:"+rulesDoc(), findings)
}

func findings(ctx context.Context, _ *Host, s *runtime.Step, a checkArgs) (runtime.Artifact, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return runtime.Artifact{}, err
	}
	c := dataset.Check{Need: a.Fields, Near: true, Related: a.Related, Keep: a.keep(), Workers: goruntime.GOMAXPROCS(0)}
	for _, h := range a.Against {
		items, err := ReadRows(s.Store(), h)
		if err != nil {
			return runtime.Artifact{}, err
		}
		c.Against = append(c.Against, items...)
	}
	c.More = func(rows []Row, stays func(int) bool) ([]dataset.Finding, error) {
		long, err := a.long(s, rows, stays)
		if err != nil {
			return nil, err
		}
		wrong, err := a.graded(ctx, s, rows, stays)
		return append(long, wrong...), err
	}
	all, err := c.Run(rows)
	if err != nil {
		return runtime.Artifact{}, err
	}
	out, counts := make([]Row, len(all)), map[string]int{}
	for i, f := range all {
		out[i] = Row{"row": f.Row, "id": dataset.ID(rows[f.Row]), "code": string(f.Code), "action": string(f.Action), "why": f.Why}
		counts[string(f.Code)]++
	}
	return WriteRows(s, out, Facts{"counts": counts})
}

// long finds rows with more tokens than the model may see.
func (a *checkArgs) long(s *runtime.Step, rows []Row, stays func(int) bool) ([]dataset.Finding, error) {
	if a.Model.Digest.IsZero() {
		return nil, nil
	}
	dir, remove, err := lay(s.Store(), a.Model)
	if err != nil {
		return nil, err
	}
	defer remove()
	tok, err := token.Open(dir)
	if err != nil {
		return nil, err
	}
	limit := a.MaxTokens
	if limit == 0 {
		cfg, err := model.ReadConfig(dir + "/config.json")
		if err != nil {
			return nil, err
		}
		limit = cfg.MaxPositions
	}
	var all []dataset.Finding
	for i, r := range rows {
		if _, chat := r[dataset.Messages]; chat || !stays(i) {
			continue // a conversation is measured by its template, when it is trained on
		}
		prompt, err := filled(a.Template, r)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		completion, _ := dataset.Text(r, dataset.Completion)
		if n := len(tok.EncodeSpecial(prompt)) + len(tok.EncodePlain(completion)) + 1; n > limit {
			all = append(all, dataset.Found(i, dataset.TooLong, fmt.Sprintf("%d tokens of %d", n, limit)))
		}
	}
	return all, nil
}

// graded finds wrong completions, and failures that are none.
func (a *checkArgs) graded(ctx context.Context, s *runtime.Step, rows []Row, stays func(int) bool) ([]dataset.Finding, error) {
	if a.Grader == nil {
		return nil, nil
	}
	g, err := graderOf(a.Grader)
	if err != nil {
		return nil, err
	}
	type asked struct {
		row  int
		code dataset.Code
	}
	var which []asked
	var items []grade.Item
	for i, r := range rows {
		want, has := dataset.Text(r, a.Want)
		if !has || !stays(i) || r["direction"] == "reverse" {
			continue
		}
		prompt, _ := dataset.Text(r, dataset.Prompt)
		for _, x := range []struct {
			column string
			code   dataset.Code
		}{{dataset.Completion, dataset.Wrong}, {dataset.Guess, dataset.Tie}} {
			if answer, has := dataset.Text(r, x.column); has {
				which = append(which, asked{i, x.code})
				items = append(items, grade.Item{Prompt: prompt, Answer: answer, Want: want, Row: json.RawMessage(encode(r))})
			}
		}
	}
	scores, err := grade.All(ctx, g, items)
	if err != nil {
		return nil, err
	}
	var all []dataset.Finding
	for i, x := range which {
		passed := scores[i].Outcome == grade.Pass
		switch {
		case x.code == dataset.Wrong && !passed:
			all = append(all, dataset.Found(x.row, x.code, fmt.Sprintf("%s %s", scores[i].Outcome, scores[i].Note)))
		case x.code == dataset.Tie && passed:
			all = append(all, dataset.Found(x.row, x.code, "the student's answer passes"))
		}
	}
	return all, nil
}

// sortedArgs deal rows by what data.check found: Quarantine asks for those that go.
type sortedArgs struct {
	Data       Handle   `arg:"data" kind:"dataset"`
	Findings   Handle   `arg:"findings" kind:"dataset"`
	Keep       []string `arg:"keep"`
	Quarantine bool     `arg:"quarantine"`
}

func dataValidate() Func {
	check, part := dataCheck(), step("data.validate", 2, runtime.None, "", sortRows)
	return Func{
		Name: "data.validate", Args: check.Args, args: check.args, steps: []string{"data.check", "data.validate"},
		results: func(map[string]starlark.Value) int { return 2 },
		Doc: "Returns the rows that break no rule, and those that do: good, bad = data.validate(rows).\n" +
			"good.dropped counts by code what went; a bad row says its rule and why. E-ENC is mended where nothing is lost by it.\n" +
			"A table of what was found goes into the report. The rules:" + rulesDoc(),
		call: func(h *Host, t *starlark.Thread, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			run, _, err := runtime.From(t)
			if err != nil {
				return nil, fmt.Errorf("data.validate: %w", err)
			}
			a, err := unpack[checkArgs]("data.validate", check.Args, args, kwargs)
			if err != nil {
				return nil, err
			}
			found, err := check.invoke(h, t, args, kwargs)
			if err != nil {
				return nil, err
			}
			keep := starlark.NewList(nil)
			for _, c := range a.Keep {
				if err := keep.Append(starlark.String(c)); err != nil {
					return nil, err
				}
			}
			var out starlark.Tuple
			for _, quarantine := range []starlark.Bool{false, true} {
				v, err := part.invoke(h, t, starlark.Tuple{a.Data, found, keep, quarantine}, nil)
				if err != nil {
					return nil, err
				}
				out = append(out, v)
			}
			c := &Call{Name: "data.validate", Host: h, Run: run, Thread: t}
			if found, ok := found.(Handle); ok { // else it is a plan
				err = c.showFindings(found, a.keep())
			}
			return out, err
		},
	}
}

// findingsOf reads what data.check wrote.
func findingsOf(st *store.Store, h Handle) ([]dataset.Finding, error) {
	rows, err := ReadRows(st, h)
	if err != nil {
		return nil, err
	}
	out := make([]dataset.Finding, len(rows))
	for i, r := range rows {
		n, ok := r["row"].(json.Number)
		row, err := n.Int64()
		if !ok || err != nil {
			return nil, fmt.Errorf("%s: row %d is no finding", h, i+1)
		}
		code, _ := r["code"].(string)
		action, _ := r["action"].(string)
		why, _ := r["why"].(string)
		out[i] = dataset.Finding{Row: int(row), Code: dataset.Code(code), Action: dataset.Action(action), Why: why}
	}
	return out, nil
}

func sortRows(_ context.Context, _ *Host, s *runtime.Step, a sortedArgs) (runtime.Artifact, error) {
	all, err := findingsOf(s.Store(), a.Findings)
	if err != nil {
		return runtime.Artifact{}, err
	}
	broken := dataset.ByRow(all)
	w, err := newRowWriter(s)
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.blob.Abort()
	keep, dropped := (&checkArgs{Keep: a.Keep}).keep(), map[string]int{}
	n := -1
	for r, err := range EachRow(s.Store(), a.Data) {
		if err != nil {
			return runtime.Artifact{}, err
		}
		n++
		f, goes := dataset.Reason(broken[n], keep)
		if goes {
			dropped[string(f.Code)]++
		}
		switch {
		case goes != a.Quarantine:
			continue
		case goes:
			r["rule"], r["why"] = string(f.Code), f.Why
		case slices.ContainsFunc(broken[n], func(f dataset.Finding) bool { return f.Action == dataset.Repair }):
			r = dataset.Mend(r)
		}
		if err := w.add(r); err != nil {
			return runtime.Artifact{}, err
		}
	}
	if a.Quarantine {
		return w.commit(Facts{"counts": dropped})
	}
	return w.commit(Facts{"dropped": dropped})
}

// showFindings puts a table into the report: each rule that was broken, how
// often, and an example.
func (c *Call) showFindings(h Handle, keep []dataset.Code) error {
	all, err := findingsOf(c.Run.Store, h)
	if err != nil {
		return err
	}
	t := event.TableData{
		Title: "What validation found", Columns: []string{"rule", "rows", "what is done", "meaning", "example"}, Rows: [][]any{},
		Note: "A row that breaks several rules counts for each. The dropped rows are the second result of data.validate.",
	}
	for _, r := range dataset.Rules {
		done := map[dataset.Action]int{}
		example := ""
		for _, f := range all {
			if f.Code != r.Code {
				continue
			}
			if done[f.Action]++; example == "" {
				example = fmt.Sprintf("row %d: %s", f.Row+1, f.Why)
			}
		}
		for _, action := range []dataset.Action{dataset.Drop, dataset.Repair, dataset.Warn} {
			if done[action] == 0 {
				continue
			}
			what := string(action)
			if action == dataset.Drop && slices.Contains(keep, r.Code) {
				what = "kept, as keep says"
			}
			t.Rows = append(t.Rows, []any{string(r.Code), done[action], what, r.Says, example})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return c.show(event.Table, "", t)
}

type redactArgs struct {
	Data Handle `arg:"data" kind:"dataset" doc:"rows"`
}

func dataRedact() Func {
	return step("data.redact", 1, runtime.None, "Replaces e-mail addresses (W-PII) and keys (W-SECRET) in all texts of the rows. .counts says how many rows changed.",
		func(_ context.Context, _ *Host, s *runtime.Step, a redactArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			changed := 0
			for i, r := range rows {
				var did bool
				if rows[i], did = dataset.Redact(r); did {
					changed++
				}
			}
			return WriteRows(s, rows, Facts{"counts": map[string]int{"changed": changed}})
		})
}
