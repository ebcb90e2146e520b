package builtins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"starbook/gpu/model"
	"starbook/runtime"
)

type loraMergeArgs struct {
	Model       Handle  `arg:"model" kind:"model" doc:"the base"`
	Adapter     Handle  `arg:"adapter" kind:"adapter" doc:"of lora.train, or from PEFT"`
	Name        string  `arg:"name=" doc:"what reports call the result; empty: the base's name and +lora"`
	Type        string  `arg:"type=" doc:"empty: weights keep their type; float32: those that change become that; float16: all do" hash:"set"`
	TwoRounding bool    `arg:"two_rounding=false" doc:"round the change before it is added, as PEFT's safe_merge does" hash:"set"`
	Probe       *Handle `arg:"probe=None" kind:"dataset" doc:"rows to compare the predictions of the merged model on with those of base and adapter" hash:"set"`
	Prompt      string  `arg:"prompt={prompt}\n" doc:"what the models read of such a row; names of columns in braces are filled in" hash:"set"`
	ProbeRows   int     `arg:"probe_rows=32" doc:"as many of them at most" hash:"set"`
	chatArgs
}

func (a *loraMergeArgs) check() error { return a.checkChat() }

func loraMerge() Func {
	return step("lora.merge", 2, runtime.GPU, "Folds an adapter into its base, rounding once, and says what the rounding lost.\n"+
		".retained is the share of the change that survived, .error the relative size of what was added; with probe also\n"+
		".kl, how far the merged model's predictions are from those of base and adapter, in nats per token, and .agree, how often\n"+
		"their likeliest tokens agree.",
		func(ctx context.Context, h *Host, s *runtime.Step, a loraMergeArgs) (runtime.Artifact, error) {
			dtype, ok := map[string]string{"": "", "float16": "F16", "float32": "F32"}[a.Type]
			if !ok {
				return runtime.Artifact{}, fmt.Errorf("type: got %q, want float16, float32 or nothing", a.Type)
			}
			m, err := h.openAdapted(s, a.Model, a.Adapter)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			dir, err := os.MkdirTemp("", "starbook-")
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer os.RemoveAll(dir)
			out := filepath.Join(dir, "merged")
			report, err := m.adapter.Merge(ctx, m.Dir, out, model.MergeOptions{Type: dtype, TwoRoundings: a.TwoRounding})
			if err != nil {
				return runtime.Artifact{}, err
			}
			if advice := report.Advice(dtype); advice != "" {
				s.Warn(advice)
			}
			facts := Facts{
				"name": a.Name, "parameters": m.Config.Size(), "retained": report.Total.Retained, "error": report.Total.Error,
				"worst": report.Worst().Name, "worst_error": report.Worst().Error, "tensors": len(report.Tensors),
			}
			if a.Name == "" {
				facts["name"] = modelName(a.Model) + "+lora"
			}
			if a.Probe != nil {
				if err := m.probe(ctx, s, out, a, facts); err != nil {
					return runtime.Artifact{}, err
				}
			}
			return keep(s, "model", out, modelFiles, facts)
		})
}

// probe compares the merged file with base and adapter.
func (l *loaded) probe(ctx context.Context, s *runtime.Step, merged string, a loraMergeArgs, facts Facts) error {
	rows, err := ReadRows(s.Store(), *a.Probe)
	if err != nil {
		return err
	}
	render, err := newRenderer(l.Tokenizer, l.Stops(), a.Prompt, a.chatArgs)
	if err != nil {
		return err
	}
	var texts [][]int32
	for i, r := range rows[:min(len(rows), a.ProbeRows)] {
		tokens, err := render.ask(r)
		if err != nil {
			return fmt.Errorf("row %d: %w", i+1, err)
		}
		texts = append(texts, tokens[:min(len(tokens), l.Config.MaxPositions)])
	}
	m, err := model.Open(l.Device(), merged)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err := l.Diverge(ctx, l.adapter, m, texts, 0)
	if err != nil {
		return err
	}
	s.Log(fmt.Sprintf("merged model against base and adapter, %d tokens: KL %.2g nats (worst %.2g), same likeliest token %.1f %%", d.Tokens, d.KL, d.Worst, 100*d.Agree))
	facts["kl"], facts["kl_worst"], facts["agree"], facts["probed_tokens"] = d.KL, d.Worst, d.Agree, d.Tokens
	return nil
}
