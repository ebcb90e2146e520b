package builtins

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/runtime/event"
)

// draftBench has rows that two models of one tokenizer learn, and a third that has
// another tokenizer.
func draftBench(t *testing.T) *bench {
	b := newBench(t)
	b.host.OpenDevice = func() (gpu.Device, error) { return cpu.New(cpu.Options{Threads: 1}) }
	t.Cleanup(func() { b.host.Close() })
	var rows strings.Builder
	for i := range 30 {
		fmt.Fprintf(&rows, "{\"id\":\"r%d\",\"prompt\":\"number %d is\",\"completion\":\"%s number\"}\n", i, i, []string{"an even", "an odd"}[i%2])
	}
	b.write("rows.jsonl", rows.String())
	b.write("held.jsonl", "{\"id\":\"h\",\"prompt\":\"number 52 is\",\"completion\":\"an even number\"}\n")
	return b
}

const drafting = `
rows  = data.jsonl("rows.jsonl")
held  = data.jsonl("held.jsonl")
words = model.tokenizer(rows, vocab = 300, columns = ["prompt", "completion"])
large = model.train(model.new(words, dim = 32, layers = 2, heads = 2, hidden = 64, context = 64, seed = 3), rows,
    lr = 0.01, epochs = 5.0, validation_split = 0.0, patience = 0, name = "large")
small = model.new(words, dim = 16, layers = 1, heads = 2, hidden = 32, context = 64, seed = 4, name = "small")
alien = model.new(model.tokenizer(rows, vocab = 270, columns = ["prompt"]), dim = 16, layers = 1, heads = 2, hidden = 32, context = 64, name = "alien")
`

// A draft is trained on what the large model predicts, whole or by an adapter, and
// proposes. Answers are those without it, so that it is in no fingerprint.
func TestDrafts(t *testing.T) {
	script := drafting + `
soft  = distill.logits(large, data.combine(rows, held), k = 8, temperature = 1.5)

eq([soft.model, soft.k, soft.examples, soft.mass > 0.05 and soft.mass <= 1.0], ["large", 8, 31, True])
draft = model.train(small, rows, logits = soft, logits_share = 1.0, validation = held, lr = 0.01, epochs = 8.0, name = "draft")
thin  = lora.train(small, rows, logits = soft, validation = held, r = 8, lr = 0.05, epochs = 8.0)
said  = model.generate(large, rows, max_new_tokens = 12, batch_size = 2%s)
score = eval.run(large, rows, grader = grade.contains(), want = "completion", max_new_tokens = 12, batch_size = 2%s)
`
	with, without := draftBench(t), draftBench(t)
	for b, draft := range map[*bench]string{with: ", draft = draft, draft_tokens = 3", without: ""} {
		if _, err := b.run(fmt.Sprintf(script, draft, draft)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []string{"model.generate", "eval.answers", "distill.logits"} {
		if got, want := with.outputs(step), without.outputs(step); len(want) != 1 || !slices.Equal(got, want) {
			t.Errorf("%s: %v with a draft, %v without", step, got, want)
		}
	}
	if log := with.said(event.Log); strings.Count(log, "proposed tokens accepted") != 2 || strings.Contains(log, "draft: 0 of") {
		t.Errorf("a draft that learnt from the model: %s", log)
	}
	for training, share := range map[string]float64{"model.train": 0.8, "lora.train": 1} { // the divergence fell
		rows, err := with.store.Query(t.Context(), "SELECT key FROM step WHERE name = '"+training+"' AND args LIKE '%\"logits\"%'")
		if err != nil || len(rows.Rows) != 1 {
			t.Fatal(rows, err)
		}
		step, err := with.store.FindStep(rows.Rows[0][0].(string))
		if err != nil {
			t.Fatal(err)
		}
		points, err := with.store.Points(step.Key, "eval/loss")
		if err != nil || len(points) < 2 {
			t.Fatal(points, err)
		}
		first, last := points[0].V, points[len(points)-1].V
		if !(last < share*first) {
			t.Errorf("%s: loss on validation from %g to %g", training, first, last)
		}
	}
	with.events = nil
	if _, err := with.run(fmt.Sprintf(script, "", "")); err != nil || len(with.worked()) != 0 {
		t.Errorf("again, without the draft: %v worked, %v", with.worked(), err)
	}
}

func TestDraftsThatDoNotFit(t *testing.T) {
	b := draftBench(t)
	for script, want := range map[string]string{
		`model.generate(large, rows, draft = alien)`:                                                       "draft: alien has another tokenizer than large",
		`eval.run("http://localhost:1/v1#m", rows, grader = grade.exact(), draft = small, price = [0, 0])`: "draft: only a model of ours",
		`model.generate(large, rows, draft = small, draft_tokens = 0)`:                                     "draft_tokens: got 0",
		`model.train(alien, rows, logits = distill.logits(large, rows))`:                                   "another tokenizer",
		`model.train(small, rows, logits = distill.logits(large, rows), validation = held)`:                "the validation rows too",
		`model.train(small, rows, logits = distill.logits(large, rows), prompt = "Q: {prompt}")`:           "give distill.logits the same rows",
		`model.train(small, rows, logits = distill.logits(large, rows), logits_share = 0.0)`:               "logits_share: got 0",
		`distill.logits(large, rows, k = 1000)`:                                                            "1000 tokens of 300",
		`distill.logits(large, rows, temperature = 0.0)`:                                                   "temperature: got 0",
		`distill.logits(large, data.rows([{"prompt": "a", "completion": "b " * 500}]), k = 2)`:             "",
	} {
		_, err := b.run(drafting + script + "\n")
		if want == "" {
			want = "longer than"
			err = fmt.Errorf("%w %s", err, b.said(event.Warn))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n\terror %v, want %q", script, err, want)
		}
	}
}
