package train

import (
	"encoding/json"
	"math"
)

// TrainerState returns a trainer_state.json as transformers writes it, for
// tools that read such files: what o asked for, updates as Steps yielded them,
// and where the stopping rule stands. Wall-clock figures are left out, and a
// loss that is not a number is null.
func TrainerState(o Options, examples int, updates []Update, s Stopper) []byte {
	total, perEpoch := o.Steps(examples)
	every := o.EvalSteps
	if every == 0 {
		every = perEpoch
	}
	state := map[string]any{
		"best_global_step": nil, "best_metric": nil, "best_model_checkpoint": nil,
		"epoch": 0.0, "eval_steps": every, "global_step": 0,
		"is_hyper_param_search": false, "is_local_process_zero": true, "is_world_process_zero": true,
		"log_history": logHistory(updates), "logging_steps": 1, "max_steps": total,
		"num_input_tokens_seen": 0, "num_train_epochs": int(math.Ceil(float64(total) / float64(perEpoch))),
		"save_steps": every, "stateful_callbacks": map[string]any{"EarlyStoppingCallback": s.state(), "TrainerControl": map[string]any{
			"args": map[string]any{
				"should_epoch_stop": false, "should_evaluate": false, "should_log": false, "should_save": true,
				"should_training_stop": s.Patience > 0 && s.strikes >= s.Patience,
			},
			"attributes": map[string]any{},
		}},
		"total_flos": 0.0, "train_batch_size": o.Batch, "trial_name": nil, "trial_params": nil,
	}
	tokens := 0
	for _, u := range updates {
		tokens += u.Rows
		state["epoch"], state["global_step"], state["num_input_tokens_seen"] = u.Epoch, u.Step, tokens
		if u.Eval != nil && u.Eval.Best {
			state["best_global_step"], state["best_metric"] = u.Step, finite(u.Eval.Loss)
		}
	}
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		panic(err) // maps of strings, finite numbers and nil always marshal
	}
	return append(raw, '\n')
}

func logHistory(updates []Update) []map[string]any {
	log := []map[string]any{}
	for _, u := range updates {
		log = append(log, map[string]any{
			"epoch": u.Epoch, "grad_norm": finite(u.GradNorm), "learning_rate": u.LR,
			"loss": finite(math.Round(u.Loss*1e4) / 1e4), "step": u.Step,
		})
		if u.Eval != nil {
			log = append(log, map[string]any{"epoch": u.Epoch, "eval_loss": finite(u.Eval.Loss), "step": u.Step})
		}
	}
	return log
}

// finite returns x, or nil if JSON has no such number.
func finite(x float64) any {
	if notFinite(x) {
		return nil
	}
	return x
}

// state is what the callback keeps of itself.
func (s Stopper) state() map[string]any {
	return map[string]any{
		"args":       map[string]any{"early_stopping_patience": s.Patience, "early_stopping_threshold": s.MinDelta},
		"attributes": map[string]any{"early_stopping_patience_counter": s.strikes},
	}
}
