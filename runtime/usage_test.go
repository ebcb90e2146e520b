package runtime

import (
	"context"
	"testing"
	"time"
)

func TestParseGPU(t *testing.T) {
	for line, want := range map[string]gpuReading{
		"37, 10240, 251.33": {37, 10240 << 20, 251.33}, "0, 4, 26.87": {0, 4 << 20, 26.87}, "12, 100, [N/A]": {}, "": {}, "Unable to determine the device": {},
	} {
		if got, ok := parseGPU(line); ok != (want != gpuReading{}) || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v", line, got, ok, want)
		}
	}
}

// TestUsage: a step that takes a while has series of what it took, under names that no comparison of results looks at.
func TestUsage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a second")
	}
	l := newLab(t)
	r := l.notebook("")
	if err := r.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec := l.spec("busy", "x")
	_, err := r.Do(t.Context(), spec, func(_ context.Context, s *Step) (Artifact, error) {
		for end := time.Now().Add(2300 * time.Millisecond); time.Now().Before(end); { // busy
		}
		g, err := s.Put([]byte("x"))
		return Artifact{Kind: "value", Digest: g}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	key := spec.Fingerprint()
	points := func(name string) []float64 {
		list, err := l.store.Points(key, name)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, len(list))
		for i, p := range list {
			out[i] = p.V
		}
		return out
	}
	cpu, rss := points("system/cpu_percent"), points("system/rss_bytes")
	if len(cpu) == 0 || cpu[0] < 1 {
		t.Errorf("processor of a busy step: %v percent", cpu)
	}
	if len(rss) != len(cpu) || rss[0] < 1<<20 {
		t.Errorf("memory: %v bytes", rss)
	}
}
