package builtins

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"starbook/builtins/dataset"

	"go.starlark.net/starlark"

	"starbook/builtins/grade"
	"starbook/runtime"
	"starbook/runtime/store"
)

func evalModule() Module {
	return Module{
		Name:  "eval",
		Doc:   "Pass rates on held-out items, with intervals.",
		Funcs: []Func{evalRun(), evalGrade()},
	}
}

func scoresKind() KindDoc {
	return KindDoc{
		Name: "scores",
		Doc:  "Graded answers. A rate prints with its 95 % Wilson interval.",
		Facts: []Fact{
			{"n", "items"},
			{"passed", "items that passed"},
			{"pass_rate", "passed / n"},
			{"low", "lower end of the 95 % interval"},
			{"high", "upper end of the 95 % interval"},
			{"outcomes", "items by outcome: pass, fail, truncated, empty, unparsable, refused, unscored"},
			{"model", "who answered"},
			{"grader", "who judged"},
		},
		Methods: []Func{scoresFailures()},
		Note:    rateNote,
	}
}

type evalRunArgs struct {
	Model   Handle         `arg:"model" kind:"model" doc:"who answers"`
	Items   Handle         `arg:"items" kind:"dataset" doc:"rows with prompts and references"`
	Grader  starlark.Value `arg:"grader" doc:"of module grade, or a function(prompt, answer, want)"`
	Adapter Handle         `arg:"adapter=None" kind:"adapter" doc:"used without merging it"`
	Want    string         `arg:"want=answer" doc:"column with the reference"`
	Name    string         `arg:"name=" doc:"what reports call the model; empty: its own name"`
	decodingArgs
}

func evalRun() Func {
	return step("eval.run", 1, runtime.GPU, "Lets a model answer every item and grades the answers.",
		func(ctx context.Context, h *Host, s *runtime.Step, a evalRunArgs) (runtime.Artifact, error) {
			g, err := graderOf(a.Grader)
			if err != nil {
				return runtime.Artifact{}, err
			}
			rows, err := ReadRows(s.Store(), a.Items)
			if err != nil {
				return runtime.Artifact{}, err
			}
			m, err := h.open(s, a.Model)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			adapter, err := m.adapter(s, a.Adapter)
			if err != nil {
				return runtime.Artifact{}, err
			}
			if adapter != nil {
				defer adapter.Close()
			}
			answers, err := m.write(ctx, s, adapter, rows, a.decodingArgs)
			if err != nil {
				return runtime.Artifact{}, err
			}
			name := a.Name
			if name == "" {
				name = modelName(a.Model)
			}
			return score(ctx, s, g, rows, answers, a.Want, name)
		})
}

type evalGradeArgs struct {
	Data   Handle         `arg:"data" kind:"dataset" doc:"rows with answers and references"`
	Grader starlark.Value `arg:"grader" doc:"of module grade, or a function(prompt, answer, want)"`
	Answer string         `arg:"answer=guess" doc:"column with the answer"`
	Want   string         `arg:"want=answer" doc:"column with the reference"`
	Name   string         `arg:"name=" doc:"what reports call it"`
}

func evalGrade() Func {
	return step("eval.grade", 1, runtime.CPU, "Grades answers that are there already.",
		func(ctx context.Context, _ *Host, s *runtime.Step, a evalGradeArgs) (runtime.Artifact, error) {
			g, err := graderOf(a.Grader)
			if err != nil {
				return runtime.Artifact{}, err
			}
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			answers := make([]answer, len(rows))
			for i, r := range rows {
				text, ok := dataset.Text(r, a.Answer)
				if !ok {
					return runtime.Artifact{}, fmt.Errorf("row %d has no text in column %q", i+1, a.Answer)
				}
				cut, _ := r["truncated"].(bool)
				answers[i] = answer{text: text, truncated: cut}
			}
			return score(ctx, s, g, rows, answers, a.Want, a.Name)
		})
}

// score grades answers and makes a scores artifact: the samples, one a line.
func score(ctx context.Context, s *runtime.Step, g grade.Grader, rows []Row, answers []answer, want, name string) (runtime.Artifact, error) {
	items := make([]grade.Item, len(rows))
	for i, r := range rows {
		reference, ok := dataset.Text(r, want)
		if !ok {
			return runtime.Artifact{}, fmt.Errorf("row %d has no text in column %q, the reference", i+1, want)
		}
		prompt, _ := dataset.Text(r, "prompt")
		items[i] = grade.Item{Prompt: prompt, Answer: answers[i].text, Want: reference, Row: json.RawMessage(encode(r)), Truncated: answers[i].truncated}
	}
	const share = 64 // items graded between two signs of life
	scores := make([]grade.Score, 0, len(items))
	for i := 0; i < len(items); i += share {
		part, err := grade.All(ctx, g, items[i:min(i+share, len(items))])
		if err != nil {
			return runtime.Artifact{}, err
		}
		scores = append(scores, part...)
		s.Progress(int64(len(scores)), int64(len(items)), "graded")
	}
	samples := make([]store.Sample, len(rows))
	outcomes, passed := map[string]int{}, 0
	for i, r := range rows {
		group, _ := dataset.Text(r, "group")
		parent := dataset.Parent(r)
		if parent == "" {
			parent = dataset.ID(r)
		}
		samples[i] = store.Sample{
			Index: i, ID: dataset.ID(r), Parent: parent, Group: group, Prompt: items[i].Prompt, Want: items[i].Want, Answer: items[i].Answer,
			Outcome: string(scores[i].Outcome), Score: scores[i].Value, Note: scores[i].Note, Tokens: answers[i].tokens, LogProb: answers[i].mean,
		}
		outcomes[samples[i].Outcome]++
		if scores[i].Outcome == grade.Pass {
			passed++
		}
	}
	if err := s.Samples(samples); err != nil {
		return runtime.Artifact{}, err
	}
	return scoresArtifact(s, samples, Facts{"outcomes": outcomes, "model": name, "grader": g.Name()}, passed)
}

func scoresArtifact(s *runtime.Step, samples []store.Sample, facts Facts, passed int) (runtime.Artifact, error) {
	w, err := s.Create()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.Abort()
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, sample := range samples {
		if err := enc.Encode(sample); err != nil {
			return runtime.Artifact{}, err
		}
	}
	if err := out.Flush(); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	n := len(samples)
	interval := grade.Wilson(passed, n, 0.95)
	facts["n"], facts["passed"], facts["low"], facts["high"] = n, passed, interval.Lo, interval.Hi
	if n > 0 {
		facts["pass_rate"] = float64(passed) / float64(n)
		facts["score"] = facts["pass_rate"] // what @best goes by
	}
	return runtime.Artifact{Kind: "scores", Digest: g, Summary: summary(facts)}, err
}

// samplesOf reads a scores artifact.
func samplesOf(st *store.Store, h Handle) ([]store.Sample, error) {
	f, err := st.Blobs.Open(h.Digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []store.Sample
	for dec := json.NewDecoder(bufio.NewReader(f)); dec.More(); {
		var s store.Sample
		if err := dec.Decode(&s); err != nil {
			return nil, fmt.Errorf("%s: %w", h, err)
		}
		out = append(out, s)
	}
	return out, nil
}

type failuresArgs struct {
	Scores Handle `arg:"scores" kind:"scores" doc:"of eval.run"`
}

func scoresFailures() Func {
	return step("scores.failures", 1, runtime.None, "Returns the items that did not pass, as a dataset: id, prompt, answer (the reference) and guess.",
		func(_ context.Context, _ *Host, s *runtime.Step, a failuresArgs) (runtime.Artifact, error) {
			samples, err := samplesOf(s.Store(), a.Scores)
			if err != nil {
				return runtime.Artifact{}, err
			}
			var rows []Row
			for _, x := range samples {
				if x.Outcome != string(grade.Pass) {
					rows = append(rows, Row{"id": x.ID, "parent": x.Parent, "prompt": x.Prompt, "answer": x.Want, "guess": x.Answer, "outcome": x.Outcome})
				}
			}
			return WriteRows(s, rows, nil)
		})
}

// rateNote prints a rate as a sceptic wants it.
func rateNote(facts map[string]any) string {
	b, err := json.Marshal(facts)
	var f struct {
		N, Passed int
		Low, High float64
		Rate      float64 `json:"pass_rate"`
	}
	if err != nil || json.Unmarshal(b, &f) != nil {
		return ""
	}
	return fmt.Sprintf("%.1f %% pass, %d of %d, 95 %% interval %.1f to %.1f", 100*f.Rate, f.Passed, f.N, 100*f.Low, 100*f.High)
}
