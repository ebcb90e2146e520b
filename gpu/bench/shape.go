// Package bench measures training, generation and single operations of models
// of known shapes with random weights, beside what the machine does at best.
package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"starbook/gpu/model"
)

// shapes are the configurations as their publishers give them, and a tiny one for tests.
var shapes = map[string]model.Config{
	"qwen2.5-7b": {
		Family: "Qwen2ForCausalLM", Vocab: 152064, Hidden: 3584, FeedForward: 18944, Layers: 28, Heads: 28, KVHeads: 4, HeadDim: 128,
		MaxPositions: 32768, NormEps: 1e-6, Rope: model.Rope{Theta: 1e6, Kind: "default"},
	},
	"llama-3.1-8b": {
		Family: "LlamaForCausalLM", Vocab: 128256, Hidden: 4096, FeedForward: 14336, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128,
		MaxPositions: 131072, NormEps: 1e-5, Rope: model.Rope{Theta: 5e5, Kind: "llama3", Factor: 8, Low: 1, High: 4, Old: 8192},
	},
	"qwen3-8b": {
		Family: "Qwen3ForCausalLM", Vocab: 151936, Hidden: 4096, FeedForward: 12288, Layers: 36, Heads: 32, KVHeads: 8, HeadDim: 128,
		MaxPositions: 40960, NormEps: 1e-6, Rope: model.Rope{Theta: 1e6, Kind: "default"},
	},
	"qwen3-0.6b": {
		Family: "Qwen3ForCausalLM", Vocab: 151936, Hidden: 1024, FeedForward: 3072, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128,
		MaxPositions: 40960, NormEps: 1e-6, Tied: true, Rope: model.Rope{Theta: 1e6, Kind: "default"},
	},
	"smollm2-135m": {
		Family: "LlamaForCausalLM", Vocab: 49152, Hidden: 576, FeedForward: 1536, Layers: 30, Heads: 9, KVHeads: 3, HeadDim: 64,
		MaxPositions: 8192, NormEps: 1e-5, Tied: true, Rope: model.Rope{Theta: 1e5, Kind: "default"},
	},
	"tiny": {
		Family: "Qwen2ForCausalLM", Vocab: 512, Hidden: 64, FeedForward: 96, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 16,
		MaxPositions: 2048, NormEps: 1e-6, Rope: model.Rope{Theta: 1e4, Kind: "default"},
	},
}

// Shapes returns the names of the shapes.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// Shape returns the configuration of a shape.
func Shape(name string) (model.Config, error) {
	c, ok := shapes[name]
	if !ok {
		return c, fmt.Errorf("bench: there is no shape %q: there are %s", name, strings.Join(Shapes(), ", "))
	}
	c.BOS, c.Type = -1, "bfloat16"
	return c, nil
}
