package builtins

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"starbook/gpu/safetensors"
	"starbook/gpu/train"
	"starbook/runtime/event"
	"starbook/runtime/store"
)

// A file of tokens is read as it was written, small ids and large ones; a file that is
// something else, or part of one, is refused.
func TestTokenFile(t *testing.T) {
	for _, largest := range []int32{7, 65535, 65536, 1 << 20} {
		want := &tokens{}
		for i := range 20 {
			e := train.Example{Tokens: make([]int32, i), Trained: make([]bool, i)}
			for k := range i {
				e.Tokens[k], e.Trained[k] = largest-int32(k%7), k%3 == 1
			}
			want.examples, want.roots = append(want.examples, e), append(want.roots, fmt.Sprintf("row \"%d\"\n\x00", i))
		}
		var raw bytes.Buffer
		if err := want.write(&raw); err != nil {
			t.Fatal(err)
		}
		file, err := safetensors.Parse(raw.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := tokensIn(file)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ids up to %d: got %v, %v", largest, got, err)
		}
		for _, name := range file.Names() {
			var part []safetensors.Tensor
			for _, other := range file.Names() {
				x, _ := file.Tensor(other)
				if other == name {
					x.DType, x.Shape, x.Data = "U8", []int{1}, []byte{1}
				}
				part = append(part, x)
			}
			raw.Reset()
			if err := safetensors.Write(&raw, part, nil); err != nil {
				t.Fatal(err)
			}
			if file, err = safetensors.Parse(raw.Bytes()); err != nil {
				t.Fatal(err)
			}
			if _, err := tokensIn(file); err == nil {
				t.Errorf("a file whose %s is no such thing was read", name)
			}
		}
	}
}

// tokenised returns the steps that made tokens, in order.
func (b *bench) tokenised() []store.Step {
	b.t.Helper()
	rows, err := b.store.Query(b.t.Context(), "SELECT key FROM step WHERE name = 'data.tokens' ORDER BY seq")
	if err != nil {
		b.t.Fatal(err)
	}
	out := make([]store.Step, len(rows.Rows))
	for i, r := range rows.Rows {
		if out[i], err = b.store.FindStep(r[0].(string)); err != nil {
			b.t.Fatal(err)
		}
	}
	return out
}

// made counts how often rows became tokens in the last run.
func (b *bench) made() (n int) {
	for _, e := range b.events {
		if e.Kind == event.Log && strings.Contains(e.Text, "rows became") {
			n++
		}
	}
	return n
}

// reading trains in a way that a test names.
const reading = training + `
chats = model.template(base, "chat.jinja")
def read(m = base, **how):
    return lora.train(m, rows, r = 2, max_steps = 1, batch_size = 4, **how)
`

// Rows become tokens once for each way of reading them: what is trained with them is in
// another step's fingerprint.
func TestTokensAreMadeOnce(t *testing.T) {
	b := trainingBench(t)
	b.write("chat.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")
	for _, c := range []struct {
		call string
		made int
	}{
		{"read()", 1},
		{"[read(lr = lr, seed = s) for lr in [0.1, 0.2] for s in [1, 2]]", 0},
		{"read(validation_split = 0.5, max_tokens = 60)", 0},
		{`read(model.new(words, dim = 8, layers = 1, heads = 2, hidden = 8, context = 64))`, 0}, // of the same tokenizer
		{"distill.logits(base, rows, k = 4)", 0},
		{"read(validation = held)", 1},
		{"read(validation = held, lr = 0.3)", 0},
		{`read(prompt = "{prompt} ")`, 1},
		{`read(completion = "prompt")`, 1},
		{"read(chats)", 1},
		{`read(chats, turns = "last")`, 1},
		{`read(chats, chat = "plain")`, 1}, // the template is among the files of the model
		{`read(chats, chat_vars = {"a": 1})`, 1},
		{`lora.train(base, data.head(rows, 39), r = 2, max_steps = 1)`, 1},
	} {
		before := len(b.tokenised())
		if _, err := b.run(reading + c.call + "\n"); err != nil {
			t.Fatal(err)
		}
		if b.made() != c.made || len(b.tokenised())-before != c.made {
			t.Errorf("%s: tokens made %d times and kept %d times, want %d", c.call, b.made(), len(b.tokenised())-before, c.made)
		}
	}
	// Where these change, stores hold others: raise tokensVersion.
	plain, chat := b.tokenised()[0].Output.Short(), b.tokenised()[4].Output.Short()
	if plain != "3f23fbf6" || chat != "edbc1c7b" {
		t.Errorf("version %d: the rows are the tokens %s, and as conversations %s", tokensVersion, plain, chat)
	}
	if n := b.count(event.StepStart, "data.tokens"); n > 0 {
		t.Errorf("a run lists data.tokens, which depends on what the store holds")
	}
}

// Tokens that are damaged, cut off or gone are made anew; what is trained with them is
// the same as where nothing was kept. A collector knows them.
func TestTokensAreNotTrusted(t *testing.T) {
	fresh := trainingBench(t)
	if _, err := fresh.run(training + "tuned(0.02, 2)\n"); err != nil {
		t.Fatal(err)
	}
	want := fresh.trained()["0.02 2"].Output
	for name, harm := range map[string]func(path string, raw []byte) error{
		"nothing": func(string, []byte) error { return nil },
		"a bit": func(path string, raw []byte) error {
			raw[len(raw)/2] ^= 4
			return os.WriteFile(path, raw, 0o644)
		},
		"half":    func(path string, raw []byte) error { return os.WriteFile(path, raw[:len(raw)/2], 0o644) },
		"the end": func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o644) },
		"all":     func(path string, _ []byte) error { return os.Remove(path) },
	} {
		b := trainingBench(t)
		if _, err := b.run(training + "tuned(0.01, 2)\n"); err != nil {
			t.Fatal(err)
		}
		kept := b.tokenised()
		if len(kept) != 2 { // to learn from, and to evaluate on
			t.Fatalf("%d datasets as tokens, want 2", len(kept))
		}
		path := b.store.Blobs.Path(kept[0].Output)
		raw, err := os.ReadFile(path)
		if err == nil {
			err = os.Chmod(path, 0o644)
		}
		if err == nil {
			err = harm(path, raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.run(training + "tuned(0.02, 2)\n"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := b.trained()["0.02 2"].Output; got != want {
			t.Errorf("%s was lost: trained %s, want %s", name, got.Short(), want.Short())
		}
		if want := map[bool]int{true: 0, false: 1}[name == "nothing"]; b.made() != want {
			t.Errorf("%s was lost: tokens made %d times, want %d", name, b.made(), want)
		}
		if err := b.store.Blobs.Verify(kept[0].Output); err != nil || len(b.tokenised()) != 2 {
			t.Errorf("%s was lost: afterwards %v, %d datasets", name, err, len(b.tokenised()))
		}
	}
	if g, err := fresh.store.GC(store.GCOptions{Age: 1, Delete: true}); err != nil || !fresh.store.Blobs.Has(fresh.tokenised()[0].Output) {
		t.Errorf("gc took them: %+v, %v", g, err)
	}
	shrunk, err := fresh.store.Shrink(store.Quota{Delete: true})
	if err != nil || fresh.store.Blobs.Has(fresh.tokenised()[0].Output) || shrunk.Steps[0].Name != "data.tokens" {
		t.Errorf("gc --max left them, or took others first: %+v, %v", shrunk, err)
	}
}
