package builtins

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"starbook/builtins/dataset"
	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/train"
	"starbook/runtime"
)

func loraModule() Module {
	return Module{
		Name:  "lora",
		Doc:   "Low-rank adapters, in PEFT's terms and files.",
		Funcs: []Func{loraOpen(), loraTrain(), loraMerge()},
	}
}

func adapterKind() KindDoc {
	return KindDoc{
		Name: "adapter",
		Doc: "A LoRA adapter as PEFT writes it: adapter_config.json and adapter_model.safetensors. One that was trained here lies\n" +
			"in final/, beside checkpoint-N/, trainer_state.json and training_summary.json.",
		Facts: []Fact{
			{"best_step", "update after which the kept weights were taken"},
			{"best_eval_loss", "loss on the validation rows there, in nats per trained token"},
			{"stopped_step", "last update"},
			{"stopped", "why training ended: patience, or end"},
			{"trainable", "numbers that were trained"},
			{"tokens", "how many were computed in all updates"},
			{"quantise", "what the base was rounded to while it was trained, if it was"},
			{"decisions", "what early stopping thought of each evaluation"},
		},
	}
}

// trainArgs are common to adapters and full training.
type trainArgs struct {
	Prompt      string  `arg:"prompt={prompt}\n" doc:"what comes before the trained text; names of columns in braces are filled in"`
	Completion  string  `arg:"completion=completion" doc:"column with the text to be learnt"`
	Turns       string  `arg:"turns=all" doc:"which of the assistant's turns in a conversation are learnt: all or last" hash:"set"`
	LR          float64 `arg:"lr=2e-4" doc:"learning rate at the top of the schedule"`
	Schedule    string  `arg:"schedule=linear" doc:"constant, linear, cosine or wsd"`
	Warmup      float64 `arg:"warmup=0.0" doc:"updates, or below 1 a share of all"`
	Decay       float64 `arg:"decay=0.1" doc:"how long the schedule wsd falls at its end: updates, or below 1 a share of all" hash:"set"`
	Epochs      float64 `arg:"epochs=3.0" doc:"passes over the data at most"`
	MaxSteps    int     `arg:"max_steps=0" doc:"updates at most; 0: as epochs says"`
	BatchSize   int     `arg:"batch_size=8" doc:"examples per update"`
	MicroTokens int     `arg:"micro_tokens=4096" doc:"tokens computed at a time at most: as many as fit, and on the CPU 1,024, which keep it busy" hash:"-"`
	Recompute   int     `arg:"recompute=-1" doc:"what is computed again to save memory: 0 nothing, 1 norms and activations, 2 whole blocks; -1: as little as fits" hash:"-"`
	WeightDecay float64 `arg:"weight_decay=0.0" doc:"of AdamW"`
	MaxGradNorm float64 `arg:"max_grad_norm=1.0" doc:"gradients are clipped to it; 0: not"`
	EvalSteps   int     `arg:"eval_steps=0" doc:"updates between evaluations; 0: once an epoch"`
	Validation  *Handle `arg:"validation=None" kind:"dataset" doc:"rows to evaluate on; without them validation_split is taken from the data"`
	Split       float64 `arg:"validation_split=0.05" doc:"share of the data, by parent, that is held out for evaluation"`
	Patience    int     `arg:"patience=3" doc:"evaluations in a row without improvement before training stops; 0: never" hash:"stop"`
	MinDelta    float64 `arg:"min_delta=0.0" doc:"an improvement is more than this, in nats" hash:"stop"`
	Seed        int64   `arg:"seed=1" doc:"of weights, order, dropout and split"`
	MaxTokens   int     `arg:"max_tokens=0" doc:"longer examples are left out, and counted; 0: the model's context, which is the most"`
	Logits      Handle  `arg:"logits=None" kind:"logits" doc:"of distill.logits: what a larger model predicts is learnt too" hash:"set"`
	LogitsShare float64 `arg:"logits_share=0.5" doc:"how much of the loss that is; the rest is the text's" hash:"set"`
	chatArgs
}

func (a *trainArgs) check() error {
	switch {
	case a.Split < 0 || a.Split >= 1:
		return fmt.Errorf("validation_split: got %g, want 0 to below 1", a.Split)
	case a.Patience > 0 && a.Split == 0 && a.Validation == nil:
		return errors.New("patience needs rows to evaluate on: give validation_split or validation, or set patience=0")
	case !(a.LogitsShare > 0 && a.LogitsShare <= 1):
		return fmt.Errorf("logits_share: got %g, want more than 0, and 1 at most", a.LogitsShare)
	case a.Recompute < -1 || a.Recompute > model.RecomputeBlocks:
		return fmt.Errorf("recompute: got %d, want -1, 0, 1 or 2", a.Recompute)
	case a.Patience < 0 || a.MinDelta < 0:
		return errors.New("patience and min_delta may not be negative")
	case a.EvalSteps < 0 || a.MaxTokens < 0:
		return fmt.Errorf("eval_steps is %d and max_tokens %d: neither may be negative", a.EvalSteps, a.MaxTokens)
	}
	if err := a.options().Check(); err != nil {
		return err
	}
	if err := checkTurns(a.Turns); err != nil {
		return err
	}
	return a.checkChat()
}

func (a *loraTrainArgs) check() error {
	if _, err := quantised(a.Quantise); err != nil {
		return err
	}
	if a.Init == model.PiSSA && a.Quantise != "" {
		return errors.New("init: pissa takes the base's matrices apart, which quantise rounds: leave one of them out")
	}
	if a.LoRAPlus < 0 || a.SaveSteps < 0 {
		return fmt.Errorf("lora_plus is %g and save_steps %d: neither may be negative", a.LoRAPlus, a.SaveSteps)
	}
	if err := a.lora().Check(); err != nil {
		return err
	}
	return a.trainArgs.check()
}

func (a *trainArgs) options() train.Options {
	o := train.Default()
	o.Epochs, o.MaxSteps, o.Batch, o.MicroTokens, o.Recompute = a.Epochs, a.MaxSteps, a.BatchSize, a.MicroTokens, a.Recompute
	o.LR, o.Schedule, o.Warmup, o.Decay, o.WeightDecay = a.LR, train.Schedule(a.Schedule), a.Warmup, a.Decay, a.WeightDecay
	o.MaxGradNorm, o.EvalSteps, o.Seed = a.MaxGradNorm, a.EvalSteps, uint64(a.Seed)
	return o
}

type loraTrainArgs struct {
	Model     Handle             `arg:"model" kind:"model" doc:"the base; it does not change"`
	Data      Handle             `arg:"data" kind:"dataset" doc:"rows with prompt and completion"`
	Rank      int                `arg:"r=8" doc:"width of the adapter"`
	Alpha     float64            `arg:"alpha=16.0" doc:"scale: alpha / r"`
	Dropout   float64            `arg:"dropout=0.0" doc:"share of inputs dropped in training"`
	Targets   []string           `arg:"targets=[\"all-linear\"]" doc:"modules by their names or ends of them, as PEFT has it; all-linear: the seven projections of every layer"`
	Match     string             `arg:"match=" doc:"in place of targets: a regular expression that whole names must match" hash:"set"`
	Exclude   []string           `arg:"exclude=[]" doc:"targets that get no adapter after all" hash:"set"`
	RSLoRA    bool               `arg:"rslora=false" doc:"scale by alpha / sqrt(r) instead"`
	Ranks     map[string]int     `arg:"rank_pattern={}" doc:"r of single modules: the keys are expressions for the ends of their names" hash:"set"`
	Alphas    map[string]float64 `arg:"alpha_pattern={}" doc:"alpha of single modules, likewise" hash:"set"`
	Init      string             `arg:"init=" doc:"how A and B begin: as LoRA does, or pissa: as the largest singular values of the base's matrices, of which it keeps the rest while it is trained. What is kept is an adapter of the base as it was, with twice the rank" hash:"set"`
	Quantise  string             `arg:"quantise=" doc:"round the layers' matrices of the base when it is loaded: int8, or nf4 as QLoRA does, so that it takes a half or a quarter of the memory" hash:"set"`
	LoRAPlus  float64            `arg:"lora_plus=0.0" doc:"learning rate of B as a multiple of A's; 0: the same"`
	SaveSteps int                `arg:"save_steps=0" doc:"updates between adapters that are kept as checkpoint-N; 0: only the best is" hash:"set"`
	trainArgs
}

func (a *loraTrainArgs) lora() model.LoRA {
	l := model.LoRA{
		Rank: a.Rank, Alpha: a.Alpha, Dropout: a.Dropout, Targets: a.Targets, Match: a.Match, Exclude: a.Exclude,
		RSLoRA: a.RSLoRA, Ranks: a.Ranks, Alphas: a.Alphas, Seed: uint64(a.Seed), Init: a.Init,
	}
	if l.Match != "" {
		l.Targets = nil
	}
	return l
}

func loraTrain() Func {
	return step("lora.train", 2, runtime.GPU, "Trains an adapter on completions.\n"+
		"The best weights by validation loss are kept, in final/. A killed training goes on where it was, to the same bits.\n"+
		"Trainings that differ in patience and min_delta only share their updates: the later one takes from the checkpoints what it\n"+
		"would have kept, and trains no further than it must. starbook gc --trajectories gives their room back.\n"+
		"Rows become tokens once, for all trainings that read them in the same way; what init=\"pissa\" begins with is found once, too.",
		func(ctx context.Context, h *Host, s *runtime.Step, a loraTrainArgs) (runtime.Artifact, error) {
			quantise, err := quantised(a.Quantise)
			if err != nil {
				return runtime.Artifact{}, err
			}
			o := a.options()
			o.LoRAPlus = a.LoRAPlus
			outlined := func(m *model.Transformer) (*model.Adapter, error) { return model.NewAdapter(m, a.lora()) }
			o, rows, err := h.planned(ctx, s, a.Model, quantise, outlined, a.Data, a.trainArgs, o)
			if err != nil {
				return runtime.Artifact{}, err
			}
			m, err := h.openQuantised(s, a.Model, quantise)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			adapter, err := a.begin(ctx, s, m.Transformer)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer adapter.Close()
			f := &fitting{step: s, rows: rows, adapter: adapter, base: modelName(a.Model), saveSteps: a.SaveSteps}
			facts, err := f.fit(ctx, m, a.trainArgs, o, trajectoryOf(a))
			if err != nil {
				return runtime.Artifact{}, err
			}
			if a.Quantise != "" {
				facts["quantise"] = a.Quantise
			}
			return keep(s, "adapter", f.folder(), func(string) bool { return true }, facts)
		}).judged()
}

type loraOpenArgs struct {
	Path File `arg:"path" kind:"folder" doc:"folder with adapter_config.json and adapter_model.safetensors, or one with such a final/"`
}

func loraOpen() Func {
	return step("lora.open", 1, runtime.CPU, "Takes an adapter of PEFT into the store. What this engine does not compute as PEFT does is refused by name.",
		func(_ context.Context, _ *Host, s *runtime.Step, a loraOpenArgs) (runtime.Artifact, error) {
			l, err := model.ReadLoRA(adapterIn(a.Path.Path))
			if err != nil {
				return runtime.Artifact{}, err
			}
			return keep(s, "adapter", adapterIn(a.Path.Path), func(name string) bool {
				return name == "adapter_config.json" || name == "adapter_model.safetensors"
			}, Facts{"name": filepath.Base(a.Path.Path), "r": l.Rank})
		})
}

type modelTrainArgs struct {
	Model Handle `arg:"model" kind:"model" doc:"where to begin"`
	Data  Handle `arg:"data" kind:"dataset" doc:"rows with prompt and completion"`
	Name  string `arg:"name=trained" doc:"what reports call the result"`
	trainArgs
}

func modelTrain() Func {
	return step("model.train", 2, runtime.GPU, "Trains all weights of a model on completions, as lora.train does with an adapter.\n"+
		"trainer_state.json and training_summary.json lie beside the weights.",
		func(ctx context.Context, h *Host, s *runtime.Step, a modelTrainArgs) (runtime.Artifact, error) {
			begin := func(m *model.Transformer) (*model.Adapter, error) {
				_, err := m.Unfreeze()
				return nil, err
			}
			o, rows, err := h.planned(ctx, s, a.Model, gpu.F32, begin, a.Data, a.trainArgs, a.options())
			if err != nil {
				return runtime.Artifact{}, err
			}
			m, err := h.open(s, a.Model)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			if _, err := begin(m.Transformer); err != nil {
				return runtime.Artifact{}, err
			}
			f := &fitting{step: s, rows: rows}
			facts, err := f.fit(ctx, m, a.trainArgs, o, trajectoryOf(a))
			if err != nil {
				return runtime.Artifact{}, err
			}
			facts["name"], facts["parameters"] = a.Name, m.Config.Size()
			return keep(s, "model", f.folder(), func(string) bool { return true }, facts)
		}).judged()
}

// learnable is the rows of a training as tokens.
type learnable struct {
	examples, held []train.Example
	left           int // too long
}

// rows reads the rows of a training as tokens, and holds some out, by parent. The model
// takes so many positions.
func (a *trainArgs) rows(ctx context.Context, s *runtime.Step, m, data Handle, positions int) (*learnable, error) {
	how := tokensArgs{Data: data, Prompt: a.Prompt, Completion: a.Completion, Turns: a.Turns, chatArgs: a.chatArgs}
	t, err := how.read(ctx, s, m)
	if err != nil {
		return nil, err
	}
	examples, held := t.examples, []train.Example(nil)
	if a.Validation != nil {
		how.Data = *a.Validation
		v, err := how.read(ctx, s, m)
		if err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
		held = v.examples
	} else if a.Split > 0 {
		parts, err := dataset.SplitRoots(t.roots, []float64{1 - a.Split, a.Split}, uint64(a.Seed))
		if err != nil {
			return nil, fmt.Errorf("validation_split: %w: give rows as validation, or train without (validation_split=0, patience=0)", err)
		}
		examples, held = t.at(parts[0]), t.at(parts[1])
	}
	examples, left := atMost(s, "examples", examples, a.MaxTokens, positions)
	held, more := atMost(s, "validation examples", held, a.MaxTokens, positions)
	return &learnable{examples, held, left + more}, nil
}
