package builtins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A model in huggingface_hub's cache is found without a network.
func TestModelHub(t *testing.T) {
	b := newBench(t)
	home := t.TempDir()
	env := map[string]string{"HF_HOME": home, "HF_HUB_OFFLINE": "1"}
	b.host.Getenv = func(k string) string { return env[k] }
	if _, err := b.run(`model.hub("org/name")`); err == nil || !strings.Contains(err.Error(), "org/name@main is not in the cache") {
		t.Error(err)
	}
	repo := filepath.Join(home, "hub", "models--org--name")
	for _, dir := range []string{"refs", "snapshots/abc"} {
		if err := os.MkdirAll(filepath.Join(repo, filepath.FromSlash(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(repo, "refs", "main"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(`data.hub("org/name", "../x")`); err == nil || !strings.Contains(err.Error(), "file:") {
		t.Error(err)
	}
	if _, err := b.run(`eq(model.hub("org/name").endswith("models--org--name/snapshots/abc"), True)`); err != nil {
		t.Error(err)
	}
}
