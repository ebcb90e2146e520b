package builtins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"starbook/builtins/dataset"

	"go.starlark.net/starlark"

	"starbook/gpu"
	"starbook/gpu/model"
	"starbook/gpu/token"
	"starbook/runtime"
)

func modelModule() Module {
	return Module{
		Name:  "model",
		Doc:   "Language models: Hugging Face folders of the Llama, Mistral, Qwen2 and Qwen3 families.",
		Funcs: []Func{modelOpen(), modelTokenizer(), modelNew(), modelTrain(), modelGenerate(), modelExport()},
	}
}

func modelKind() KindDoc {
	return KindDoc{
		Name: "model",
		Doc:  "Weights with their tokenizer, as a Hugging Face folder, or beside one in a GGUF file.",
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
	remove    func()
}

// open loads a model artifact onto the host's device. The step must hold the gpu slot.
func (h *Host) open(s *runtime.Step, m Handle) (*loaded, error) {
	dev, err := h.Device()
	if err != nil {
		return nil, err
	}
	s.Device(dev.Kind())
	dir, remove, err := lay(s.Store(), m)
	if err != nil {
		return nil, err
	}
	t, err := model.Open(dev, dir)
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
	return &loaded{t, tok, dir, remove}, nil
}

// Close frees the model.
func (l *loaded) Close() {
	l.Transformer.Close()
	l.remove()
}

// adapter loads an adapter artifact for l; nil if there is none.
func (l *loaded) adapter(s *runtime.Step, a Handle) (*model.Adapter, error) {
	if a.Digest.IsZero() {
		return nil, nil
	}
	dir, remove, err := lay(s.Store(), a)
	if err != nil {
		return nil, err
	}
	defer remove()
	return model.OpenAdapter(l.Transformer, adapterIn(dir))
}

// name is what people call a model.
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
	Path File `arg:"path" doc:"Hugging Face folder: config.json, *.safetensors, tokenizer.json; or a GGUF file"`
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

// decodingArgs say how a model writes; several built-ins lend them.
type decodingArgs struct {
	MaxNewTokens int     `arg:"max_new_tokens=128" doc:"tokens of an answer at most; an answer that is cut off is called truncated"`
	Prompt       string  `arg:"prompt={prompt}\n" doc:"what the model is shown; names of columns in braces are filled in"`
	Temperature  float64 `arg:"temperature=0.0" doc:"0: the likeliest token; otherwise tokens are drawn"`
	TopP         float64 `arg:"top_p=1.0" doc:"draw from the fewest tokens that together are this likely"`
	Seed         int64   `arg:"seed=1" doc:"of the draws"`
	BatchSize    int     `arg:"batch_size=64" doc:"prompts at a time; does not change answers" hash:"-"`
}

// answer is what a model wrote for a row.
type answer struct {
	text      string
	tokens    int
	truncated bool
	mean, min float64 // log-probability of its tokens
}

// write lets a model answer all rows, reporting progress.
func (l *loaded) write(ctx context.Context, s *runtime.Step, a *model.Adapter, rows []Row, d decodingArgs) ([]answer, error) {
	prompts := make([][]int32, len(rows))
	for i, r := range rows {
		text, err := fill(d.Prompt, func(name string) (string, bool) { return dataset.Text(r, name) })
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", i+1, err)
		}
		prompts[i] = l.Tokenizer.EncodeSpecial(text)
	}
	out := make([]answer, len(rows))
	done := 0
	for c, err := range l.Generate(ctx, a, prompts, model.Decoding{
		MaxNew: d.MaxNewTokens, Batch: d.BatchSize, Temperature: d.Temperature, TopP: d.TopP, Seed: uint64(d.Seed),
	}) {
		if err != nil {
			return nil, err
		}
		out[c.Prompt] = answer{
			text: l.Tokenizer.DecodePlain(c.Body()), tokens: len(c.Tokens), truncated: !c.Stopped,
			mean: c.MeanLogProb(), min: c.MinLogProb(),
		}
		done++
		s.Progress(int64(done), int64(len(rows)), "answers")
	}
	return out, nil
}

type modelGenerateArgs struct {
	Model   Handle `arg:"model" kind:"model" doc:"who answers"`
	Data    Handle `arg:"data" kind:"dataset" doc:"rows with prompts"`
	Adapter Handle `arg:"adapter=None" kind:"adapter" doc:"used without merging it"`
	Field   string `arg:"field=guess" doc:"column for the answer"`
	decodingArgs
}

func modelGenerate() Func {
	return step("model.generate", 1, runtime.GPU, "Lets a model answer every row.\n"+
		"Adds the answer, confidence (mean log-probability of its tokens, in nats), min_confidence and truncated as columns.",
		func(ctx context.Context, h *Host, s *runtime.Step, a modelGenerateArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			m, err := h.open(s, a.Model)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			adapter, err := m.adapter(s, a.Adapter)
			if err != nil {
				return runtime.Artifact{}, err
			}
			if adapter != nil {
				defer adapter.Close()
			}
			answers, err := m.write(ctx, s, adapter, rows, a.decodingArgs)
			if err != nil {
				return runtime.Artifact{}, err
			}
			truncated := 0
			for i, ans := range answers {
				rows[i][a.Field] = ans.text
				rows[i]["confidence"], rows[i]["min_confidence"] = ans.mean, ans.min
				rows[i]["truncated"] = ans.truncated
				if ans.truncated {
					truncated++
				}
			}
			return WriteRows(s, rows, Facts{"model": modelName(a.Model), "truncated": truncated})
		})
}

type modelExportArgs struct {
	Model Handle `arg:"model" kind:"model|adapter" doc:"what to write"`
	Path  string `arg:"path" doc:"folder, from the notebook's; files in it are replaced. A model may also become a file: name.gguf"`
	Type  string `arg:"type=bf16" doc:"of the matrices in a GGUF file: f32, f16, bf16 or q8_0"`
}

func modelExport() Func {
	return plain("model.export", "Writes a model or an adapter as a folder, or a model as a GGUF file, that other tools read.\n"+
		"Of a GGUF file it returns error, the relative error of the matrices that the type costs, worst, the matrix with the\n"+
		"largest, worst_error and bytes.",
		func(ctx context.Context, c *Call, a modelExportArgs) (starlark.Value, error) {
			if !strings.HasSuffix(a.Path, ".gguf") {
				return starlark.None, export(c.Host, c.Run.Store, a.Model, a.Path)
			}
			return exportGGUF(ctx, c, a)
		})
}

func exportGGUF(ctx context.Context, c *Call, a modelExportArgs) (starlark.Value, error) {
	typ, ok := map[string]gpu.Type{"f32": gpu.F32, "f16": gpu.F16, "bf16": gpu.BF16, "q8_0": gpu.Q8_0}[a.Type]
	if !ok || a.Model.Kind != "model" {
		return nil, fmt.Errorf("got a %s as %q, want a model as f32, f16, bf16 or q8_0", a.Model.Kind, a.Type)
	}
	dir, remove, err := lay(c.Run.Store, a.Model)
	if err != nil {
		return nil, err
	}
	defer remove()
	out, err := os.MkdirTemp("", "starbook-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	path := filepath.Join(out, "model.gguf")
	cost, err := model.ExportGGUF(ctx, dir, path, modelName(a.Model), typ)
	if err != nil {
		return nil, err
	}
	if err := c.Host.place(path, a.Path); err != nil {
		return nil, err
	}
	facts := starlark.NewDict(4)
	for _, kv := range []starlark.Tuple{
		{starlark.String("error"), starlark.Float(cost.Error)},
		{starlark.String("worst"), starlark.String(cost.Worst)},
		{starlark.String("worst_error"), starlark.Float(cost.WorstError)},
		{starlark.String("bytes"), starlark.MakeInt(cost.Bytes)},
	} {
		if err := facts.SetKey(kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	return facts, nil
}
