package builtins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"starbook/builtins/dataset"
	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/token"
	"starbook/runtime"
)

func modelModule() Module {
	return Module{
		Name:  "model",
		Doc:   "Language models: Hugging Face folders of the Llama, Mistral, Qwen2 and Qwen3 families.",
		Funcs: []Func{modelOpen(), modelHub(), modelTokenizer(), modelNew(), modelTrain(), modelGenerate(), modelPreview(), modelTemplate(), modelExport()},
	}
}

func modelKind() KindDoc {
	return KindDoc{
		Name: "model",
		Doc: "Weights with their tokenizer, as a Hugging Face folder, or beside one in a GGUF file. With one that was trained whole\n" +
			"lie its trainer_state.json and training_summary.json.",
		Facts: []Fact{
			{"name", "of the folder it came from"},
			{"parameters", "how many numbers it has"},
			{"retained", "of a merged model: share of the adapter's change that survived rounding"},
			{"error", "of a merged model: relative size of what rounding added"},
			{"worst", "of a merged model: the tensor that lost most"},
			{"worst_error", "of a merged model: the error of that tensor"},
			{"kl", "of a merged model that was probed: how far its predictions are from those of base and adapter, in nats, mean of the tokens"},
			{"kl_worst", "of a merged model that was probed: the largest of a token"},
			{"agree", "of a merged model that was probed: share of the tokens whose likeliest successor is the same"},
			{"probed_tokens", "how many tokens that was asked of"},
		},
	}
}

func tokenizerKind() KindDoc {
	return KindDoc{Name: "tokenizer", Doc: "A tokenizer.json.", Facts: []Fact{{"vocab", "number of tokens"}}}
}

// modelFiles are the files of a folder that make up a model. Pickles are not
// among them.
func modelFiles(name string) bool {
	switch name {
	case "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
		"special_tokens_map.json", "model.safetensors.index.json", "model.gguf":
		return true
	}
	return strings.HasSuffix(name, ".safetensors") && !strings.Contains(name, "/")
}

// loaded is a model on the device, with its tokenizer.
type loaded struct {
	*model.Transformer
	Tokenizer *token.Tokenizer
	Dir       string
	adapter   *model.Adapter // works with it, unmerged; nil: none
	draft     *loaded        // proposes tokens; nil: none
	remove    func()
}

// open loads a model artifact onto the host's device. The step must hold the gpu slot.
func (h *Host) open(s *runtime.Step, m Handle) (*loaded, error) {
	return h.openQuantised(s, m, gpu.F32)
}

// openAdapted is open with an adapter, if there is one.
func (h *Host) openAdapted(s *runtime.Step, m, adapter Handle) (*loaded, error) {
	l, err := h.open(s, m)
	if err != nil {
		return nil, err
	}
	if err := l.openAdapter(s, adapter); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// openQuantised is open with the layers' matrices rounded to a type for weights only.
func (h *Host) openQuantised(s *runtime.Step, m Handle, quantise gpu.Type) (*loaded, error) {
	dev, err := h.Device()
	if err != nil {
		return nil, err
	}
	s.Device(dev.Kind())
	return openWith(s, dev, m, quantise, func(dev gpu.Device, dir string, quantise gpu.Type) (*model.Transformer, error) {
		if quantise == gpu.F32 {
			return model.Open(dev, dir)
		}
		return model.OpenQuantised(dev, dir, quantise)
	})
}

// openWith loads a model artifact onto a device.
func openWith(s *runtime.Step, dev gpu.Device, m Handle, quantise gpu.Type, open func(gpu.Device, string, gpu.Type) (*model.Transformer, error)) (*loaded, error) {
	dir, remove, err := lay(s.Store(), m)
	if err != nil {
		return nil, err
	}
	t, err := open(dev, dir, quantise)
	if err != nil {
		remove()
		return nil, err
	}
	tok, err := token.Open(dir)
	if err != nil {
		t.Close()
		remove()
		return nil, err
	}
	return &loaded{Transformer: t, Tokenizer: tok, Dir: dir, remove: remove}, nil
}

// Close frees the model, and what was opened for it.
func (l *loaded) Close() {
	if l.adapter != nil {
		l.adapter.Close()
	}
	if l.draft != nil {
		l.draft.Close()
	}
	l.Transformer.Close()
	l.remove()
}

// openAdapter loads an adapter artifact, if there is one, for l to work with. Closing l closes it.
func (l *loaded) openAdapter(s *runtime.Step, a Handle) error {
	if a.Digest.IsZero() {
		return nil
	}
	dir, remove, err := lay(s.Store(), a)
	if err != nil {
		return err
	}
	defer remove()
	l.adapter, err = model.OpenAdapter(l.Transformer, adapterIn(dir))
	return err
}

// modelName is what people call a model.
func modelName(m Handle) string {
	facts, err := decodeObject(m.Summary)
	if err != nil {
		return m.Digest.Short()
	}
	if n, ok := facts["name"].(string); ok {
		return n
	}
	return m.Digest.Short()
}

type modelOpenArgs struct {
	Path File `arg:"path" kind:"file|folder" doc:"Hugging Face folder: config.json, *.safetensors, tokenizer.json; or a GGUF file"`
}

func modelOpen() Func {
	return step("model.open", 1, runtime.CPU, "Takes a Hugging Face folder into the store: config, safetensors and tokenizer, no pickles.\n"+
		"Llama, Mistral, Qwen2 and Qwen3, and what is built like them, such as SmolLM2; others are refused with what is missing.\n"+
		"Of a GGUF file (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K) the weights stay quantised, also as the base of an adapter.",
		func(_ context.Context, _ *Host, s *runtime.Step, a modelOpenArgs) (runtime.Artifact, error) {
			dir, name := a.Path.Path, filepath.Base(a.Path.Path)
			var cfg model.Config
			var err error
			if strings.HasSuffix(name, ".gguf") {
				if dir, err = os.MkdirTemp("", "starbook-"); err != nil {
					return runtime.Artifact{}, err
				}
				defer os.RemoveAll(dir)
				name = strings.TrimSuffix(name, ".gguf")
				cfg, err = model.UnpackGGUF(a.Path.Path, dir)
			} else {
				for _, need := range []string{"config.json", "tokenizer.json"} {
					if _, err := os.Stat(filepath.Join(dir, need)); err != nil {
						return runtime.Artifact{}, fmt.Errorf("%s is no Hugging Face folder: there is no %s in it", dir, need)
					}
				}
				cfg, err = model.ReadConfig(filepath.Join(dir, "config.json"))
			}
			if err != nil {
				return runtime.Artifact{}, err
			}
			return keep(s, "model", dir, modelFiles, Facts{"name": name, "parameters": cfg.Size()})
		})
}

type modelTokenizerArgs struct {
	Data    Handle   `arg:"data" kind:"dataset" doc:"rows to learn from"`
	Vocab   int      `arg:"vocab=512" doc:"number of tokens, 257 at least: every byte and the end-of-text token are among them"`
	Columns []string `arg:"columns=[\"prompt\",\"completion\"]" doc:"columns with the text"`
}

// endOfText ends every text that a tokenizer of ours is trained for.
const endOfText = "<|endoftext|>"

func modelTokenizer() Func {
	return step("model.tokenizer", 1, runtime.CPU, "Trains a byte-level BPE tokenizer on the text of a dataset.",
		func(_ context.Context, _ *Host, s *runtime.Step, a modelTokenizerArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			texts := func(yield func(string) bool) {
				for _, r := range rows {
					for _, c := range a.Columns {
						if t, ok := dataset.Text(r, c); ok && !yield(t+"\n") {
							return
						}
					}
				}
			}
			b, err := token.Train(texts, a.Vocab, []string{endOfText})
			if err != nil {
				return runtime.Artifact{}, err
			}
			g, err := s.Put(b)
			return runtime.Artifact{Kind: "tokenizer", Digest: g, Summary: summary(Facts{"vocab": a.Vocab})}, err
		})
}

type modelNewArgs struct {
	Tokenizer Handle `arg:"tokenizer" kind:"tokenizer" doc:"of model.tokenizer"`
	Dim       int    `arg:"dim=64" doc:"width of the residual stream"`
	Layers    int    `arg:"layers=3" doc:"transformer blocks"`
	Heads     int    `arg:"heads=4" doc:"query heads; dim is a multiple of it"`
	KVHeads   int    `arg:"kv_heads=0" doc:"key and value heads; 0: as many as heads"`
	Hidden    int    `arg:"hidden=168" doc:"width of the feed-forward block"`
	Context   int    `arg:"context=256" doc:"positions at most"`
	Tied      bool   `arg:"tie_embeddings=false" doc:"use the embedding as the output layer too"`
	Name      string `arg:"name=blank" doc:"what reports call it"`
	Seed      int64  `arg:"seed=1" doc:"of the weights"`
}

func (a *modelNewArgs) check() error {
	if a.KVHeads == 0 {
		a.KVHeads = a.Heads
	}
	if a.Heads < 1 || a.Dim%a.Heads != 0 {
		return fmt.Errorf("dim %d is not a multiple of heads %d", a.Dim, a.Heads)
	}
	return nil
}

func modelNew() Func {
	return step("model.new", 1, runtime.GPU, "Makes a Llama with random weights, to be trained by model.train.",
		func(_ context.Context, h *Host, s *runtime.Step, a modelNewArgs) (runtime.Artifact, error) {
			dev, err := h.Device()
			if err != nil {
				return runtime.Artifact{}, err
			}
			raw, err := s.Store().Blobs.ReadAll(a.Tokenizer.Digest)
			if err != nil {
				return runtime.Artifact{}, err
			}
			tok, err := token.Load(strings.NewReader(string(raw)))
			if err != nil {
				return runtime.Artifact{}, err
			}
			eos, ok := tok.ID(endOfText)
			if !ok {
				return runtime.Artifact{}, fmt.Errorf("the tokenizer has no %s", endOfText)
			}
			cfg := model.Config{
				Vocab: tok.Vocab(), Hidden: a.Dim, Layers: a.Layers, Heads: a.Heads, KVHeads: a.KVHeads, HeadDim: a.Dim / a.Heads,
				FeedForward: a.Hidden, MaxPositions: a.Context, Tied: a.Tied, EOS: []int32{eos}, NormEps: 1e-5, BOS: -1, Type: "float32",
			}
			cfg.Rope = model.Rope{Theta: 10000, Kind: "default"}
			m, err := model.New(dev, cfg, uint64(a.Seed))
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			dir, err := os.MkdirTemp("", "starbook-")
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer os.RemoveAll(dir)
			if err := m.Save(dir, "F32"); err != nil {
				return runtime.Artifact{}, err
			}
			tokConfig := fmt.Sprintf("{\n  \"eos_token\": %q,\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n", endOfText)
			for name, b := range map[string][]byte{"tokenizer.json": raw, "tokenizer_config.json": []byte(tokConfig)} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
					return runtime.Artifact{}, err
				}
			}
			return keep(s, "model", dir, modelFiles, Facts{"name": a.Name, "parameters": cfg.Size()})
		})
}
