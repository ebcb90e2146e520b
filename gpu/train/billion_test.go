package train

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"starbook/gpu/cpu"
	"starbook/gpu/model"
	"starbook/gpu/safetensors"
)

// tinyLlama is the config.json of TinyLlama-1.1B, in BF16.
const tinyLlama = `{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":32000,"hidden_size":2048,"intermediate_size":5632,
"num_hidden_layers":22,"num_attention_heads":32,"num_key_value_heads":4,"max_position_embeddings":2048,"rms_norm_eps":1e-05,
"rope_theta":10000.0,"tie_word_embeddings":false,"bos_token_id":1,"eos_token_id":2,"torch_dtype":"bfloat16"}`

// TestBillion trains an adapter on a model of 1.1 billion random weights in BF16,
// 2.2 GB in the folder $STARBOOK_BILLION, and looks at the most memory that the
// process had at a time, mapped files included: .ci/full billion.
func TestBillion(t *testing.T) {
	dir := os.Getenv("STARBOOK_BILLION")
	if dir == "" {
		t.Skip("STARBOOK_BILLION names no folder")
	}
	writeBillion(t, dir)
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600); err != nil { // forgets the peak
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := model.Open(dev, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	a, err := model.NewAdapter(m, model.LoRA{Rank: 16, Alpha: 32, Targets: []string{"all-linear"}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var examples []Example
	for i := range 4 {
		e := Example{}
		for j := range 513 {
			e.Tokens, e.Trained = append(e.Tokens, int32((i*7919+j*37)%32000)), append(e.Trained, j > 0)
		}
		examples = append(examples, e)
	}
	o := Default()
	o.Batch, o.MicroTokens, o.MaxSteps, o.EvalSteps = 2, 1024, 2, -1
	tr, err := New(m, a, examples, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for u, err := range tr.Steps(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("update %d: loss %.4f, norm %.4f, %d rows; %s", u.Step, u.Loss, u.GradNorm, u.Rows, peak(t))
	}
	t.Logf("%.2f billion weights, %d trained", float64(m.Size())/1e9, a.Params.Len())
	if p := peak(t); p.hwm > 8<<30 {
		t.Errorf("it took %s: more than 8 GiB", p)
	}
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
