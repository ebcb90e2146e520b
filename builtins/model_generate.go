package builtins

import (
	"context"
	"errors"
	"fmt"

	"starbook/gpu/model"
	"starbook/runtime"
)

// decodingArgs say how a model writes; several built-ins lend them.
type decodingArgs struct {
	MaxNewTokens int     `arg:"max_new_tokens=128" doc:"tokens of an answer at most; an answer that is cut off is called truncated"`
	Prompt       string  `arg:"prompt={prompt}\n" doc:"what the model is shown; names of columns in braces are filled in"`
	Temperature  float64 `arg:"temperature=0.0" doc:"0: the likeliest token; otherwise tokens are drawn"`
	TopK         int     `arg:"top_k=0" doc:"draw from so many of the likeliest tokens; 0: from all" hash:"set"`
	TopP         float64 `arg:"top_p=1.0" doc:"draw from the fewest of these that together are this likely"`
	Penalty      float64 `arg:"repetition_penalty=1.0" doc:"makes tokens less likely that were there already, as transformers does" hash:"set"`
	Seed         int64   `arg:"seed=1" doc:"of the draws"`
	Quantise     string  `arg:"quantise=" doc:"round the layers' matrices when the model is loaded, as lora.train does: int8 or nf4" hash:"set"`
	BatchSize    int     `arg:"batch_size=64" doc:"prompts at a time; does not change answers" hash:"-"`
	Draft        Handle  `arg:"draft=None" kind:"model" doc:"a smaller model with the same tokenizer, which proposes tokens for the model to verify many at a time: the answers are the same, sooner. It is left off where it turns out to be slower" hash:"-"`
	DraftTokens  int     `arg:"draft_tokens=4" doc:"how many it proposes at a time" hash:"-"`
	chatArgs
}

func (d *decodingArgs) check() error {
	if d.DraftTokens < 1 {
		return fmt.Errorf("draft_tokens: got %d, want 1 or more", d.DraftTokens)
	}
	if _, err := quantised(d.Quantise); err != nil {
		return err
	}
	if err := d.decoding().Check(); err != nil {
		return err
	}
	return d.checkChat()
}

func (d *decodingArgs) decoding() model.Decoding {
	return model.Decoding{
		MaxNew: d.MaxNewTokens, Batch: d.BatchSize, Temperature: d.Temperature, TopK: d.TopK, TopP: d.TopP, Penalty: d.Penalty, Seed: uint64(d.Seed),
	}
}

// open loads a model as d says, with its draft and an adapter, if there are such.
func (d *decodingArgs) open(h *Host, s *runtime.Step, m, adapter Handle) (*loaded, error) {
	quantise, err := quantised(d.Quantise)
	if err != nil {
		return nil, err
	}
	mindBase(s, adapter, d.Quantise)
	l, err := h.openQuantised(s, m, quantise)
	if err != nil {
		return nil, err
	}
	if !d.Draft.Digest.IsZero() {
		err = l.openDraft(h, s, m, d.Draft)
	}
	if err == nil {
		err = l.openAdapter(s, adapter)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// openDraft loads a model that proposes tokens to l, which is m. Closing l closes it.
func (l *loaded) openDraft(h *Host, s *runtime.Step, m, draft Handle) (err error) {
	if l.draft, err = h.open(s, draft); err != nil {
		return fmt.Errorf("draft: %w", err)
	}
	if l.Tokenizer.Digest() != l.draft.Tokenizer.Digest() {
		return fmt.Errorf("draft: %s has another tokenizer than %s: its tokens mean nothing to it; choose a smaller model of the same family", modelName(draft), modelName(m))
	}
	return nil
}

// renderer returns what turns questions into tokens for l.
func (l *loaded) renderer(d decodingArgs) (*renderer, error) {
	return newRenderer(l.Tokenizer, l.Stops(), d.Prompt, d.chatArgs)
}

// write lets a model answer n questions, which prompt renders, until one of
// stops, reporting progress. A killed step goes on after the answers that it has.
func (l *loaded) write(ctx context.Context, s *runtime.Step, n int, prompt func(i int) ([]int32, error), stops []int32, d decodingArgs) (_ []answer, err error) {
	j, done, err := openJournal(s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	out := make([]answer, n)
	var prompts [][]int32
	var keys []uint64 // of the draws: those of the place among all
	for i := range n {
		if was, ok := done[i]; ok {
			out[i] = was
			continue
		}
		p, err := prompt(i)
		if err != nil {
			return nil, fmt.Errorf("question %d: %w", i+1, err)
		}
		prompts, keys = append(prompts, p), append(keys, uint64(i))
	}
	written := n - len(prompts)
	var draft *model.Draft
	if l.draft != nil && len(prompts) > 0 {
		draft = &model.Draft{Model: l.draft.Transformer, Tokens: d.DraftTokens}
		defer func() { s.Log(draft.Found.String()) }()
	}
	how := d.decoding()
	how.EOS, how.Keys, how.Draft = stops, keys, draft
	for c, err := range l.Generate(ctx, l.adapter, prompts, how) {
		if err != nil {
			return nil, err
		}
		mean, least := c.MeanLogProb(), c.MinLogProb()
		i := int(keys[c.Prompt])
		out[i] = answer{Index: i, Text: l.Tokenizer.DecodePlain(c.Body()), Tokens: len(c.Tokens), Truncated: !c.Stopped, Mean: &mean, Min: &least}
		if err := j.add(out[i]); err != nil {
			return nil, err
		}
		written++
		s.Progress(int64(written), int64(n), "answers")
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
	return step("model.generate", 2, runtime.GPU, "Lets a model answer every row.\n"+
		"Adds the answer, confidence (mean log-probability of its tokens, in nats), min_confidence and truncated as columns.",
		func(ctx context.Context, h *Host, s *runtime.Step, a modelGenerateArgs) (runtime.Artifact, error) {
			rows, err := ReadRows(s.Store(), a.Data)
			if err != nil {
				return runtime.Artifact{}, err
			}
			m, err := a.open(h, s, a.Model, a.Adapter)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer m.Close()
			render, err := m.renderer(a.decodingArgs)
			if err != nil {
				return runtime.Artifact{}, err
			}
			answers, err := m.write(ctx, s, len(rows), func(i int) ([]int32, error) { return render.ask(rows[i]) }, render.stops, a.decodingArgs)
			if err != nil {
				return runtime.Artifact{}, err
			}
			truncated := 0
			for i, ans := range answers {
				rows[i][a.Field] = ans.Text
				rows[i]["confidence"], rows[i]["min_confidence"] = *ans.Mean, *ans.Min
				rows[i]["truncated"] = ans.Truncated
				if ans.Truncated {
					truncated++
				}
			}
			return WriteRows(s, rows, Facts{"model": modelName(a.Model), "truncated": truncated})
		})
}
