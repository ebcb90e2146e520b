package train

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"starbook/gpu"
	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/safetensors"
)

// tinyLlama is the config.json of TinyLlama-1.1B, in BF16.
const tinyLlama = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":32000,"hidden_size":2048,"intermediate_size":5632,
"num_hidden_layers":22,"num_attention_heads":32,"num_key_value_heads":4,"max_position_embeddings":2048,"rms_norm_eps":1e-05,
"rope_theta":10000.0,"tie_word_embeddings":false,"bos_token_id":1,"eos_token_id":2,"torch_dtype":"bfloat16"}`

// TestBillion trains an adapter on a model of 1.1 billion random weights in BF16,
// 2.2 GB in the folder $STARBOOK_BILLION, as lora.train does by default, and looks
// at the most memory that the process had at a time, mapped files included: below
// 8 GiB if it may have all, below 4 GB if it may have that, to the same bits, and
// with 2.5 GB it says what would help: .ci/full billion.
func TestBillion(t *testing.T) {
	dir := os.Getenv("STARBOOK_BILLION")
	if dir == "" {
		t.Skip("STARBOOK_BILLION names no folder")
	}
	writeBillion(t, dir)
	want := trainBillion(t, dir, 4e9, 4e9)
	if got := trainBillion(t, dir, 0, 8<<30); got.Loss != want.Loss || got.GradNorm != want.GradNorm {
		t.Errorf("an update with all the memory has loss %v and norm %v, and with 4 GB %v and %v", got.Loss, got.GradNorm, want.Loss, want.GradNorm)
	}
	dev, err := cpu.New(cpu.Options{Memory: 2.5e9})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err = planBillion(dev, dir, Cheaper{"less", openBillion(dir, gpu.NF4)}); err == nil || !strings.Contains(err.Error(), "choose less, with which it is") {
		t.Errorf("in 2.5 GB: %v", err)
	}
	t.Log(err)
}

func openBillion(dir string, quantise gpu.Type) Opener {
	return func(dev gpu.Device) (*model.Transformer, *model.Adapter, error) {
		m, err := model.Outline(dev, dir, quantise)
		if err != nil {
			return nil, nil, err
		}
		a, err := model.NewAdapter(m, billionLoRA)
		return m, a, err
	}
}

var billionLoRA = model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}}

// billionOptions are lora.train's defaults, for one update.
func billionOptions() Options {
	o := Default()
	o.MicroTokens, o.MaxSteps, o.EvalSteps = 4096, 1, -1
	return o
}

// billionExamples are an update's: eight of 512 tokens.
func billionExamples() []Example {
	var all []Example
	for i := range 8 {
		e := Example{}
		for j := range 513 {
			e.Tokens, e.Trained = append(e.Tokens, int32((i*7919+j*37)%32000)), append(e.Trained, j > 0)
		}
		all = append(all, e)
	}
	return all
}

func planBillion(dev gpu.Device, dir string, cheaper ...Cheaper) (Memory, error) {
	return Plan(dev, openBillion(dir, gpu.F32), billionExamples(), nil, billionOptions(), cheaper...)
}

// trainBillion makes one update on a device that may have so much memory, 0: all,
// and minds that the process had no more than most bytes.
func trainBillion(t *testing.T, dir string, room, most int) Update {
	t.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600); err != nil { // forgets the peak
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{Memory: room})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	p, err := planBillion(dev, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(p)
	m, err := model.Open(dev, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := model.NewAdapter(m, billionLoRA)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	o := billionOptions()
	o.MicroTokens, o.Recompute = p.Rows, p.Recompute
	tr, err := New(m, a, billionExamples(), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var update Update
	for u, err := range tr.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		update = u
	}
	if s, err := tr.State(); err != nil || s.write(io.Discard) != nil {
		t.Error("a state was not written: ", err)
	}
	got := peak(t)
	t.Logf("loss %.4f, norm %.4f, %d rows; %s; planned %s", update.Loss, update.GradNorm, update.Rows, got, mib(p.All()))
	if got.hwm > most {
		t.Errorf("it took %s: more than %s", got, mib(most))
	}
	return update
}

// memory is what /proc/self/status says, in bytes.
type memory struct{ hwm, anon, file int }

func (m memory) String() string {
	return fmt.Sprintf("peak %s (now: %s of its own, %s of files)", mib(m.hwm), mib(m.anon), mib(m.file))
}

func peak(t *testing.T) (m memory) {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]*int{"VmHWM:": &m.hwm, "RssAnon:": &m.anon, "RssFile:": &m.file} {
		_, rest, _ := strings.Cut(string(raw), name)
		if _, err := fmt.Sscan(rest, to); err != nil {
			t.Fatal(err)
		}
		*to <<= 10
	}
	return m
}

// writeBillion writes the model, tensor by tensor, if it is not there.
func writeBillion(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "model.safetensors")
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tinyLlama), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := model.ParseConfig([]byte(tinyLlama))
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	add := func(name string, shape ...int) {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: "BF16", Shape: shape})
	}
	add("model.embed_tokens.weight", cfg.Vocab, cfg.Hidden)
	add("lm_head.weight", cfg.Vocab, cfg.Hidden)
	add("model.norm.weight", cfg.Hidden)
	for l := range cfg.Layers {
		at := fmt.Sprintf("model.layers.%d.", l)
		kv := cfg.KVHeads * cfg.HeadDim
		for name, shape := range map[string][]int{
			"self_attn.q_proj": {cfg.Hidden, cfg.Hidden}, "self_attn.k_proj": {kv, cfg.Hidden}, "self_attn.v_proj": {kv, cfg.Hidden},
			"self_attn.o_proj": {cfg.Hidden, cfg.Hidden}, "mlp.gate_proj": {cfg.FeedForward, cfg.Hidden}, "mlp.up_proj": {cfg.FeedForward, cfg.Hidden},
			"mlp.down_proj": {cfg.Hidden, cfg.FeedForward}, "input_layernorm": {cfg.Hidden}, "post_attention_layernorm": {cfg.Hidden},
		} {
			add(at+name+".weight", shape...)
		}
	}
	random, raw := rand.New(rand.NewPCG(1, 1)), []byte(nil)
	if err := safetensors.WriteFile(path, tensors, nil, func(s safetensors.Tensor) ([]byte, error) {
		raw = raw[:0]
		for range s.Len() {
			x := float32(0.04 * (random.Float64() - 0.5))
			if len(s.Shape) == 1 {
				x = 1
			}
			b := safetensors.ToBF16(x)
			raw = append(raw, byte(b), byte(b>>8))
		}
		return raw, nil
	}); err != nil {
		t.Fatal(err)
	}
}
