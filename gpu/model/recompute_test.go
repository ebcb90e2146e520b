package model

import (
	"fmt"
	"testing"

	"starbook/gpu"
)

// What is computed again changes no bit of losses and gradients, and takes less
// memory the more it is.
func TestRecomputing(t *testing.T) { onDevices(t, recomputing) }

func recomputing(t *testing.T, dev gpu.Device) {
	deep := tiny(false)
	deep.Layers = 3
	normed := deep
	normed.Family = "Qwen3ForCausalLM"
	for _, c := range []struct {
		cfg  Config
		lora *LoRA // nil: all weights
	}{
		{deep, &LoRA{Rank: 3, Alpha: 5, Targets: everything, Dropout: 0.2}},
		{normed, &LoRA{Rank: 3, Alpha: 5, Targets: []string{"q_proj", "up_proj"}, Ranks: map[string]int{"layers.1.self_attn.q_proj": 5}}},
		{normed, nil},
	} {
		m := lively(t, dev, c.cfg)
		var a *Adapter
		if c.lora != nil {
			a = livelyAdapter(t, m, *c.lora)
		} else if _, err := m.Unfreeze(); err != nil {
			t.Fatal(err)
		}
		var want string
		bytes := 1 << 62
		for level := RecomputeNone; level <= RecomputeBlocks; level++ {
			p, err := NewTraining(m, a, 32, level)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := p.Bytes(), layPass(m, a, 32, true, level).Bytes(); got >= bytes || got != want {
				t.Errorf("level %d takes %d bytes, of %d foreseen, and the level before %d", level, got, want, bytes)
			}
			bytes = p.Bytes()
			dev.Zero(p.Params().G)
			nll, err := p.Gradient(packed(m.Config), 7)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(nll, gradients(p))
			if want == "" {
				want = got
			} else if got != want {
				t.Errorf("%s, %+v: at level %d losses and gradients are\n%.300s\nand at level 0\n%.300s", c.cfg.Family, c.lora, level, got, want)
			}
			p.Close()
		}
	}
	if _, err := NewTraining(lively(t, dev, deep), nil, 32, 3); err == nil {
		t.Error("level 3 was taken")
	}
}
