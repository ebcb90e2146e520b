package train

import (
	"os"
	"path/filepath"
	"testing"
)

// TestForTransformers writes a trainer_state.json for transformers to read: .ci/full hf.
func TestForTransformers(t *testing.T) {
	out := os.Getenv("STARBOOK_HF")
	if out == "" {
		t.Skip("STARBOOK_HF names no folder")
	}
	updates := []Update{{Step: 1, Epoch: 0.5, Loss: 2, GradNorm: 1, LR: 0.1, Rows: 9, Eval: &Eval{Step: 1, Loss: 1.5, Best: true}}}
	raw := TrainerState(Options{Epochs: 2, Batch: 4}, 8, updates, Stopper{Patience: 3})
	if err := os.WriteFile(filepath.Join(out, "trainer_state.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
