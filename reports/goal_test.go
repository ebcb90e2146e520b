package reports

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"starbook/runtime/cas"
	"starbook/runtime/store"
)

// sought puts trials of a sweep that looks for o. Their losses and their pass rates rank them in
// opposite orders; the last failed behind its training.
func (f *fixture) sought(o store.Objective) (ids []string) {
	f.t.Helper()
	base := f.step("model.load", "model", "base", 1, 0, map[string]any{})
	for i, loss := range []float64{0.5, 0.2, 0.4, 0.3, 0.1} {
		id := fmt.Sprintf("0000000%d", i)
		f.ok(f.st.BeginRun(store.Run{
			ID: id, Notebook: "nb.star", Started: noon, Sweep: "5eed5eed", Trial: i + 1, Objective: o,
			Params: encode(map[string]any{"lr": param(0.001*float64(1+i), 0.01, "")}),
		}))
		train := store.Step{
			Key: cas.Sum([]byte("train " + id)), Name: "lora.train", Kind: "adapter", Output: base.Output, Created: noon,
			Summary: encode(map[string]any{"stopped_step": 9, "best_step": 9, "best_eval_loss": loss}),
		}
		f.ok(f.st.PutStep(train))
		scores, _ := f.score("scores "+id, "tuned", 200, loss, 5)
		f.ok(f.st.PutUse(store.Use{Run: id, Seq: 1, Key: train.Key, Name: train.Name, Seconds: 1}))
		f.ok(f.st.PutUse(store.Use{Run: id, Seq: 2, Key: scores.Key, Name: scores.Name, Seconds: 1}))
		st, exit := store.Done, 0
		if i == 4 {
			st, exit = store.Failed, 1
		}
		f.ok(f.st.EndRun(id, st, exit, ""))
		ids = append(ids, id)
	}
	return ids
}

// boardOrder returns the runs of a page's board, from the top.
func boardOrder(page string) (last string) {
	board := regexp.MustCompile(`(?s)<table class="board">.*?</table>`).FindString(page)
	for _, m := range regexp.MustCompile(`<code>0000000(\d)</code>`).FindAllStringSubmatch(board, -1) {
		last += m[1]
	}
	return last
}

// The page of a sweep ranks by what the sweep looks for.
func TestBoardFollowsTheObjective(t *testing.T) {
	for _, c := range []struct {
		objective store.Objective
		order     string
		says      []string
	}{
		{store.Objective{Fact: "lora.train.best_eval_loss", Minimize: true}, "13204", []string{
			"lr 0.002 (run 00000001) has the least eval loss of 5 runs: 0.2. The next is lr 0.004 (run 00000003) with 0.3.",
			"Leader board by eval loss, least first", "Eval loss against lr", "sweep 5eed5eed , to minimize lora.train.best_eval_loss",
		}},
		{store.Objective{Fact: "lora.train.best_eval_loss"}, "02314", []string{"has the greatest eval loss of 5 runs: 0.5.", "Leader board by eval loss, greatest first"}},
		{store.Objective{Fact: "lora.train.stopped_step", Minimize: true}, "01234", []string{
			"lr 0.001 (run 00000000) has the least lora.train.stopped_step of 5 runs: 9. 3 other runs came to the same.",
			"Leader board by lora.train.stopped_step, least first", "lora.train.stopped_step against lr",
		}},
		{store.Objective{Fact: "eval.pass_rate"}, "02314", []string{"lr 0.001 (run 00000000) leads with", "Leader board by pass rate, greatest first"}},
		{store.Objective{Fact: "eval.pass_rate", Minimize: true}, "13204", []string{"Leader board by pass rate, least first"}},
		{store.Objective{}, "02314", []string{"Leader board by pass rate, greatest first"}},
	} {
		f := newFixture(t)
		page := f.page(f.sought(c.objective)...)
		if got := boardOrder(page); got != c.order {
			t.Errorf("%+v: the board is %s, want %s", c.objective, got, c.order)
		}
		for _, want := range c.says {
			if !strings.Contains(spoken(page), want) {
				t.Errorf("%+v: the page does not say %q", c.objective, want)
			}
		}
	}
}

// Runs of sweeps that look for different things are ranked by their pass rates.
func TestMixedObjectives(t *testing.T) {
	f := newFixture(t)
	ids := f.sought(store.Objective{Fact: "lora.train.best_eval_loss", Minimize: true})
	f.ok(f.st.BeginRun(store.Run{ID: "00000009", Notebook: "nb.star", Started: noon}))
	f.ok(f.st.EndRun("00000009", store.Done, 0, ""))
	if page := f.page(append(ids, "00000009")...); boardOrder(page) != "023149" || !strings.Contains(page, "Leader board by pass rate") {
		t.Errorf("the board is %s", boardOrder(page))
	}
}
