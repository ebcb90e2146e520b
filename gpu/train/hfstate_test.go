package train

import (
	"encoding/json"
	"math"
	"testing"
)

func TestTrainerStateSaysWhatHappened(t *testing.T) {
	o := Options{Epochs: 2, Batch: 4, EvalSteps: 0}
	s := Stopper{Patience: 3}
	updates := []Update{
		{Step: 1, Epoch: 0.5, Loss: 1.23456, GradNorm: 2, LR: 0.1, Rows: 10},
		{Step: 2, Epoch: 1, Loss: 1.2, GradNorm: 2, LR: 0.1, Rows: 12, Eval: &Eval{Step: 2, Loss: 1.5, Best: true}},
		{Step: 3, Epoch: 1.5, Loss: math.NaN(), GradNorm: math.Inf(1), Skipped: true},
		{Step: 4, Epoch: 2, Loss: 1.1, Rows: 10, Eval: &Eval{Step: 4, Loss: 1.6}},
	}
	for _, u := range updates {
		if u.Eval != nil {
			s.Judge(u.Eval.Loss)
		}
	}
	var got struct {
		BestStep   int              `json:"best_global_step"`
		BestMetric float64          `json:"best_metric"`
		Step       int              `json:"global_step"`
		MaxSteps   int              `json:"max_steps"`
		Epochs     int              `json:"num_train_epochs"`
		EvalSteps  int              `json:"eval_steps"`
		Tokens     int              `json:"num_input_tokens_seen"`
		LogHistory []map[string]any `json:"log_history"`
		Callbacks  map[string]struct {
			Attributes map[string]int
		} `json:"stateful_callbacks"`
	}
	if err := json.Unmarshal(TrainerState(o, 7, updates, s), &got); err != nil {
		t.Fatal(err)
	}
	if got.BestStep != 2 || got.BestMetric != 1.5 || got.Step != 4 || got.MaxSteps != 4 || got.Epochs != 2 || got.EvalSteps != 2 || got.Tokens != 32 {
		t.Errorf("%+v", got)
	}
	if n := got.Callbacks["EarlyStoppingCallback"].Attributes["early_stopping_patience_counter"]; n != 1 {
		t.Errorf("%d strikes, want 1", n)
	}
	if len(got.LogHistory) != 6 || got.LogHistory[0]["loss"] != 1.2346 || got.LogHistory[2]["eval_loss"] != 1.5 || got.LogHistory[3]["loss"] != nil {
		t.Errorf("log: %v", got.LogHistory)
	}
}
