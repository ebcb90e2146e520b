package builtins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"starbook/gpu/train"
)

// folder is where the files of a training are gathered, laid out as the
// Trainer of transformers does, without its pickles: final/, checkpoint-N/,
// trainer_state.json and training_summary.json. All of a model lies beside the
// latter, not in final/: there it is a model like others.
func (f *fitting) folder() string { return filepath.Join(f.step.Scratch(), "trained") }

// checkpointPath is where the trajectory keeps a checkpoint. What is written
// before a kill is written again, to the same bytes, or stands.
func (f *fitting) checkpointPath(step int) string {
	return filepath.Join(f.shared.Dir, fmt.Sprintf("checkpoint-%d", step))
}

// checkpoint keeps the adapter after an update, if one is due.
func (f *fitting) checkpoint(step int) error {
	if f.adapter == nil || f.saveSteps <= 0 || step%f.saveSteps != 0 {
		return nil
	}
	if err := f.adapter.Save(f.checkpointPath(step), f.base); err != nil {
		return err
	}
	return f.writeState(f.checkpointPath(step), step)
}

// final gathers the checkpoints up to the end, the adapter or else the model as it
// is, and what is known of the training.
func (f *fitting) final(m *loaded, facts Facts) error {
	if err := os.RemoveAll(f.folder()); err != nil {
		return err
	}
	for step := f.saveSteps; f.saveSteps > 0 && step <= f.end; step += f.saveSteps {
		if err := os.CopyFS(filepath.Join(f.folder(), filepath.Base(f.checkpointPath(step))), os.DirFS(f.checkpointPath(step))); err != nil {
			return err
		}
	}
	save := func() error { return m.save(f.folder()) }
	if f.adapter != nil {
		save = func() error { return f.adapter.Save(filepath.Join(f.folder(), "final"), f.base) }
	}
	if err := save(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.folder(), "training_summary.json"), append(summary(facts), '\n'), 0o644); err != nil {
		return err
	}
	return f.writeState(f.folder(), f.end)
}

// save writes the weights as they are, and the files beside them that do not change.
func (l *loaded) save(dir string) error {
	if err := l.Save(dir, "F32"); err != nil {
		return err
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"} {
		b, err := os.ReadFile(filepath.Join(l.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeState writes a trainer_state.json from the step's own series up to an
// update.
func (f *fitting) writeState(dir string, step int) error {
	updates, err := f.updates(step)
	if err != nil {
		return err
	}
	raw := train.TrainerState(f.options, f.about.Rows, updates, f.stopper)
	return os.WriteFile(filepath.Join(dir, "trainer_state.json"), raw, 0o644)
}

// updates reads the first updates back from the series.
func (f *fitting) updates(n int) ([]train.Update, error) {
	all := make([]train.Update, n)
	for i := range all {
		all[i].Step, all[i].Epoch = i+1, float64(i+1)/float64(f.about.PerEpoch)
	}
	for _, series := range []struct {
		name string
		set  func(u *train.Update, v float64)
	}{
		{"train/loss", func(u *train.Update, v float64) { u.Loss = v }},
		{"train/grad_norm", func(u *train.Update, v float64) { u.GradNorm = v }},
		{"train/learning_rate", func(u *train.Update, v float64) { u.LR = v }},
		{"train/rows", func(u *train.Update, v float64) { u.Rows = int(v) }},
		{"eval/loss", func(u *train.Update, v float64) { u.Eval = &train.Eval{Step: u.Step, Loss: v} }},
	} {
		points, err := f.step.Store().Points(f.step.Key(), series.name)
		if err != nil {
			return nil, err
		}
		for _, p := range points {
			if p.X >= 1 && p.X <= int64(n) {
				series.set(&all[p.X-1], p.V)
			}
		}
	}
	var rule train.Stopper
	for _, u := range all {
		if u.Eval != nil {
			u.Eval.Best = rule.Judge(u.Eval.Loss).Best
		}
	}
	return all, nil
}

// adapterIn is where the adapter of a folder lies.
func adapterIn(dir string) string {
	final := filepath.Join(dir, "final")
	if _, err := os.Stat(filepath.Join(final, "adapter_config.json")); err == nil {
		return final
	}
	return dir
}
