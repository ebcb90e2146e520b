package builtins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.starlark.net/starlark"

	"starbook/gpu/chat"
	"starbook/gpu/chat/jinja"
	"starbook/gpu/model"
	"starbook/gpu/token"
	"starbook/runtime"
	"starbook/runtime/event"
)

type modelPreviewArgs struct {
	Model      Handle `arg:"model" kind:"model" doc:"who is to learn"`
	Data       Handle `arg:"data" kind:"dataset" doc:"rows with prompt and completion, or with messages"`
	Row        int    `arg:"row=1" doc:"which of them"`
	Prompt     string `arg:"prompt={prompt}\n" doc:"as in lora.train"`
	Completion string `arg:"completion=completion" doc:"as in lora.train"`
	Turns      string `arg:"turns=all" doc:"as in lora.train"`
	chatArgs
}

func (a *modelPreviewArgs) check() error {
	if err := checkTurns(a.Turns); err != nil {
		return err
	}
	return a.checkChat()
}

func modelPreview() Func {
	return plain("model.preview", "Shows a row as training sees it: the whole text, and in colour (or in brackets) the tokens that are learnt.",
		func(_ context.Context, c *Call, a modelPreviewArgs) (starlark.Value, error) {
			rows, err := ReadRows(c.Run.Store, a.Data)
			if err != nil {
				return nil, err
			}
			if a.Row < 1 || a.Row > len(rows) {
				return nil, fmt.Errorf("row: got %d, and there are %s", a.Row, plural(len(rows), "rows"))
			}
			dir, remove, err := lay(c.Run.Store, a.Model)
			if err != nil {
				return nil, err
			}
			defer remove()
			tok, err := token.Open(dir)
			if err != nil {
				return nil, err
			}
			stops, err := model.ReadStops(dir)
			if err != nil {
				return nil, err
			}
			r, err := newRenderer(tok, stops, a.Prompt, a.chatArgs)
			if err != nil {
				return nil, err
			}
			e, err := r.learn(rows[a.Row-1], a.Completion, chat.Turns(a.Turns))
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", a.Row, err)
			}
			d := exampleData(e, tok)
			d.Title = fmt.Sprintf("row %d as %s sees it: %s, %d of them learnt", a.Row, modelName(a.Model), plural(d.Tokens, "tokens"), d.Trained)
			if d.Trained == 0 {
				return nil, fmt.Errorf("row %d: none of its %d tokens is trained: is the completion empty?", a.Row, d.Tokens)
			}
			b, err := json.Marshal(d)
			if err != nil {
				return nil, err
			}
			c.Run.Emit(c.Thread, event.Event{Kind: event.Example, Name: d.Title, Data: b})
			return starlark.None, nil
		})
}

// exampleData cuts an example where training begins and ends.
func exampleData(e chat.Example, tok *token.Tokenizer) event.ExampleData {
	d := event.ExampleData{Tokens: len(e.Tokens)}
	for i := 0; i < len(e.Tokens); {
		k := i
		for k < len(e.Tokens) && e.Trained[k] == e.Trained[i] {
			k++
		}
		d.Parts = append(d.Parts, event.ExamplePart{Text: e.Words(tok, i, k), Trained: e.Trained[i]})
		if e.Trained[i] {
			d.Trained += k - i
		}
		i = k
	}
	return d
}

type modelTemplateArgs struct {
	Model    Handle `arg:"model" kind:"model" doc:"whose template it shall be; it does not change"`
	Template File   `arg:"template" doc:"Jinja, as in chat_template.jinja of Hugging Face folders"`
	EOS      string `arg:"eos=" doc:"token that ends a turn, such as <|im_end|>; empty: the tokenizer's own"`
}

func modelTemplate() Func {
	return step("model.template", 1, runtime.CPU, "Gives a model a chat template: training, evaluation and every export from then on use it.",
		func(_ context.Context, _ *Host, s *runtime.Step, a modelTemplateArgs) (runtime.Artifact, error) {
			source, err := os.ReadFile(a.Template.Path)
			if err != nil {
				return runtime.Artifact{}, fileError(err)
			}
			if _, err := jinja.Parse(string(source)); err != nil {
				return runtime.Artifact{}, fmt.Errorf("%s: %w", a.Template.Path, err)
			}
			dir, remove, err := lay(s.Store(), a.Model)
			if err != nil {
				return runtime.Artifact{}, err
			}
			defer remove()
			files := map[string][]byte{"chat_template.jinja": source}
			if a.EOS != "" {
				if files["tokenizer_config.json"], err = withEOS(dir, a.EOS); err != nil {
					return runtime.Artifact{}, err
				}
			}
			for name, b := range files {
				path := filepath.Join(dir, name)
				if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // a link to a blob
					return runtime.Artifact{}, err
				}
				if err := os.WriteFile(path, b, 0o644); err != nil {
					return runtime.Artifact{}, err
				}
			}
			facts, err := decodeObject(a.Model.Summary)
			if err != nil {
				return runtime.Artifact{}, err
			}
			return keep(s, "model", dir, modelFiles, Facts(facts))
		})
}

// withEOS is tokenizer_config.json with another token to end a text.
func withEOS(dir, eos string) ([]byte, error) {
	tok, err := token.Open(dir)
	if err != nil {
		return nil, err
	}
	if _, ok := tok.ID(eos); !ok {
		return nil, fmt.Errorf("eos: the tokenizer has no token %q", eos)
	}
	config := map[string]any{}
	b, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err == nil {
		config, err = decodeObject(b)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	config["eos_token"] = eos
	return append([]byte(encode(config)), '\n'), nil
}
