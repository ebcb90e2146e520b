package builtins

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"starbook/gpu/model"
	"starbook/gpu/safetensors"
	"starbook/gpu/train"
	"starbook/runtime"
	"starbook/runtime/store"
)

func logitsKind() KindDoc {
	return KindDoc{
		Name: "logits",
		Doc:  "What a model predicts in place of every trained token: its likeliest tokens and how likely they are. A safetensors file.",
		Facts: []Fact{
			{"model", "who predicts"},
			{"examples", "how many"},
			{"tokens", "places that are predicted"},
			{"left_out", "examples that were too long"},
			{"k", "likeliest tokens at each place; all others are one"},
			{"temperature", "that the probabilities are at"},
			{"mass", "how likely the kept tokens are together, the mean of the places"},
			{"tokenizer", "digest of what the token ids stand for"},
		},
	}
}

type distillLogitsArgs struct {
	Model       Handle  `arg:"model" kind:"model" doc:"who predicts: larger than what is to be trained, with the same tokenizer"`
	Data        Handle  `arg:"data" kind:"dataset" doc:"rows with prompt and completion, those to validate on included"`
	Adapter     Handle  `arg:"adapter=None" kind:"adapter" doc:"used without merging it"`
	K           int     `arg:"k=32" doc:"likeliest tokens that are kept at each place, 8 bytes each"`
	Temperature float64 `arg:"temperature=2.0" doc:"logits are divided by it before they become probabilities, of both models"`
	Prompt      string  `arg:"prompt={prompt}\n" doc:"as in the training that is to come; so are the following"`
	Completion  string  `arg:"completion=completion" doc:"column with the text"`
	Turns       string  `arg:"turns=all" doc:"which of the assistant's turns in a conversation are learnt: all or last"`
	MaxTokens   int     `arg:"max_tokens=0" doc:"longer examples are left out, and counted; 0: the model's context, which is the most"`
	MicroTokens int     `arg:"micro_tokens=4096" doc:"tokens computed at a time; more need more memory" hash:"-"`
	chatArgs
}

func (a *distillLogitsArgs) check() error {
	switch {
	case a.K < 1:
		return fmt.Errorf("k: got %d, want 1 or more", a.K)
	case !(a.Temperature > 0) || math.IsInf(a.Temperature, 0):
		return fmt.Errorf("temperature: got %g, want more than 0", a.Temperature)
	case a.MicroTokens < 1 || a.MaxTokens < 0:
		return fmt.Errorf("micro_tokens is %d and max_tokens %d: want 1 or more, and 0 or more", a.MicroTokens, a.MaxTokens)
	}
	return errors.Join(checkTurns(a.Turns), a.checkChat())
}

func distillLogits() Func {
	return step("distill.logits", 1, runtime.GPU, "Keeps what a model predicts in place of every trained token, for a smaller one with the same tokenizer to learn.\n"+
		"model.train(small, rows, logits = distill.logits(large, rows)), or lora.train, makes a draft that proposes what the large one says.\n"+
		"The loss is logits_share·temperature²·KL + (1-logits_share)·(that of the text); KL is over the k tokens and the rest as one.",
		func(ctx context.Context, h *Host, s *runtime.Step, a distillLogitsArgs) (runtime.Artifact, error) {
			m, err := h.openAdapted(s, a.Model, a.Adapter)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			t, err := tokensArgs{Data: a.Data, Prompt: a.Prompt, Completion: a.Completion, Turns: a.Turns, chatArgs: a.chatArgs}.read(ctx, s, a.Model)
			if err != nil {
				return runtime.Artifact{}, err
			}
			examples, left := atMost(s, "examples", t.examples, a.MaxTokens, m.Config.MaxPositions)
			soft, err := m.predict(ctx, s, examples, a)
			if err != nil {
				return runtime.Artifact{}, err
			}
			path := filepath.Join(s.Scratch(), "logits.safetensors")
			if err := writeSoft(path, examples, soft, map[string]string{"temperature": fmt.Sprint(a.Temperature), "tokenizer": m.Tokenizer.Digest()}); err != nil {
				return runtime.Artifact{}, err
			}
			g, err := s.Store().Blobs.PutFile(path)
			return runtime.Artifact{Kind: "logits", Digest: g, Summary: summary(Facts{
				"model": modelName(a.Model), "examples": len(examples), "tokens": soft.Rows(), "left_out": left, "k": a.K,
				"temperature": a.Temperature, "mass": mass(soft), "tokenizer": m.Tokenizer.Digest(),
			})}, errors.Join(err, os.Remove(path))
		})
}

// predict returns the predictions for all trained tokens of the examples, one
// example behind the other.
func (l *loaded) predict(ctx context.Context, s *runtime.Step, examples []train.Example, args distillLogitsArgs) (*model.Soft, error) {
	rows := args.MicroTokens
	for _, e := range examples {
		rows = max(rows, len(e.Tokens))
	}
	p, err := model.NewPass(l.Transformer, l.adapter, rows, false)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	soft := &model.Soft{K: args.K}
	var b model.Batch
	for done := 0; done < len(examples); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		done += train.Pack(&b, examples[done:], args.MicroTokens)
		if err := p.Predict(&b, soft, l.Tokenizer.Vocab(), args.Temperature); err != nil {
			return nil, err
		}
		s.Progress(int64(done), int64(len(examples)), "examples")
	}
	return soft, nil
}

// mass is how likely the kept tokens are together, the mean of the rows.
func mass(s *model.Soft) float64 {
	var sum float64
	for i := range s.Rows() {
		sum += 1 - math.Exp(float64(s.LogProb[(i+1)*(s.K+1)-1]))
	}
	return math.Round(1e6*sum/float64(max(1, s.Rows()))) / 1e6
}

// The tensors of a file of predictions: of each example, which it is (32 bytes)
// and its first row; of each row, K tokens and K+1 log-probabilities.
const (
	softKeys   = "examples"
	softStarts = "starts"
	softIDs    = "ids"
	softLogs   = "logprobs"
)

func writeSoft(path string, examples []train.Example, s *model.Soft, about map[string]string) error {
	var keys, starts, ids []byte
	row := 0
	for _, e := range examples {
		key := e.Key()
		keys = append(keys, key[:]...)
		starts = binary.LittleEndian.AppendUint64(starts, uint64(row))
		row += e.Targets()
	}
	for _, id := range s.IDs {
		ids = binary.LittleEndian.AppendUint32(ids, uint32(id))
	}
	logs, err := safetensors.AppendF32(nil, "F32", s.LogProb)
	if err != nil {
		return err
	}
	n := len(examples)
	return safetensors.WriteFile(path, []safetensors.Tensor{
		{Name: softKeys, DType: "U8", Shape: []int{n, sha256.Size}, Data: keys},
		{Name: softStarts, DType: "I64", Shape: []int{n}, Data: starts},
		{Name: softIDs, DType: "I32", Shape: []int{row, s.K}, Data: ids},
		{Name: softLogs, DType: "F32", Shape: []int{row, s.K + 1}, Data: logs},
	}, about, nil)
}

// softened gives each example the predictions that a training is to learn from,
// and says how; nothing if there are none.
func (l *loaded) softened(st *store.Store, a trainArgs, examples ...[]train.Example) (model.Distil, error) {
	h := a.Logits
	if h.Digest.IsZero() {
		return model.Distil{}, nil
	}
	file, err := safetensors.Open(st.Blobs.Path(h.Digest))
	if err != nil {
		return model.Distil{}, err
	}
	defer file.Close()
	if file.Metadata()["tokenizer"] != l.Tokenizer.Digest() {
		return model.Distil{}, errors.New("logits: they are of a model with another tokenizer, whose tokens mean nothing to the one to be trained: choose a pair with the same one, or train on the teacher's answers as text")
	}
	t, err := strconv.ParseFloat(file.Metadata()["temperature"], 64)
	if err != nil {
		return model.Distil{}, fmt.Errorf("logits: %s: %w", h, err)
	}
	return model.Distil{Weight: a.LogitsShare, Temperature: t}, soften(file, examples)
}

// soften gives each example its predictions in a file.
func soften(file *safetensors.File, examples [][]train.Example) error {
	var tensors [4]safetensors.Tensor
	for i, name := range []string{softKeys, softStarts, softIDs, softLogs} {
		t, ok := file.Tensor(name)
		if !ok {
			return fmt.Errorf("logits: %s: there is no tensor %s in it", file.Path(), name)
		}
		tensors[i] = t
	}
	keys, starts, ids := tensors[0].Data, tensors[1].Data, tensors[2]
	k := ids.Shape[1]
	first := map[[sha256.Size]byte]int{}
	for i := range len(starts) / 8 {
		first[[sha256.Size]byte(keys[i*sha256.Size:])] = int(binary.LittleEndian.Uint64(starts[8*i:]))
	}
	for _, list := range examples {
		for i := range list {
			e := &list[i]
			row, ok := first[e.Key()]
			if !ok {
				return fmt.Errorf("logits: example %d is not among those that were predicted: give distill.logits the same rows, prompt, completion, turns and chat, and the validation rows too", i+1)
			}
			n := e.Targets()
			e.Soft = model.Soft{K: k, IDs: make([]int32, n*k), LogProb: make([]float32, n*(k+1))}
			for j := range e.Soft.IDs {
				e.Soft.IDs[j] = int32(binary.LittleEndian.Uint32(ids.Data[4*(row*k+j):]))
			}
			if err := tensors[3].ReadF32(e.Soft.LogProb, row*(k+1)); err != nil {
				return err
			}
		}
	}
	return nil
}
