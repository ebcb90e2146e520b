package model

import (
	"fmt"
	"slices"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
)

// picky is a device that likes few shapes.
type picky struct{ gpu.Device }

func (picky) Pad(n int) int { return (n + 15) / 16 * 16 }

// What a batch is filled up with changes no bit of losses, gradients and completions.
func TestFillingChangesNothing(t *testing.T) {
	for name, l := range map[string]LoRA{
		"projections": {Rank: 3, Alpha: 5, Targets: []string{"all-linear"}, Dropout: 0.2},
		"and lm_head": {Rank: 3, Alpha: 5, Targets: everything, Dropout: 0.2},
	} {
		var found []string
		for _, dev := range []gpu.Device{gpu.Checked(ref.New()), gpu.Checked(picky{ref.New()})} {
			m := lively(t, dev, tiny(false))
			a := livelyAdapter(t, m, l)
			p, err := NewPass(m, a, 21, true)
			if err != nil {
				t.Fatal(err)
			}
			var b Batch
			b.Append([]int32{3, 9, 4, 4, 7, 1}, []int32{-1, 4, 4, 7, 1, -1})
			b.Append([]int32{8, 8, 2, 5, 6, 3, 1, 0, 2, 9, 5}, []int32{8, 2, -1, 6, 3, 1, 0, 2, 9, 5, -1})
			p.c = 16 // two chunks
			nll, err := p.Gradient(&b, 7)
			if err != nil {
				t.Fatal(err)
			}
			all := collect(t, m, a, somePrompts(), Decoding{MaxNew: 6})
			few := collect(t, m, a, somePrompts(), Decoding{MaxNew: 6, Limits: []int{6, 1, 3, 6, 2, 4}, Batch: 2, Temperature: 0.8})
			text := fmt.Sprint(nll, gradients(p), all, few)
			found = append(found, text)
			if loss, err := p.Loss(&b); err != nil || len(loss) != b.Rows() || !slices.ContainsFunc(loss, func(x float32) bool { return x > 0 }) {
				t.Errorf("%s: losses %v, %v", name, loss, err)
			}
		}
		if found[0] != found[1] {
			t.Errorf("%s: filled up, a batch gives\n%.300s\nand as it is\n%.300s", name, found[1], found[0])
		}
	}
}
