package model

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"starbook/gpu"
	"starbook/gpu/ref"
	"starbook/gpu/safetensors"
)

// TestAdaptersArePEFTs reads adapters of many forms that PEFT wrote, compares
// the loss with them, writes them again, and begins each anew from its seed.
func TestAdaptersArePEFTs(t *testing.T) { onDevices(t, adaptersArePEFTs) }

func adaptersArePEFTs(t *testing.T, dev gpu.Device) {
	var cases map[string]struct {
		Init string `json:"init_sha256"`
		Loss float64
	}
	readJSON(t, &cases, "mistral", "peft.json")
	var g goldenBatch
	readJSON(t, &g, "mistral", "batch.json")
	m := openGolden(t, dev, "mistral")
	for name, want := range cases {
		a := openGoldenAdapter(t, m, "mistral", "peft", name)
		if loss := meanLoss(t, m, a, g); math.Abs(loss-want.Loss) > 1e-6*want.Loss {
			t.Errorf("%s: loss %v, want %v", name, loss, want.Loss)
		}
		dir := t.TempDir()
		if err := a.Save(dir, "mistral"); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readFile(t, filepath.Join(dir, adapterWeights)), readFile(t, golden("mistral", "peft", name, adapterWeights))) {
			t.Errorf("%s: saved again, the adapter has other bytes", name)
		}
		got, theirs := readFile(t, filepath.Join(dir, adapterConfig)), conservative(t, readFile(t, golden("mistral", "peft", name, adapterConfig)))
		if !bytes.Equal(got, theirs) {
			t.Errorf("%s: we write\n%s\nPEFT writes\n%s", name, got, theirs)
		}
		fresh := a.LoRA
		fresh.Save, fresh.Seed = nil, 0
		if got := drawn(t, m, fresh); got != want.Init {
			t.Errorf("%s: from its seed the adapter is another than PEFT's", name)
		}
	}
}

// newer are the keys of adapter_config.json that came after PEFT 0.11. We
// write none of them that has its default.
var newer = map[string]string{
	"alora_invocation_tokens": "null", "arrow_config": "null", "corda_config": "null", "ensure_weight_tying": "false",
	"eva_config": "null", "exclude_modules": "null", "kasa_config": "null", "lora_bias": "false", "lora_ga_config": "null",
	"monteclora_config": "null", "peft_version": `"0.21.2"`, "qalora_group_size": "16", "target_parameters": "null",
	"trainable_token_indices": "null", "use_bdlora": "null", "use_qalora": "false", "velora_config": "null",
}

// conservative is PEFT's adapter_config.json without such keys, and with its
// sets sorted.
func conservative(t *testing.T, raw []byte) []byte {
	t.Helper()
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	for key, value := range keys {
		if newer[key] == string(value) {
			delete(keys, key)
		}
		var set []string
		if json.Unmarshal(value, &set) == nil && set != nil && key != "modules_to_save" {
			slices.Sort(set)
			keys[key] = pythonJSON(set)
		}
	}
	return pythonJSON(keys)
}

// drawn is the digest of what a seed makes of l, in the order of the names.
func drawn(t *testing.T, m *Transformer, l LoRA) string {
	t.Helper()
	a, err := NewAdapter(m, l)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	values, err := a.Params.Read()
	if err != nil {
		t.Fatal(err)
	}
	tensors := slices.SortedFunc(slices.Values(a.Params.Tensors), func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, x := range tensors {
		raw, err := safetensors.AppendF32(nil, "F32", values[x.From:x.From+x.Len()])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// What an adapter brings along whole is not trained, and said so.
func TestModulesToSaveAreNotTrained(t *testing.T) {
	m := openGolden(t, ref.New(), "mistral")
	a := openGoldenAdapter(t, m, "mistral", "peft", "save")
	if _, err := NewPass(m, a, 8, true); err == nil {
		t.Error("an adapter with modules to save was trained")
	}
	if _, err := NewAdapter(m, LoRA{Rank: 1, Alpha: 1, Targets: []string{"q_proj"}, Save: []string{"lm_head"}}); err == nil {
		t.Error("an adapter with modules to save was begun")
	}
}
