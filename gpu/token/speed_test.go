package token

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spent is the processor time of this process.
func spent(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestSpeed prints how fast the tokenizers of a folder are, in MB a second of
// processor time, as testdata/speed.py does for the library; .ci/full tokens
// runs both.
func TestSpeed(t *testing.T) {
	dir, corpus := os.Getenv("TOKENIZERS"), os.Getenv("TOKENIZER_CORPUS")
	if corpus == "" {
		t.Skip("a measurement: see .ci/full tokens")
	}
	f, err := os.Open(corpus)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var docs []string
	size := 0
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var d string
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		docs, size = append(docs, d), size+len(d)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		start := spent(t)
		tk, err := Load(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		loaded := spent(t) - start
		best, n := time.Duration(1<<62), 0
		for range 3 {
			start, n = spent(t), 0
			for _, d := range docs {
				n += len(tk.Encode(d))
			}
			best = min(best, spent(t)-start)
		}
		t.Logf("%s\t%.2f\t%d\tloaded in %.2f s", strings.TrimSuffix(filepath.Base(path), ".json"), float64(size)/best.Seconds()/1e6, n, loaded.Seconds())
	}
}
