package builtins

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"

	"starbook/builtins/dataset"
	"starbook/gpu/chat"
	"starbook/gpu/model"
	"starbook/gpu/token"
	"starbook/gpu/train"
	"starbook/runtime"
	"starbook/runtime/store"
)

func tokensKind() KindDoc {
	return KindDoc{
		Name: "tokens",
		Doc: "A dataset as a model reads it, in a safetensors file: ids, which of them are learnt, where each row begins, and its first\n" +
			"ancestor. lora.train, model.train and distill.logits make it once for each way of reading, and share it.",
		Facts: []Fact{
			{"rows", "how many"},
			{"tokens", "of all rows"},
			{"trained", "tokens that are learnt"},
			{"longest", "tokens of the longest row"},
		},
	}
}

// tokensArgs are all that decides what a dataset is as tokens. It is done once for all
// trainings and models that read it in the same way: see runtime.Step.Once. How long an
// example may be, and which are held out, comes after that.
type tokensArgs struct {
	Data       Handle  `arg:"data" kind:"dataset" doc:"rows with prompt and completion, or with messages"`
	Tokenizer  digest  `arg:"tokenizer" doc:"of the model's textFiles"`
	Stops      []int32 `arg:"stops" doc:"tokens that end a text, as the model has them"`
	Prompt     string  `arg:"prompt" doc:"as in lora.train; so are the following"`
	Completion string  `arg:"completion" doc:"column with the text to be learnt"`
	Turns      string  `arg:"turns" doc:"which of the assistant's turns in a conversation are learnt: all or last"`
	chatArgs
}

// tokensVersion is raised when the renderer or a tokenizer gives other tokens, or the
// file of tokens has another form.
const tokensVersion = 1

// textFiles are the files of a model that decide how text becomes tokens, but for Stops.
var textFiles = []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}

// tokens is a dataset as a model reads it.
type tokens struct {
	examples []train.Example // of each row
	roots    []string        // of each row: see dataset.Roots
}

// read returns the tokens: found, or made. What is damaged is made anew.
func (a tokensArgs) read(ctx context.Context, s *runtime.Step, m Handle) (*tokens, error) {
	dir, remove, err := lay(s.Store(), m)
	if err != nil {
		return nil, err
	}
	defer remove()
	if a.Stops, err = model.ReadStops(dir); err != nil {
		return nil, err
	}
	if a.Tokenizer, err = tokenizerOf(s.Store(), m); err != nil {
		return nil, err
	}
	var c canon
	canonical, err := c.args(argsOf(reflect.TypeFor[tokensArgs]()), reflect.ValueOf(a))
	if err != nil {
		return nil, err
	}
	spec := runtime.Spec{Name: "data.tokens", Version: tokensVersion, Args: canonical, Inputs: c.inputs}
	return once(ctx, s, spec, func(ctx context.Context) (*tokens, runtime.Artifact, error) {
		made, err := a.render(ctx, s, dir)
		if err != nil {
			return nil, runtime.Artifact{}, err
		}
		art, err := made.keep(s)
		return made, art, err
	}, openTokens)
}

// once returns what several steps need: found and opened, or made. What is damaged is made anew.
func once[T any](ctx context.Context, s *runtime.Step, spec runtime.Spec,
	work func(context.Context) (T, runtime.Artifact, error), open func(*store.Store, digest) (T, error),
) (out T, err error) {
	for made := false; ; {
		art, err := s.Once(ctx, spec, func(ctx context.Context) (art runtime.Artifact, err error) {
			out, art, err = work(ctx)
			made = true
			return art, err
		})
		if err != nil || made {
			return out, err
		}
		if out, err = open(s.Store(), art.Digest); err == nil {
			return out, nil
		}
		s.Warn(fmt.Sprintf("what was kept of %s cannot be read, and is made anew: %v", spec.Name, err))
		if err := s.Store().Blobs.Remove(art.Digest); err != nil {
			return out, err
		}
	}
}

// tokenizerOf returns the digest of a model's textFiles.
func tokenizerOf(st *store.Store, m Handle) (digest, error) {
	tree, err := st.Blobs.ReadTree(m.Digest)
	if err != nil {
		return digest{}, fmt.Errorf("%s: %w", m, err)
	}
	sum := sha256.New()
	for _, e := range tree {
		if slices.Contains(textFiles, e.Name) {
			fmt.Fprintf(sum, "%s %q\n", e.Digest, e.Name)
		}
	}
	return digest(sum.Sum(nil)), nil
}

// render makes the tokens for the model in a folder.
func (a tokensArgs) render(ctx context.Context, s *runtime.Step, dir string) (*tokens, error) {
	rows, err := ReadRows(s.Store(), a.Data)
	if err != nil {
		return nil, err
	}
	tok, err := token.Open(dir)
	if err != nil {
		return nil, err
	}
	r, err := newRenderer(tok, a.Stops, a.Prompt, a.chatArgs)
	if err != nil {
		return nil, err
	}
	t := &tokens{}
	if t.roots, err = dataset.Roots(rows); err != nil {
		return nil, err
	}
	if t.examples, err = r.examples(ctx, rows, a.Completion, chat.Turns(a.Turns)); err != nil {
		return nil, err
	}
	return t, nil
}

// keep makes an artifact of the tokens.
func (t *tokens) keep(s *runtime.Step) (runtime.Artifact, error) {
	w, err := s.Create()
	if err != nil {
		return runtime.Artifact{}, err
	}
	defer w.Abort()
	if err := t.write(w); err != nil {
		return runtime.Artifact{}, err
	}
	g, err := w.Commit()
	all, trained, longest := 0, 0, 0
	for _, e := range t.examples {
		all, trained, longest = all+len(e.Tokens), trained+e.Targets(), max(longest, len(e.Tokens))
	}
	s.Log(fmt.Sprintf("%s became %d tokens, %d of them trained, the longest %d", plural(len(t.examples), "rows"), all, trained, longest))
	return runtime.Artifact{Kind: "tokens", Digest: g, Summary: summary(Facts{
		"rows": len(t.examples), "tokens": all, "trained": trained, "longest": longest,
	})}, err
}

// at returns the examples of some rows.
func (t *tokens) at(rows []int) []train.Example {
	out := make([]train.Example, len(rows))
	for i, r := range rows {
		out[i] = t.examples[r]
	}
	return out
}

// atMost returns the examples that have no more tokens than limit, if that is not 0, and
// than the model's context. How many have more is told and returned.
func atMost(s *runtime.Step, noun string, examples []train.Example, limit, context int) (short []train.Example, left int) {
	what := "max_tokens"
	if limit == 0 || limit > context {
		limit, what = context, "the model's context"
	}
	for _, e := range examples {
		if len(e.Tokens) <= limit {
			short = append(short, e)
		}
	}
	if left = len(examples) - len(short); left > 0 {
		s.Warn(fmt.Sprintf("%s longer than %s, %d tokens, left out", plural(left, noun), what, limit))
	}
	return short, left
}
