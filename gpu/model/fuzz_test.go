package model

import (
	"bytes"
	"os"
	"testing"
)

// FuzzConfig: whatever a config.json says, it is refused, or it describes a
// model whose weights can be listed and which is written and read as the same.
func FuzzConfig(f *testing.F) {
	for _, name := range append(goldenModels, "stories260k") {
		raw, err := os.ReadFile(golden(name, "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig(raw)
		if err != nil {
			return
		}
		if c.Layers < 100 && c.Size() <= 0 {
			t.Errorf("%d weights", c.Size())
		}
		again, err := ParseConfig(c.JSON())
		if err != nil || !bytes.Equal(again.JSON(), c.JSON()) {
			t.Errorf("%s\nread again is\n%s\n%v", c.JSON(), again.JSON(), err)
		}
	})
}

// FuzzLoRA: whatever an adapter_config.json says, it is refused, or it names
// modules of the model, and is written and read as the same.
func FuzzLoRA(f *testing.F) {
	for _, name := range []string{"rslora", "patterns", "match", "exclude", "except", "save", "head"} {
		raw, err := os.ReadFile(golden("mistral", "peft", name, adapterConfig))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	cfg := tiny(false)
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := parseLoRA(raw)
		if err != nil {
			return
		}
		modules, err := l.modules(cfg)
		if err != nil {
			return
		}
		again, err := parseLoRA(l.json("base"))
		if err != nil {
			t.Fatalf("%s: %v", l.json("base"), err)
		}
		same, err := again.modules(cfg)
		if err != nil || len(same) != len(modules) {
			t.Fatalf("%s: %d modules, and written and read again %d: %v", raw, len(modules), len(same), err)
		}
		for i := range same {
			if same[i] != modules[i] {
				t.Errorf("%+v, and written and read again %+v", modules[i], same[i])
			}
		}
	})
}
