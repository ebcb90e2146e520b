package builtins

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
)

// TestModels takes a small real model through everything that is done with
// models: an adapter with patterns, a merge that is probed, a GGUF file and back.
func TestModels(t *testing.T) {
	b := newBench(t)
	b.host.OpenDevice = func() (gpu.Device, error) { return cpu.New(cpu.Options{Threads: 1}) }
	defer func() {
		if err := b.host.Close(); err != nil {
			t.Error(err)
		}
	}()
	source := filepath.Join("..", "gpu", "model", "testdata", "stories260k")
	for _, name := range []string{"config.json", "model.safetensors"} {
		raw, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		b.write("stories/"+name, string(raw))
	}
	f, err := os.Open(filepath.Join("..", "gpu", "token", "testdata", "stories260k", "tokenizer.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	b.write("stories/tokenizer.json", string(tokenizer))
	b.write("stories/tokenizer_config.json", `{"bos_token":"<s>","eos_token":"</s>","add_bos_token":true}`)
	b.write("rows.jsonl", `{"id":"a","prompt":"Once upon a time","completion":" there was a cat."}`+"\n"+
		`{"id":"b","prompt":"The dog","completion":" saw a cat."}`+"\n")
	if _, err := b.run(`
base = model.open("stories")
rows = data.jsonl("rows.jsonl")
a = lora.train(base, rows, r=2, alpha=4.0, targets=["q_proj", "up_proj"], exclude=["layers.0.mlp.up_proj"],
    rank_pattern={"up_proj": 3}, alpha_pattern={"q_proj": 8.0}, lr=0.01, max_steps=2, validation_split=0.0, patience=0, max_tokens=60)
eq(a.trainable, 5 * 2 * (64 + 64) + 4 * 3 * (64 + 172))
for type in ["float32", ""]:
    m = lora.merge(base, a, type=type, probe=rows)
    eq(m.kl < 1e-4 and m.agree > 0.9 and m.probed_tokens > 5, True)
model.export(a, "out/run")
again = lora.open("out/run")
eq(lora.merge(base, again), lora.merge(base, a))
kept = lora.train(base, rows, r=2, targets=["q_proj"], max_steps=5, batch_size=1, save_steps=2, validation=rows, eval_steps=1, schedule="wsd", decay=2.0, max_tokens=60)
model.export(kept, "out/kept")
cost = model.export(base, "out/stories.gguf", type="q8_0")
eq(0 < cost["error"] and cost["error"] < 0.01 and cost["bytes"] < 400000, True)
model.export(base, "out/same.gguf", type="f32")
say = lambda m: model.generate(m, rows, max_new_tokens=20, prompt="{prompt}")
said = say(base)
same = model.open("out/same.gguf")
eq(same.parameters, base.parameters)
eq(say(same), said)
small = model.open("out/stories.gguf")
eq(say(small).rows, 2)
eq(say(small) == said, False)
lora.train(small, rows, r=2, max_steps=1, validation_split=0.0, patience=0, max_tokens=60)
one = lambda **how: lora.train(base, rows, r=2, lr=0.1, max_steps=1, validation_split=0.0, patience=0, max_tokens=60, **how)
rounded = one(quantise="int8")
eq(rounded.quantise, "int8")
eq(one() == rounded, False)
eq(one(recompute=2), one())
answer = lambda **how: model.generate(base, rows, adapter=rounded, max_new_tokens=20, prompt="{prompt}", **how)
eq(answer(quantise="int8") == answer(), False)
tuned = model.train(base, rows, max_steps=2, validation=rows, eval_steps=1, max_tokens=60, name="tuned")
model.export(tuned, "out/tuned")
whole = model.open("out/tuned")
eq(whole.parameters, base.parameters)
eq(say(whole), say(tuned))
`); err != nil {
		t.Error(err)
	}
	for _, name := range []string{
		"run/final/adapter_config.json", "run/final/adapter_model.safetensors", "run/trainer_state.json", "run/training_summary.json",
		"kept/checkpoint-2/adapter_model.safetensors", "kept/checkpoint-4/adapter_config.json", "kept/checkpoint-4/trainer_state.json",
		"tuned/config.json", "tuned/tokenizer.json", "tuned/trainer_state.json", "tuned/training_summary.json",
	} {
		if _, err := os.Stat(filepath.Join(b.dir, "out", name)); err != nil {
			t.Error(err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(b.dir, "out", "kept", "checkpoint-4", "trainer_state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Step    int              `json:"global_step"`
		History []map[string]any `json:"log_history"`
		Seen    int              `json:"num_input_tokens_seen"`
	}
	if err := json.Unmarshal(raw, &state); err != nil || state.Step != 4 || len(state.History) != 8 || state.Seen == 0 || state.History[0]["loss"] == 0.0 {
		t.Errorf("trainer_state.json: %+v, %v", state, err)
	}
	if _, err := b.run(`lora.train(model.open("stories"), data.jsonl("rows.jsonl"), quantise="int3")`); err == nil || !strings.Contains(err.Error(), "int8, nf4 or nothing") {
		t.Errorf("int3 was taken: %v", err)
	}
	if _, err := b.run(`lora.train(model.open("stories"), data.jsonl("rows.jsonl"), rank_pattern={1: 2})`); err == nil {
		t.Error("a number is no name of a module")
	}
}
